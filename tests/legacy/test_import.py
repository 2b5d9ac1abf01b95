"""Import, one rule at a time: what is judged, what is read, whose objects are passed over, and that the sums agree."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swampstore.env.blocking import run
from swampstore.errors import CorruptObject, NotFound, StoreForbidden, StoreUnavailable
from swampstore.limits import PART_BYTES
from swampstore.stores.base import Overwrite
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.values.deltas import Put
from swampstore.values.entry import External
from swampstore.workers.legacy.importer import ImportOptions, import_legacy
from swampstore.workers.legacy.rules import Place
from tests.legacy.helpers import an_entry, drain, index_bytes
from tests.legacy.import_world import (
    INDEX,
    Hooked,
    adds_up,
    entry_of,
    held,
    legacy,
    memory,
    space,
    take,
)

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
