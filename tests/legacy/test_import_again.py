"""Import again: only the difference, after an interruption at any point, and when the source moves meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.errors import Conflict
from swampstore.values.deltas import Put
from swampstore.values.entry import Inline
from tests.legacy.helpers import an_entry, index_bytes, put
from tests.legacy.import_world import (
    INDEX,
    Crash,
    Hooked,
    adds_up,
    contents,
    entry_of,
    held,
    legacy,
    memory,
    space,
    take,
)

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
