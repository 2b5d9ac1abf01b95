"""``swamp datastore import`` of generated legacy stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from swampstore.testing.legacy_tree import Made, Shape, make_tree
from tests.cli.conftest import Swamp


@pytest.fixture
def legacy(user: Path, store: Path) -> Made:
    return make_tree(user / "legacy", Shape(namespace="ops"))


def tree_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_copying(swamp: Swamp, legacy: Made) -> None:
    before = tree_bytes(legacy.out)
    done = swamp("datastore", "import", legacy.out, "--namespace", "ops", "--copy", "--json").document
    assert (done["imported"], done["bytes"], done["namespace"]) == (len(legacy.entries), legacy.total_bytes, "ops")
    assert tree_bytes(legacy.out) == before
    key = next(key for key in legacy.entries if key.endswith("/raw"))
    assert swamp("object", "get", key, "--namespace", "ops").out.encode() == (legacy.base / key).read_bytes()
    again = swamp("datastore", "import", legacy.out, "--namespace", "ops", "--copy", "--json").document
    assert (again["imported"], again["unchanged"]) == (0, len(legacy.entries))


def test_what_was_deleted_here_stays_deleted(swamp: Swamp, legacy: Made) -> None:
    command = ("datastore", "import", legacy.out, "--namespace", "ops", "--copy")
    swamp(*command)
    key = next(key for key in legacy.entries if key.endswith("/raw"))
    assert swamp("object", "delete", key, "--namespace", "ops").code == 0
    again = swamp(*command)
    assert "  deleted here   1, such as:\n    " + key in again.out
    again = swamp(*command, "--json").document
    assert (again["imported"], again["deleted_here"], again["deleted_here_examples"]) == (0, 1, [key])
    assert swamp(*command, "--deleted-too", "--json").document["imported"] == 2  # the other file follows
    assert swamp("object", "get", key, "--namespace", "ops").out.encode() == (legacy.base / key).read_bytes()


def test_a_dry_run_only_counts(swamp: Swamp, legacy: Made) -> None:
    done = swamp("datastore", "import", legacy.out, "--namespace", "ops", "--copy", "--dry-run")
    assert done.out.startswith(f"would import {len(legacy.entries)} entries into namespace ops of file://")
    assert swamp("datastore", "namespace", "list").out == ""


def test_in_place_into_the_store_around_it(swamp: Swamp, legacy: Made) -> None:
    done = swamp("datastore", "import", legacy.out, "--namespace", "ops", "--to", legacy.out)
    assert done.out.startswith(f"imported {len(legacy.entries)} entries into namespace ops of file://{legacy.out}\n")
    key = next(key for key in legacy.entries if key.endswith("/raw"))
    found = swamp("object", "get", key, "--namespace", "ops", "--store", legacy.out)
    assert found.out.encode() == (legacy.base / key).read_bytes()


def test_another_store_needs_a_decision(swamp: Swamp, legacy: Made) -> None:
    done = swamp("datastore", "import", legacy.out, "--namespace", "ops")
    assert done.code == 2
    assert "--copy" in done.err
    assert "--index-only" in done.err
    assert swamp("datastore", "import", legacy.out, "--namespace", "ops", "--index-only").code == 0


@pytest.mark.parametrize("namespace", [[], ["--namespace", "opps"]])
def test_a_namespace_that_is_not_there_names_those_that_are(swamp: Swamp, legacy: Made, namespace: list[str]) -> None:
    done = swamp("datastore", "import", legacy.out, "--copy", *namespace, "--json")
    assert done.code == 1
    assert done.error["code"] == "not-found"
    assert "ops" in done.error["hint"]
    assert swamp("datastore", "namespace", "list").out == ""


def test_a_source_that_is_not_there(swamp: Swamp, store: Path) -> None:
    done = swamp("datastore", "import", "/no/such/source")
    assert done.code == 1
    assert "SRC" in done.err
