"""Two syncs of one tree that overlap: whatever one does in the middle of the other, no file is lost here or there.

One sync runs as a whole at every store call of the other. Both keep their notes in one state, so the first must not take
what the second has written down meanwhile for something that its own, older look at the namespace should have shown.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from swampstore.stores.memory import MemoryStore
from swampstore.workers.sync import SyncReport
from swampstore.workers.sync.state import State
from tests.sync.machines import Machine

EXPECTED = {"kept": b"kept", "by/first": b"1", "by/second": b"2", "elsewhere": b"3"}
CALLS = 12


def overlap(root: Path, at: int, between: Callable[[Machine], None]) -> tuple[Machine, Machine, list[SyncReport]]:
    """A sync of a tree, during whose ``at``-th call a second one of the same tree runs; then everybody syncs to rest."""
    root.mkdir()
    store = MemoryStore()
    first, second, other = Machine(store, root / "a"), Machine(store, root / "a"), Machine(store, root / "b")
    first.write("kept", "kept")
    first.write("removed", "removed")
    first.sync()
    other.sync()
    other.write("elsewhere", "3")
    other.remove("removed")
    other.sync()
    left = [at]
    reports: list[SyncReport] = []

    def before(verb: str, name: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            second.write("by/second", "2")
            between(second)
            reports.append(second.sync())

    first.write("by/first", "1")
    reports.append(first.sync(before=before))
    if left[0] > 0:
        second.write("by/second", "2")
    reports += [first.sync(), other.sync(), first.sync()]
    return first, other, reports


@pytest.mark.parametrize("compacts", ["never", "before", "between"])
@pytest.mark.parametrize("at", range(1, CALLS))
def test_nothing_is_lost(at: int, compacts: str, tmp_path: Path) -> None:
    def between(machine: Machine) -> None:
        if compacts == "before":
            machine.compact()
        if compacts == "between":
            machine.sync()
            machine.compact()

    first, other, reports = overlap(tmp_path / "one", at, between)
    assert first.files() == EXPECTED
    assert other.files() == EXPECTED
    assert [report.conflicts for report in reports] == [[]] * len(reports)
    assert not any(report.reset for report in reports)
    assert first.sync().idle


def put_back_meanwhile(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Machine]:
    """A sync has deleted a file in the namespace; before it writes that down, the file is back and synced by another."""
    root.mkdir()
    store = MemoryStore()
    first, second, other = Machine(store, root / "a"), Machine(store, root / "a"), Machine(store, root / "b")
    first.write("file", "old")
    first.sync()
    other.sync()
    real = State.transaction

    def transaction(state: State) -> AbstractContextManager[None]:
        if deleted and not first.files().get("file"):
            first.write("file", "new")
            second.sync()
        return real(state)

    deleted: list[str] = []
    first.remove("file")
    monkeypatch.setattr(State, "transaction", transaction)
    first.sync(before=lambda verb, name: deleted.append(name) if "/log/w" in name and verb == "put" else None)
    monkeypatch.undo()
    assert deleted
    for machine in (first, other, first):
        machine.sync()
    return first, other


def test_a_deletion_written_down_late_does_not_hide_what_came_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = put_back_meanwhile(tmp_path / "one", monkeypatch)
    assert first.files() == other.files() == {"file": b"new"}
