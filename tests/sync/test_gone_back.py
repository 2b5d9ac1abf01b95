"""A store that went back (a backup was restored) or lost a segment: what is missing then was deleted by nobody."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from swampstore.stores.memory import MemoryStore
from tests.sync.machines import Machine


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(url="memory://gone-back")


def held(store: MemoryStore) -> dict[str, object]:
    return dict(store._objects)


def restore(store: MemoryStore, objects: dict[str, object]) -> None:
    store._objects.clear()
    store._objects.update(objects)  # type: ignore[arg-type]
    store._names[:] = sorted(objects)


@pytest.mark.parametrize("compacted_since", [False, True])
def test_a_restored_backup_deletes_nothing_and_is_brought_up_to_date(
    store: MemoryStore, tmp_path: Path, compacted_since: bool
) -> None:
    machine = Machine(store, tmp_path / "a")
    machine.write("a", "1")
    machine.sync()
    machine.compact()
    backup = held(store)
    machine.write("a", "2222")
    machine.write("b", "the only copy")
    machine.sync()
    if compacted_since:
        machine.compact()
        machine.sync()
    restore(store, backup)
    report = machine.sync()
    assert report.reset
    assert report.deleted_local == 0
    assert machine.files()["b"] == b"the only copy"
    other = Machine(store, tmp_path / "b")
    other.sync()
    assert other.files()["b"] == b"the only copy"
    assert b"2222" in other.files().values()


def test_a_segment_set_aside_deletes_no_file(
    store: MemoryStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = Machine(store, tmp_path / "a"), Machine(store, tmp_path / "b")
    one.write("a", "1")
    one.sync()
    one.write("c", "more")
    one.sync()
    two.sync()
    for name in [name for name in store._names if "/log/" in name]:
        flipped = bytearray(store._objects[name].body)
        flipped[len(flipped) // 2] ^= 1
        store._objects[name] = type(store._objects[name])(bytes(flipped), "flipped", store._objects[name].modified)
    with caplog.at_level(logging.WARNING, logger="swampstore"):
        one.compact()
    assert "is passed over" in caplog.text
    for machine in (two, one):
        report = machine.sync()
        assert report.deleted_local == 0
        assert machine.files() == {"a": b"1", "c": b"more"}
