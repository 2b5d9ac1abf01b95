"""A store that runs full in the middle of a push: what was uploaded is taken back, and the next push goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

import pytest

from swampstore.errors import StoreFull, StoreUnavailable
from swampstore.protocols import contents
from swampstore.stores.base import Body, Stored, When
from swampstore.stores.memory import MemoryStore
from tests.sync.machines import Machine
from tests.sync.virtual import VirtualEnv

Make = Callable[..., Machine]


def blobs(machine: Machine) -> int:
    return sum("/blob/" in name for name in machine.store._objects)


@pytest.fixture
def full(machine: Make, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Callable[[], None]]:
    """A machine with six files, and a store that holds three of them until it is told to make room."""
    a = machine("a")
    a.env = VirtualEnv()
    for number in range(6):
        a.write(f"d/{number}", os.urandom(300_000))
    room = [3]
    put = MemoryStore.put

    async def bounded(self: MemoryStore, name: str, body: Body, when: When) -> Stored:
        if "/blob/" in name:
            if not room[0]:
                raise StoreFull("no space left", hint="make some")
            room[0] -= 1
        return await put(self, name, body, when)

    monkeypatch.setattr(MemoryStore, "put", bounded)

    def make_room() -> None:
        room[0] = 100

    return a, make_room


def test_what_was_uploaded_is_taken_back(full: tuple[Machine, Callable[[], None]]) -> None:
    a, make_room = full
    with pytest.raises(StoreFull):
        a.sync()
    assert blobs(a) == 0
    make_room()
    assert (a.sync().pushed, blobs(a)) == (6, 6)


def test_without_taking_back_it_would_stay_for_a_day(
    full: tuple[Machine, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = full

    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(contents, "_take_back", nothing)
    with pytest.raises(StoreFull):
        a.sync()
    assert blobs(a) == 3


def test_a_store_that_is_away_then_is_no_other_error(
    full: tuple[Machine, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = full

    delete = MemoryStore.delete

    async def away(self: MemoryStore, names: Sequence[str]) -> None:
        if any("/blob/" in name for name in names):
            raise StoreUnavailable("away", hint="wait")
        await delete(self, names)

    monkeypatch.setattr(MemoryStore, "delete", away)
    with pytest.raises(StoreFull) as caught:
        a.sync()
    assert any("stay until the sweep" in note for note in caught.value.__notes__)


# --- the disk of the tree --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [1, 9])
def test_files_that_did_not_reach_the_disk_are_not_noted(
    machine: Make, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    a, b = machine("a"), machine("b")
    for number in range(files):
        a.write(f"d/{number}", "x")
    a.sync()

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(StoreUnavailable):
            b.sync(push=False)
    report = b.sync(push=False)
    assert (report.pulled, len(b.files())) == (0, files)  # in place, and noted now
    assert b.sync().unchanged == files


def test_a_file_system_that_cannot_sync_folders_is_no_trouble(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = machine("a"), machine("b")
    a.write("d/x", "x")
    a.sync()

    def unable(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unable)
    assert b.sync(push=False).pulled == 1
