"""Import goes on past what is bad: single entries of the index, odd times, objects of another swampstore."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import CorruptObject, MissingObject, Misuse
from swampstore.stores.base import Create
from swampstore.stores.memory import MemoryStore
from swampstore.values.deltas import Put
from swampstore.workers.legacy.importer import ImportOptions, import_legacy
from swampstore.workers.legacy.index import detect, load
from swampstore.workers.legacy.rules import Place
from tests.legacy.helpers import an_entry, index_bytes
from tests.legacy.import_world import INDEX, adds_up, contents, entry_of, held, legacy, memory, space, take

BAD: dict[str, Any] = {
    "files/a-list": [],
    "files/no-size": {},
    "files/negative": an_entry(-1),
    "files/odd-time": an_entry(modified="yesterday"),
    "files/short-hash": an_entry(sha256="ab"),
    "secrets/odd": {},
}


@pytest.mark.parametrize("options", [{}, {"copy": True}, {"index_only": True}, {"dry_run": True}])
def test_a_bad_entry_is_damaged_and_the_others_are_imported(options: dict[str, bool]) -> None:
    store = memory(legacy({"files/good": b"good"}, **BAD))
    report = take(store, **options)
    assert adds_up(report)
    assert (report.entries, report.imported, report.damaged, report.dropped) == (7, 1, 5, {"secrets": 1})
    assert "files/negative: its entry in the index: it has no usable size" in report.damaged_examples
    if not options.get("dry_run"):
        assert held(store) == {"files/good": b"good"}
        again = take(store, **options)
        assert adds_up(again)
        assert (again.imported, again.unchanged, again.damaged) == (0, 1, 5)


def test_who_wants_all_or_nothing_gets_an_error() -> None:
    store = memory(legacy({"files/good": b"good"}, **BAD))
    index = run(detect(store, Place()))
    with pytest.raises(CorruptObject, match="a-list"):
        run(load(store, index))


def test_a_good_entry_of_the_same_rel_counts() -> None:
    body = index_bytes({})[:-3] + b'{"files/a": {"size": -1}, "files/a": {"size": 2}}}'
    report = take(memory({"files/a": b"aa", INDEX: body}))
    assert (report.entries, report.imported, report.damaged) == (1, 1, 0)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("when", ["1912-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"])
def test_times_of_broken_clocks_stop_nothing(when: str, copy: bool) -> None:
    store = memory(legacy({"files/a": b"a"}, **{"files/a": entry_of(b"a", when)}))
    assert take(store, copy=copy).imported == 1
    assert held(store) == {"files/a": b"a"}
    assert take(store, copy=copy).unchanged == 1


def test_a_missing_partition_names_the_option_that_goes_on() -> None:
    meta = b'{"version": 2, "partitions": ["data", "gone"], "commitSeq": 1}'
    store = memory({"_index/_meta.json": meta, "_index/data.json": index_bytes({})})
    with pytest.raises(MissingObject) as caught:
        take(store)
    assert "--partial" in caught.value.hint
    assert take(store, partial=True).missing_partitions == ["_index/gone.json"]


# --- objects of another swampstore ---------------------------------------------------------------------------------


def another() -> MemoryStore:
    """A store of this library with a namespace in every kind of object."""
    store = MemoryStore(url="memory://another")
    ns = space(store)
    for number in range(3):
        run(ns.append([Put(key=f"files/{number}", data=b"x" * 9000 * (number + 1))]))
    run(ns.compact())
    run(ns.append([Put(key="files/late", data=b"late")]))
    return store


def test_a_namespace_of_this_library_is_refused() -> None:
    target = MemoryStore(url="memory://target")
    with pytest.raises(Misuse, match="namespace of swampstore itself") as caught:
        take(another(), target, place=Place("", "ops"), copy=True)
    assert "migrate" in caught.value.hint
    assert not contents(target)
    assert take(another(), target, copy=True).entries == 0, "from above its namespaces are stepped over"


@pytest.mark.parametrize("indexed", [False, True])
def test_its_objects_beside_legacy_files_are_dropped_with_a_reason(indexed: bool) -> None:
    store, target = another(), MemoryStore(url="memory://target")
    ours = len(contents(store))
    for rel, body in (legacy({"files/a": b"a"}) if indexed else {"files/a": b"a"}).items():
        run(store.put(f"ops/{rel}", body, Create()))
    report = run(import_legacy(space(target), store, Place("", "ops"), ImportOptions(copy=True)))
    assert adds_up(report)
    assert held(target) == {"files/a": b"a"}
    if indexed:
        assert (report.entries, report.unindexed) == (1, 0)
    else:
        assert report.dropped == {"swampstore-internals": ours}
