"""Import, one rule at a time: what is judged, what is read, what happens when it is interrupted or the source moves."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import Conflict, CorruptObject, NotFound, StoreForbidden, StoreUnavailable
from swampstore.limits import PART_BYTES
from swampstore.stores.base import Overwrite, Store
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.values.deltas import Put
from swampstore.values.entry import External, Inline
from swampstore.workers.legacy.importer import ImportOptions, import_legacy
from swampstore.workers.legacy.report import ImportReport
from swampstore.workers.legacy.rules import Place
from tests.legacy.helpers import an_entry, drain, index_bytes, put
from tests.legacy.import_world import Crash, Hooked, adds_up, contents, memory

INDEX = ".datastore-index.json"


def entry_of(body: bytes, modified: str = "2026-06-01T00:00:00.001Z", **more: Any) -> dict[str, Any]:
    return an_entry(len(body), modified, sha256=hashlib.sha256(body).hexdigest(), **more)


def legacy(bodies: dict[str, bytes], **entries: dict[str, Any]) -> dict[str, bytes]:
    """Objects and their index; ``entries`` of the same rel win."""
    listed = {rel: entry_of(body) for rel, body in bodies.items()} | entries
    return bodies | {INDEX: index_bytes(listed)}


def space(store: Store, name: str = "ops") -> CoreNamespace:
    return CoreStore(store, BlockingEnv()).namespace(name)


def take(
    store: Store, target: Store | None = None, *, place: Place | None = None, progress: Any = None, **options: Any
) -> ImportReport:
    told = progress or (lambda phase, done, total: None)
    return run(import_legacy(space(target or store), store, place or Place(), ImportOptions(**options), told))


def held(store: Store) -> dict[str, bytes]:
    ns = space(store)
    chunks = drain(run(ns.snapshot()).scan())
    return {entry.key: run(ns.read(entry.key)) for chunk in chunks for entry in chunk}


# --- judging ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy", [False, True])
def test_each_fault_is_reported_and_left_out(copy: bool) -> None:
    good = {"files/a": b"aa", "files/b": b"bb"}
    store = memory(
        legacy(
            good | {"files/short": b"1", "files/wrong": b"xx"},
            **{
                "files/short": an_entry(2),
                "files/wrong": entry_of(b"yy"),
                "files/gone": an_entry(1),
                "../up": an_entry(1),
                "_catalog.db": an_entry(1),
            },
        )
    )
    report = take(store, copy=copy)
    assert adds_up(report)
    assert (report.imported, report.dangling, report.damaged) == (2, 1, 2)
    assert report.dropped == {"bad-key": 1, "catalog": 1}
    assert report.dangling_examples == ["files/gone"]
    assert sorted(report.damaged_examples) == [
        "files/short: 1 bytes, the index says 2",
        "files/wrong: the contents do not match the sha256 of the index",
    ]
    assert held(store) == good
    again = take(store, copy=copy)
    assert (again.imported, again.unchanged, again.vanished) == (0, 2, 0)
    assert adds_up(again)


def test_a_wrong_hash_that_was_not_sampled_shows_when_it_is_read() -> None:
    store = memory(legacy({"files/a": b"xx"}, **{"files/a": entry_of(b"yy")}))
    assert take(store, sample=0).imported == 1
    with pytest.raises(CorruptObject, match="files/a"):
        held(store)


def test_missing_hashes_are_computed_once() -> None:
    bodies = {f"files/{n}": f"body {n}".encode() for n in range(600)}
    hooked = Hooked(memory(legacy(bodies, **{rel: an_entry(len(body)) for rel, body in bodies.items()})))
    report = take(hooked)
    assert (report.imported, report.hashed, report.hashes_checked) == (600, 600, 0)
    chunks = drain(run(space(hooked).snapshot()).scan())
    assert {entry.key: entry.sha256 for chunk in chunks for entry in chunk} == {
        rel: hashlib.sha256(body).hexdigest() for rel, body in bodies.items()
    }
    reads: list[str] = []
    hooked.before = lambda verb, name: reads.append(name) if verb == "get" and name in bodies else None
    again = take(hooked)
    assert (again.unchanged, again.hashed, reads) == (600, 0, [])


def test_objects_that_no_index_lists_are_counted() -> None:
    store = memory(legacy({"files/a": b"a"}) | {"files/b": b"b", "secrets/c": b"c"})
    report = take(store)
    assert (report.entries, report.imported, report.unindexed) == (1, 1, 1)


def test_a_forbidden_object_is_damaged_and_the_others_go_on() -> None:
    hooked = Hooked(memory(legacy({"files/a": b"a", "files/b": b"b"})))

    def forbid(verb: str, name: str) -> None:
        if verb == "get" and name == "files/a":
            raise StoreForbidden("not for you")

    hooked.before = forbid
    for options in ({}, {"copy": True}):
        report = take(hooked, dry_run=False, **options)
        assert (report.damaged, report.damaged_examples) == (1, ["files/a: not for you"])
        assert adds_up(report)
    assert list(held(hooked)) == ["files/b"]


def test_a_store_that_does_not_answer_stops_the_import() -> None:
    hooked = Hooked(memory(legacy({"files/a": b"a"})))

    def fail(verb: str, name: str) -> None:
        if verb == "get" and name == "files/a":
            raise StoreUnavailable("down")

    hooked.before = fail
    for options in ({}, {"copy": True}):
        with pytest.raises(StoreUnavailable):
            take(hooked, **options)
    assert held(hooked) == {}


@pytest.mark.parametrize("copy", [False, True])
def test_an_object_that_vanishes_meanwhile_is_dangling(copy: bool) -> None:
    store = memory(legacy({"files/a": b"a", "files/b": b"b"}))
    hooked = Hooked(store)

    def vanish(verb: str, name: str) -> None:
        if verb == "get" and name == "files/a":
            run(store.delete(["files/a"]))

    hooked.before = vanish
    report = take(hooked, copy=copy)
    assert (report.imported, report.dangling, report.dangling_examples) == (1, 1, ["files/a"])


# --- the difference --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy", [False, True])
def test_a_second_import_takes_only_what_changed(copy: bool) -> None:
    store = memory(legacy({"files/a": b"a", "files/b": b"b"}))
    take(store, copy=copy)
    put(store, "files/b", b"b2")
    put(store, "files/c", b"c")
    entries = {"files/b": entry_of(b"b2", "2026-06-02T00:00:00.000Z"), "files/c": entry_of(b"c")}
    put(store, INDEX, index_bytes({"files/a": entry_of(b"a")} | entries))
    report = take(store, copy=copy)
    assert (report.imported, report.unchanged, report.newer_here) == (2, 1, 0)
    assert held(store) == {"files/a": b"a", "files/b": b"b2", "files/c": b"c"}


@pytest.mark.parametrize("copy", [False, True])
def test_what_was_written_here_since_stays(copy: bool) -> None:
    store = memory(legacy({"files/a": b"a", "files/b": b"b"}))
    take(store, copy=copy)
    ack = run(space(store).append([Put(key="files/a", data=b"newer"), Put(key="mine", data=b"mine")]))
    report = take(store, copy=copy)
    assert (report.imported, report.unchanged, report.newer_here, report.vanished) == (0, 2, 1, 1)
    entry = run(space(store).get("files/a"))
    assert entry is not None
    assert entry.version == ack.version
    assert held(store) == {"files/a": b"newer", "files/b": b"b", "mine": b"mine"}


def test_what_vanished_from_the_source_is_counted_and_kept() -> None:
    store = memory(legacy({"files/a": b"a", "files/b": b"b"}))
    take(store, copy=True)
    put(store, INDEX, index_bytes({"files/a": entry_of(b"a")}))
    report = take(store, copy=True)
    assert (report.imported, report.unchanged, report.vanished) == (0, 1, 1)
    assert held(store) == {"files/a": b"a", "files/b": b"b"}


def test_a_copy_after_an_import_in_place_brings_the_contents() -> None:
    store = memory(legacy({"files/a": b"a"}))
    take(store)
    assert take(store, copy=True).imported == 1
    entry = run(space(store).get("files/a"))
    assert entry is not None
    assert entry.meta.at == Inline(b"a")
    assert take(store).imported == 0


def test_nothing_new_appends_nothing(tmp_path: Path) -> None:
    hooked = Hooked(memory(legacy({"files/a": b"a"})))
    take(hooked)
    writes: list[str] = []
    hooked.before = lambda verb, name: writes.append(name) if verb in ("put", "delete") else None
    take(hooked, compact=False)
    assert writes == []


# --- the target's own objects among the legacy ones ------------------------------------------------------------------


def test_own_objects_are_never_taken_for_files(tmp_path: Path) -> None:
    """Without an index everything is an entry, but not what this library wrote: here, beside, or above."""
    files = {"data/x": b"x", "ops/data/y": b"y", "ops/.namespace.json": b"{}", "root": b"not ours"}
    store = memory(files)
    assert take(store, place=Place("", "ops")).entries == 2  # its mark is dropped
    assert run(space(store, "fresh").append([Put(key="k", data=b"v" * 5000)]))
    run(space(store, "fresh").compact())
    target = space(store, "default")
    for _ in range(2):
        report = run(import_legacy(target, store, Place(), ImportOptions()))
    assert (report.entries, report.unchanged) == (2, 2)
    assert report.vanished == 0
    assert take(store, place=Place("", "ops")).unchanged == 1


def test_a_scratch_object_left_behind_is_not_a_file() -> None:
    store = memory({"files/a": b"a", ".swamp-probe/0123": b"left"})
    assert take(store).entries == 1


# --- interruption ----------------------------------------------------------------------------------------------------


def _source() -> dict[str, bytes]:
    bodies = {f"files/{n}": bytes([65 + n]) * (n * 3000) for n in range(5)}
    return legacy(bodies, **{"files/1": an_entry(3000)})


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("copy", [False, True])
def test_interrupted_at_every_call_then_run_again(copy: bool, where: str) -> None:
    expected = {name: body for name, body in _source().items() if name != INDEX}
    calls = 0
    while True:
        store = memory(_source())
        hooked = Hooked(store)
        left = calls

        def die(*args: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        setattr(hooked, where, die)
        try:
            take(hooked, copy=copy)
        except Crash:
            partial = held(store)
            assert partial.items() <= expected.items()
        else:
            break
        report = take(store, copy=copy)
        assert adds_up(report)
        assert report.imported + report.unchanged == len(expected)
        assert held(store) == expected
        assert take(store, copy=copy).imported == 0
        assert {name: contents(store)[name][0] for name in _source()} == _source()
        calls += 1
    assert calls > 20


# --- a source that moves ---------------------------------------------------------------------------------------------


def test_an_index_that_changes_during_the_import_is_reported() -> None:
    store = memory(legacy({"files/a": b"a"}))
    hooked = Hooked(store)
    later = legacy({"files/a": b"a", "files/b": b"b"})

    def write(verb: str, name: str, size: int) -> None:
        if verb == "list" and INDEX in later:
            put(store, "files/b", b"b")
            put(store, INDEX, later.pop(INDEX))

    # The rewrite comes after the index was read: when the objects are listed for the second time.
    hooked.after = lambda verb, name, size: write(verb, name, size) if reading else None
    reading: list[str] = []
    report = take(hooked, progress=lambda phase, done, total: reading.append(phase) if total else None)
    assert report.source_moved == [INDEX]
    assert report.imported == 1
    again = take(store)
    assert (again.source_moved, again.imported, again.unchanged) == ([], 1, 1)


def test_an_index_rewritten_while_it_is_read_stops_the_import() -> None:
    store = memory(legacy({"files/a": b"a"}))
    hooked = Hooked(store)
    hooked.before = lambda verb, name: put(store, INDEX, b"{}") if (verb, name) == ("get", INDEX) else None
    with pytest.raises(Conflict, match="rewritten"):
        take(hooked)


def test_a_partition_that_vanishes_during_the_import_is_reported() -> None:
    meta = json.dumps({"version": 2, "partitions": ["a"], "commitSeq": 5}).encode()
    parts = {"_index/_meta.json": meta, "_index/a.json": index_bytes({"files/a": entry_of(b"a")})}
    store = memory({"files/a": b"a"} | parts)
    report = take(store, progress=lambda phase, *_: run(store.delete(["_index/a.json"])) if "check" in phase else None)
    assert report.source_moved == ["_index/a.json"]
    assert report.imported == 1


# --- large contents --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy", [False, True])
def test_a_large_file_is_never_whole_in_memory(tmp_path: Path, copy: bool) -> None:
    body = bytes(range(256)) * (2 * PART_BYTES // 256) + b"tail"
    index = index_bytes({"files/big": an_entry(len(body)), "files/small": entry_of(b"s")})
    hooked = Hooked(memory({"files/big": body, "files/small": b"s", INDEX: index}))
    sizes: list[int] = []
    hooked.after = lambda verb, name, size: sizes.append(size) if verb == "get" and name == "files/big" else None
    target = LocalStore(tmp_path / "target", create=True) if copy else hooked
    report = take(hooked, target, copy=copy)
    assert (report.imported, report.copied_bytes) == (2, len(body) + 1 if copy else 0)
    assert sizes == [PART_BYTES, PART_BYTES, 4]
    assert held(target) == {"files/big": body, "files/small": b"s"}


@pytest.mark.parametrize("copy", [False, True])
def test_a_large_file_rewritten_while_it_is_read(copy: bool) -> None:
    body = b"x" * (PART_BYTES + 1)
    store = memory({"files/big": body, INDEX: index_bytes({"files/big": an_entry(len(body))})})
    hooked = Hooked(store)

    def rewrite(verb: str, name: str, size: int) -> None:
        if verb == "get" and name == "files/big":
            run(store.put(name, b"y" * len(body), Overwrite()))

    hooked.after = rewrite
    report = take(hooked, copy=copy)
    assert report.damaged_examples == ["files/big: it was rewritten while it was read"]
    assert held(store) == {}


# --- the sums --------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        "files/a",
        "files/b",
        "data/t/m/n/1/raw",
        "data/t/m/n/latest",
        "x",
        "secrets/s",
        "_catalog.db",
        "a//b",
        "z-bundles/1",
    ]
)
FATES = st.sampled_from(["right", "unhashed", "absent", "longer", "other"])


@given(
    plan=st.dictionaries(KEYS, FATES),
    first=st.sampled_from(["none", "copy", "in place", "index only"]),
    copy=st.booleans(),
    later=st.dictionaries(KEYS, FATES),
)
@settings(max_examples=60, deadline=None)
def test_every_rel_ends_in_exactly_one_way(plan: dict[str, str], first: str, copy: bool, later: dict[str, str]) -> None:
    store = MemoryStore(url="memory://source")
    _lay_out(store, plan, "2026-06-01T00:00:00.001Z")
    if first != "none":
        assert adds_up(take(store, copy=first == "copy", index_only=first == "index only"))
    _lay_out(store, plan | later, "2026-06-02T00:00:00.001Z")
    plan = plan | later
    dry = take(store, copy=copy, dry_run=True)
    report = take(store, copy=copy)
    assert adds_up(dry)
    assert adds_up(report)
    assert report.entries == len(plan)
    data = {key: fate for key, fate in plan.items() if key not in ("secrets/s", "_catalog.db", "a//b", "z-bundles/1")}
    good = {key for key, fate in data.items() if fate in ("right", "unhashed")}
    assert report.imported + report.unchanged == len(good)
    assert report.dangling == sum(fate == "absent" for fate in data.values())
    assert report.checked == report.imported
    if first == "none":
        assert held(store).keys() == good
    again = take(store, copy=copy)
    assert (again.imported, again.unchanged) == (0, len(good))


def _lay_out(store: MemoryStore, plan: dict[str, str], modified: str) -> None:
    entries = {}
    for key, fate in plan.items():
        body = f"{key} at {modified}".encode()
        entries[key] = an_entry(len(body), modified) if fate == "unhashed" else entry_of(body, modified)
        stored = {"longer": body + b"!", "other": b"?" * len(body)}.get(fate, body)
        if key != "a//b":
            run(store.delete([key]) if fate == "absent" else store.put(key, stored, Overwrite()))
    run(store.put(INDEX, index_bytes(entries), Overwrite()))


# --- progress --------------------------------------------------------------------------------------------------------


def test_progress_is_told_phase_by_phase() -> None:
    bodies = {f"files/{n:04}": b"%d" % n for n in range(1200)}
    entries = {rel: entry_of(body) if n % 2 else an_entry(len(body)) for n, (rel, body) in enumerate(bodies.items())}
    store = memory(bodies | {INDEX: index_bytes(entries)})
    told: list[tuple[str, int, int]] = []
    take(store, progress=lambda *what: told.append(what))
    phases = list(dict.fromkeys(phase for phase, _, _ in told))
    assert phases == [
        "reading the index",
        "checking objects",
        "comparing with the namespace",
        "hashing objects",
        "appending entries",
        "compacting",
        "checking the result",
    ]
    assert ("checking objects", 1200, 1200) in told
    assert ("appending entries", 1200, 1200) in told
    for one, other in pairwise(told):
        assert one[0] != other[0] or one[1] <= other[1]
    told.clear()
    other = MemoryStore(url="memory://other")
    take(store, other, copy=True, progress=lambda *what: told.append(what))
    assert ("copying contents", 1200, 1200) in told
    with pytest.raises(NotFound):
        run(space(other).read("nothing"))
    assert run(space(other).get("files/0007")).meta.at != External("files/0007")  # type: ignore[union-attr]
