"""``swamp datastore snapshot ...`` and reading as of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Swamp


@pytest.fixture
def filled(swamp: Swamp, store: Path) -> Swamp:
    swamp("object", "put", "a", stdin=b"one")
    swamp("object", "put", "b", stdin=b"two")
    assert swamp("datastore", "snapshot", "create", "first").code == 0
    swamp("object", "put", "a", stdin=b"changed")
    swamp("object", "delete", "b")
    swamp("object", "put", "c", stdin=b"new")
    return swamp


def test_reading_as_of_a_snapshot(filled: Swamp) -> None:
    assert filled("object", "get", "a", "--snapshot", "first").out == "one"
    assert filled("object", "get", "b", "--snapshot", "first", "--meta", "--json").document["size"] == 3
    assert filled("object", "list", "--snapshot", "first").out.split() == ["a", "b"]
    assert filled("object", "list").out.split() == ["a", "c"]
    assert filled("object", "get", "c", "--snapshot", "first").code == 1
    gone = filled("object", "get", "c", "--snapshot", "first", "--meta", "--json")
    assert "snapshot 'first'" in gone.error["error"]
    assert filled("object", "list", "--snapshot", "other", "--json").error["code"] == "not-found"


def test_listing(filled: Swamp) -> None:
    (one,) = filled("datastore", "snapshot", "list", "--json").document["snapshots"]
    assert (one["name"], one["records"], one["problem"]) == ("first", 2, "")
    assert filled("datastore", "snapshot", "list").out.splitlines()[1].startswith("first ")


def test_restoring_is_a_preview_unless_it_is_meant(filled: Swamp) -> None:
    preview = filled("datastore", "snapshot", "restore", "first")
    assert preview.out.splitlines()[:3] == ["change  a", "create  b", "delete  c"]
    assert preview.out.splitlines()[-1] == "nothing was changed; add --yes to do it"
    assert filled("object", "list").out.split() == ["a", "c"]
    done = filled("datastore", "snapshot", "restore", "first", "--yes", "--verify", "full", "--json").document
    assert (done["created"], done["changed"], done["deleted"], done["dry_run"]) == (1, 1, 1, False)
    assert filled("object", "get", "a").out == "one"
    assert filled("object", "list").out.split() == ["a", "b"]


def test_a_part(filled: Swamp) -> None:
    assert filled("datastore", "snapshot", "restore", "first", "--prefix", "a", "--yes").code == 0
    assert filled("object", "list").out.split() == ["a", "c"]
    assert filled("object", "get", "a").out == "one"


def test_usage(filled: Swamp) -> None:
    assert filled("datastore", "snapshot", "restore", "first", "--yes", "--dry-run").code == 2
    assert filled("datastore", "snapshot", "restore", "first", "--verify", "some").code == 2
    assert filled("datastore", "snapshot", "create", "first", "--json").error["code"] == "already-exists"
    assert filled("datastore", "snapshot", "create", "a/b").code == 2
    assert filled("datastore", "snapshot", "create", "x", "--namespace", "none").code == 1


def test_deleting_is_a_preview_unless_it_is_meant(filled: Swamp) -> None:
    assert "add --yes" in filled("datastore", "snapshot", "delete", "first").out
    assert len(filled("datastore", "snapshot", "list", "--json").document["snapshots"]) == 1
    assert filled("datastore", "snapshot", "delete", "first", "--yes").code == 0
    assert filled("datastore", "snapshot", "list").out == ""
    assert filled("datastore", "snapshot", "delete", "first").code == 1
