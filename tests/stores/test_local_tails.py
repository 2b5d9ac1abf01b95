"""A look at many lane files: the same as a listing and a read of each, and nothing of an old file under a new name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.stores import local_tails
from swampstore.stores.base import Create
from swampstore.stores.lanes import LaneLook
from swampstore.stores.local import LocalStore
from swampstore.values.lane_file import LaneHeader, encode_header
from swampstore.values.names import Names

NAMES = Names("ns")
HEADER = encode_header(LaneHeader("w" + "0" * 24, 1))


def lane(number: int) -> str:
    return f"w{number:024x}"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, durable=False, lanes=True)


def opened(store: LocalStore, number: int):  # type: ignore[no-untyped-def]
    assert store.lanes is not None
    return run(store.lanes.open_lane(NAMES.lane_file(lane(number)), encode_header(LaneHeader(lane(number), 1)), 4096))


def look(
    store: LocalStore, *numbers: int, ends: dict[str, int] | None = None, after: dict[str, int] | None = None
) -> LaneLook:
    assert store.lanes is not None
    ends = ends or {lane(number): len(HEADER) for number in numbers}
    return run(store.lanes.look(NAMES.log, "lane", ends, after or {}))


def test_files_asked_about_are_read_and_the_rest_is_listed(store: LocalStore, tmp_path: Path) -> None:
    one, two = opened(store, 1), opened(store, 2)
    for name in (NAMES.segment("s01", 1), NAMES.segment(lane(3), 1), NAMES.log + "stray", NAMES.log + "stray-too"):
        run(store.put(name, b"x", Create()))
    one.append_now(b"first")
    found = look(store, 1)
    assert {name: body.rstrip(b"\0") for name, body in found.found.items()} == {lane(1): b"first"}
    listed = [item.name for item in run(store.list(NAMES.log)).items]
    assert sorted([item.name for item in found.page.items] + [NAMES.lane_file(lane(1))]) == sorted(listed)
    assert sorted(set(listed)) == sorted(listed)
    two.append_now(b"second")
    found = look(store, ends={lane(1): one.end, lane(2): len(HEADER)})
    assert found.there == {lane(1), lane(2)}
    assert found.found.keys() == {lane(2)}
    assert found.found[lane(2)].startswith(b"second")
    one.append_now(b"third")
    assert look(store, ends={lane(1): one.end - 5}).found[lane(1)].startswith(b"third")
    assert [item.name for item in look(store, 1, 2).page.items if item.name.endswith("/lane")] == []


def test_of_a_folder_with_a_floor_the_slots_behind_it_are_named_up_to_the_first_that_is_missing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [1, 2, 3, 4, 5, 6, 8, 9]
    for name in (*(NAMES.segment("s00", slot) for slot in held), NAMES.segment("s01", 1), NAMES.log + "s00/stray"):
        run(store.put(name, b"x", Create()))
    asked: list[str] = []
    real = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: (asked.append(path), real(path))[1])
    found = [item for item in look(store, after={"s00": 4}).page.items if "/s00/" in item.name]
    assert [item.name for item in found] == [NAMES.segment("s00", slot) for slot in (5, 6)]
    assert asked[:3] == [f"{store.root}/{NAMES.segment('s00', slot)}" for slot in (5, 6, 7)]
    assert len(asked) == 4, "and the one of the other lane, which is listed"
    monkeypatch.undo()
    assert found == [run(store.head(item.name)).info for item in found]
    assert [item.name for item in look(store, after={"s00": 9, "s01": 1, "s02": 7}).page.items] == []


def test_a_file_that_is_gone_is_not_in_the_look(store: LocalStore) -> None:
    assert store.lanes is not None
    opened(store, 1).close()
    assert look(store, 1).there == {lane(1)}
    assert run(store.lanes.remove_lane(NAMES.lane_file(lane(1)), 0))
    found = look(store, 1)
    assert (found.there, found.found, found.page.items) == (frozenset(), {}, ())
    assert look(store, 7).there == frozenset()


@pytest.mark.parametrize("kept", [False, True])
def test_a_file_put_in_its_place_is_read_after_a_second(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Whether the one before it has gone, or only its name."""
    opened(store, 1)
    look(store, 1)
    path = tmp_path / NAMES.lane_file(lane(1))
    other = tmp_path / "other"
    other.write_bytes(HEADER + b"restored")
    if kept:
        path.rename(tmp_path / "aside")
    os.replace(other, path)
    monkeypatch.setattr(local_tails, "_SURE_S", 0.0)
    store.lanes._tails._watched[NAMES.log].sure_until = 0.0  # type: ignore[union-attr]
    look(store, 1)
    assert look(store, 1).found[lane(1)].startswith(b"restored")


def test_few_files_stay_open_and_none_after_the_store_is_closed(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_tails, "KEPT_FILES", 3)
    files = [opened(store, number) for number in range(8)]
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert len(look(store, *range(8)).there) == 8
        assert len(os.listdir("/proc/self/fd")) == before + 3
    run(store.close())
    assert len(os.listdir("/proc/self/fd")) == before
    for file in files:
        file.close()
