"""Many syncs of one tree, and one of another that edits and deletes, in orders drawn from seeds: nothing false comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swampstore.stores.memory import MemoryStore
from swampstore.workers.sync.plan import Planner
from swampstore.workers.sync.report import Conflict
from swampstore.workers.sync.state import State
from tests.sync.machines import Machine
from tests.sync.turns import Turns

ROUNDS = 3
EXPECTED = {"mine": b"mine", "edited": b"2", "new/one": b"2"}


def history(root: Path, seed: int) -> None:
    """Three syncs of one tree, while the other tree's owner edits one file, deletes one, and makes one."""
    root.mkdir()
    store = MemoryStore()
    shared, other = Machine(store, root / "a"), Machine(store, root / "b")
    shared.write("mine", "mine")
    shared.write("removed", "removed")
    for key in ("edited", "deleted"):
        other.write(key, f"{key} " * 20)
    shared.sync()
    other.sync()
    if seed % 2:
        shared.sync()
    shared.remove("removed")
    turns = Turns(seed)
    conflicts: list[Conflict] = []

    def sync(machine: Machine) -> None:
        conflicts.extend(machine.sync(before=turns.point).conflicts)

    def syncs() -> None:
        for _ in range(ROUNDS):
            sync(Machine(store, root / "a", one_shot=True))

    def owns() -> None:
        for number in range(ROUNDS):
            other.write("edited", str(number), mtime=None)
            other.write("new/one", str(number), mtime=None)
            if number == 1:
                other.remove("deleted")
                if seed % 3 == 0:
                    other.compact()
            sync(Machine(store, root / "b", one_shot=True))

    with pytest.MonkeyPatch.context() as patched:
        turns.meet(patched)
        turns.run([syncs, syncs, syncs, owns])
    for machine in (shared, other, shared, other):
        conflicts += machine.sync().conflicts
    assert not conflicts, (seed, conflicts)
    assert shared.files() == EXPECTED, seed
    assert other.files() == EXPECTED, seed


def histories(root: Path, seeds: range) -> None:
    for seed in seeds:
        history(root / str(seed), seed)


def test_nothing_false_comes_of_any_order(tmp_path: Path) -> None:
    histories(tmp_path, range(12))


@pytest.mark.prove
def test_nothing_false_comes_of_many_orders(tmp_path: Path) -> None:
    histories(tmp_path, range(1_000, 2_000))


def sure_off(self: Planner, items: Iterator[Any]) -> Iterator[Any]:
    return items


def nothing_coming(self: State, rows: object) -> None:
    """Files come unannounced."""


@pytest.mark.prove
@pytest.mark.parametrize(
    ("owner", "name", "without"), [(Planner, "_sure", sure_off), (State, "set_coming", nothing_coming)]
)
def test_each_guard_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, without: object
) -> None:
    monkeypatch.setattr(owner, name, without)
    with pytest.raises(AssertionError):
        histories(tmp_path, range(400))
