"""A name leads to another one only by a version that says ``deleted``; listing, searching and reading agree on it."""

from __future__ import annotations

from pathlib import Path

import pytest

import swampstore
from swampstore.values.data import Datum, raw_path
from swampstore_cli import datum
from tests.cli.conftest import Swamp

WEB = "aws/ec2:web"


def imported(store: Path, lifecycle: str) -> None:
    """``state`` as an import may bring it, said to be renamed to ``fresh``, which is there."""
    with swampstore.open(str(store)) as opened:
        ns = opened.namespace("default")
        ns.data(WEB, "fresh").put(b"fresh one", ordinal=True)
        held = Datum("aws/ec2", "web", "state", ordinal=1, lifecycle=lifecycle, renamed_to="fresh")
        ns.append([swampstore.Put(key=raw_path(held.item, 1), data=b"old one", datum=held)])


def listed(swamp: Swamp) -> dict[str, dict[str, str]]:
    groups = swamp("data", "list", WEB, "--json").document["groups"]
    return {item["name"]: item for group in groups for item in group["items"]}


@pytest.mark.parametrize("lifecycle", ["", "active"])
def test_an_active_version_is_an_ordinary_one(swamp: Swamp, store: Path, lifecycle: str) -> None:
    imported(store, lifecycle)
    assert swamp("data", "get", WEB, "state").out == "old one"
    assert swamp("data", "get", WEB, "state", "--json").document["renamedTo"] == "fresh"
    assert listed(swamp)["state"]["renamedTo"] == "fresh"
    assert "renamedTo" not in listed(swamp)["fresh"]
    assert "renamed to fresh" in swamp("data", "list", WEB).out
    found = {one["name"]: one.get("renamedTo") for one in swamp("data", "search", "--json").document["results"]}
    assert found == {"fresh": None, "state": "fresh"}


def test_a_deleted_one_is_a_forward(swamp: Swamp, store: Path) -> None:
    imported(store, "deleted")
    assert swamp("data", "get", WEB, "state").out == "fresh one"
    assert list(listed(swamp)) == ["fresh"]
    assert [one["name"] for one in swamp("data", "search", "--json").document["results"]] == ["fresh"]


def test_without_the_rule_it_is_hidden(swamp: Swamp, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(store, "active")
    monkeypatch.setattr(datum, "is_forward", lambda one: bool(one.renamed_to))
    assert list(listed(swamp)) == ["fresh"]
