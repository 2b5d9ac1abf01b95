"""Import again after something was deleted here: it stays deleted, and the report says so."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.client.core import CoreNamespace
from swampstore.client.data import CoreItem
from swampstore.env.blocking import run
from swampstore.stores.base import Overwrite
from swampstore.stores.memory import MemoryStore
from swampstore.values.deltas import Delete, Put
from swampstore.workers.compactor import Compactor
from tests.legacy.import_world import adds_up, entry_of, held, legacy, memory, space, take
from tests.sync.data_versions import metadata

ITEM = "data/aws/ec2/m1/state"
RAW, META = f"{ITEM}/2/raw", f"{ITEM}/2/metadata.yaml"
AFTER = "2999-01-01T00:00:00.000Z"
WAYS: list[dict[str, Any]] = [{}, {"copy": True}]


def tree() -> dict[str, bytes]:
    found = {"files/a": b"a", f"{ITEM}/latest": b"2"}
    for number in (1, 2):
        raw = b"%d" % number * 10
        found |= {f"{ITEM}/{number}/raw": raw, f"{ITEM}/{number}/metadata.yaml": metadata(number, raw, ITEM)}
    return found


def rewrite(store: MemoryStore, files: dict[str, bytes], **entries: dict[str, Any]) -> None:
    for name, body in legacy(files, **entries).items():
        run(store.put(name, body, Overwrite()))


def compact(ns: CoreNamespace) -> None:
    run(Compactor(ns.place, ns.register).fold_once(insist=True))


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("options", WAYS)
def test_deleted_versions_stay_deleted(options: dict[str, Any], folded: bool) -> None:
    store = memory(legacy(tree()))
    everything = take(store, **options).imported
    ns = space(store)
    run(CoreItem(ns, "aws/ec2:m1", "state").delete())
    if folded:
        compact(ns)
    there = held(store)
    assert RAW not in there
    for dry_run in (True, False):
        report = take(store, **options, dry_run=dry_run)
        assert adds_up(report)
        assert report.imported == 0
        assert report.deleted_here == len(report.deleted_here_examples) == everything - report.unchanged >= 4
        assert held(store) == there
    report = take(store, **options, deleted_too=True)
    assert (report.imported, report.deleted_here) == (everything - len(there), 0)
    assert held(store) == tree()


@pytest.mark.parametrize("base", [False, True])
def test_an_entry_stays_deleted_unless_the_source_wrote_it_since(base: bool) -> None:
    store = memory(legacy(tree()))
    take(store)
    ns = space(store)
    entry = run(ns.get("files/a"))
    assert entry is not None
    run(ns.append([Delete(key="files/a", base=entry.version if base else None)]))
    report = take(store)
    assert (report.imported, report.deleted_here, report.deleted_here_examples) == (0, 1, ["files/a"])
    rewrite(store, tree() | {"files/a": b"new"}, **{"files/a": entry_of(b"new", AFTER)})
    report = take(store)
    assert (report.imported, report.deleted_here, adds_up(report)) == (1, 0, True)
    assert held(store)["files/a"] == b"new"


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("gone", [RAW, META])
def test_the_files_of_a_version_stay_away_together(gone: str, options: dict[str, Any]) -> None:
    """One was deleted here, the other is only written again there: half a version must not come back."""
    store = memory(legacy(tree()))
    take(store, **options)
    run(space(store).append([Delete(key=RAW), Delete(key=META)]))
    other = META if gone == RAW else RAW
    rewrite(store, tree(), **{other: entry_of(tree()[other], AFTER)})
    report = take(store, **options)
    assert (report.imported, report.deleted_here, adds_up(report)) == (0, 2, True)
    rewrite(store, tree(), **{key: entry_of(tree()[key], AFTER) for key in (RAW, META)})
    report = take(store, **options)
    assert (report.imported, report.deleted_here, report.versions) == (2, 0, 1)
    assert held(store) == tree()


@pytest.mark.parametrize("gone", [RAW, META])
def test_the_file_that_is_still_here_stays(gone: str) -> None:
    store = memory(legacy(tree()))
    take(store, copy=True)
    run(space(store).append([Delete(key=gone)]))
    report = take(store, copy=True)
    assert (report.imported, report.deleted_here, adds_up(report)) == (0, 1, True)
    assert held(store) == {key: body for key, body in tree().items() if key != gone}


def test_what_was_put_again_after_its_deletion_is_newer_here() -> None:
    store = memory(legacy(tree()))
    take(store, copy=True)
    ns = space(store)
    run(ns.append([Delete(key="files/a")]))
    run(ns.append([Put(key="files/a", data=b"mine")]))
    report = take(store, copy=True)
    assert (report.imported, report.deleted_here, report.newer_here) == (0, 0, 1)
