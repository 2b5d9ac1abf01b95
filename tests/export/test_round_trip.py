"""Import, sync, export: the data comes back byte for byte, the index equal in all that is data."""

from __future__ import annotations

from pathlib import Path

import pytest

from swampstore.client.blocking import finish
from swampstore.stores.memory import MemoryStore
from swampstore.testing.legacy_tree import Shape, make_tree
from swampstore.workers.legacy.index import Flavour, detect, load
from swampstore.workers.legacy.rules import Place
from swampstore.workers.sync.options import SyncOptions
from swampstore.workers.sync.session import sync
from tests.export.support import comparable, core_of, exported, exported_to_store, face_of, files, imported, index_of


@pytest.mark.parametrize("named", ["", "ops"])
@pytest.mark.parametrize("was", ["v1", "v2"])
@pytest.mark.parametrize("wanted", ["v1", "v2"])
def test_import_sync_export(tmp_path: Path, was: str, wanted: str, named: str) -> None:
    made = make_tree(tmp_path / "old", Shape(index=was, namespace=named))
    first, second = core_of(), core_of()
    imported(made.out, first, named)
    (tmp_path / "repo").mkdir()
    for core in (first, second):  # by a repo into another namespace: sync is part of the way
        finish(sync(core, tmp_path / "repo" / ".swamp", SyncOptions()))
    for number, core in enumerate((first, second)):
        out = tmp_path / f"new{number}"
        report = exported(core, out, named, index=wanted)
        assert not report.incomplete
        assert (report.entries, report.kept, report.pending) == (len(made.entries), 0, 0)
        assert files(out / named) == files(made.base)
        index = index_of(out / named)
        assert comparable(index, made.entries) == comparable(made.entries, index)
        assert (out / named / ".namespace.json").exists() == bool(named)


@pytest.mark.parametrize("wanted", ["v1", "v2"])
def test_what_was_exported_is_imported_without_a_difference(tmp_path: Path, wanted: str) -> None:
    made = make_tree(tmp_path / "old", Shape())
    core = core_of()
    imported(made.out, core)
    exported(core, tmp_path / "new", index=wanted)
    again = imported(tmp_path / "new", core)
    # of the derived files the time is that of their version
    assert (again.entries, again.imported + again.unchanged) == (len(made.entries),) * 2
    assert again.imported <= sum(rel.endswith("/latest") for rel in made.entries)
    assert again.flavour == wanted
    third = core_of()
    assert imported(tmp_path / "new", third).imported == len(made.entries)


@pytest.mark.parametrize("wanted", ["v1", "v2"])
def test_to_a_store(tmp_path: Path, wanted: str) -> None:
    made = make_tree(tmp_path / "old", Shape(namespace="ops"))
    core = core_of()
    imported(made.out, core, "ops")
    store = MemoryStore(core.place.env, url="memory://elsewhere")
    exported_to_store(core, store, "old/ops/", "ops", index=wanted)
    index = finish(detect(store, Place("old/", "ops")))
    assert index.flavour is Flavour(wanted)
    found = finish(load(store, index))
    assert {rel: entry.size for rel, entry in found.items()} == {
        rel: entry["size"] for rel, entry in made.entries.items()
    }
    assert all(name.startswith("old/ops/") for name in store._objects)


def test_versions_made_here_are_exported_with_their_numbers(tmp_path: Path) -> None:
    ns = face_of(core := core_of())
    data = ns.data("aws/ec2:web", "state")
    data.put(b"one")
    data.put(b"two")
    ns.put("files/plain", b"p")
    report = exported(core, tmp_path / "new")
    assert (report.pending, report.latest) == (0, 1)
    found = files(tmp_path / "new")
    assert found["data/aws/ec2/web/state/latest"] == b"2"
    assert found["data/aws/ec2/web/state/1/raw"] == b"one"
    assert found["data/aws/ec2/web/state/2/metadata.yaml"] == ns.read("data/aws/ec2/web/state/2/metadata.yaml")
    assert imported(tmp_path / "new", core_of()).entries == 6
