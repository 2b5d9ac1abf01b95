"""Syncs of one tree that meet between two steps of one: what one has placed is never taken for somebody's change.

Each test runs a sync as a whole at one point within another, and shows that the guard is what makes the difference.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swampstore.stores.memory import MemoryStore
from swampstore.workers.sync import SyncReport, temporary
from swampstore.workers.sync.options import STATE_FOLDER
from swampstore.workers.sync.plan import Planner
from swampstore.workers.sync.pull import Puller
from swampstore.workers.sync.scan import Scan
from swampstore.workers.sync.state import State
from swampstore.workers.sync.tree import check_unchanged
from tests.sync.machines import Machine

Trees = tuple[Machine, Machine, Machine]


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    """Two syncs of one tree, and another tree whose file the first two have not seen."""
    store = MemoryStore()
    first, second, other = (
        Machine(store, tmp_path / "a"),
        Machine(store, tmp_path / "a"),
        Machine(store, tmp_path / "b"),
    )
    first.write("mine", "mine")
    first.sync()
    other.write("theirs", "old")
    other.sync()
    return first, second, other


def once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, between: Callable[[], None], *, after: bool) -> None:
    """Have ``between`` run before, or after, the next call of a method."""
    real = getattr(owner, name)
    left = [between]

    def called(*args: Any, **kwargs: Any) -> Any:
        if left and not after:
            left.pop()()
        answer = real(*args, **kwargs)
        if left:
            left.pop()()
        return answer

    monkeypatch.setattr(owner, name, called)


def rest(*machines: Machine) -> list[SyncReport]:
    return [machine.sync() for _ in range(2) for machine in machines]


def sure_off(self: Planner, items: Iterator[Any]) -> Iterator[Any]:
    return items


def nothing_coming(self: State, rows: object) -> None:
    """Files come unannounced."""


@pytest.mark.parametrize("guarded", [True, False])
def test_a_folder_listed_before_a_file_came_does_not_show_it_deleted(
    trees: Trees, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    first, second, other = trees
    if not guarded:
        monkeypatch.setattr(Planner, "_sure", sure_off)
    once(monkeypatch, Scan, "_listed", lambda: reports.append(second.sync()), after=True)
    reports: list[SyncReport] = []
    reports.append(first.sync())
    assert [report.pulled for report in reports] == [1, 0]
    assert (sum(report.deleted_remote for report in reports) == 0) == guarded
    other.sync()
    assert ("theirs" in other.files()) == guarded


@pytest.mark.parametrize("guarded", [True, False])
def test_a_file_placed_and_not_written_down_yet_is_no_change(
    trees: Trees, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    first, second, other = trees
    if not guarded:
        monkeypatch.setattr(State, "set_coming", nothing_coming)

    def between() -> None:
        other.write("theirs", "edited", mtime=None)
        other.sync()
        reports.append(second.sync())

    once(monkeypatch, Puller, "record", between, after=False)
    reports: list[SyncReport] = []
    reports.append(first.sync())
    reports += rest(first, other)
    assert (not any(report.conflicts for report in reports)) == guarded
    if guarded:
        assert first.files() == other.files() == {"mine": b"mine", "theirs": b"edited"}


@pytest.mark.parametrize("guarded", [True, False])
def test_a_file_placed_while_it_is_deleted_elsewhere_does_not_come_back(
    trees: Trees, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    first, second, other = trees
    if not guarded:
        monkeypatch.setattr(State, "set_coming", nothing_coming)

    def between() -> None:
        other.remove("theirs")
        other.sync()
        second.sync()

    once(monkeypatch, Puller, "record", between, after=False)
    first.sync()
    rest(first, other)
    assert ("theirs" in other.files()) == (not guarded)


def test_a_sync_that_is_killed_between_leaves_no_change_behind(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _, other = trees

    def killed() -> None:
        raise KeyboardInterrupt

    once(monkeypatch, Puller, "record", killed, after=False)
    with pytest.raises(KeyboardInterrupt):
        first.sync()
    other.write("theirs", "edited", mtime=None)
    other.sync()
    assert not any(report.conflicts for report in rest(first, other))
    assert first.files() == other.files() == {"mine": b"mine", "theirs": b"edited"}


def test_a_file_of_the_same_words_made_after_a_kill_is_the_user_s(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was to come never came; the same contents written by hand have a time of their own."""
    first, _, other = trees

    def killed() -> None:
        first.remove("theirs")
        raise KeyboardInterrupt

    once(monkeypatch, Puller, "record", killed, after=False)
    with pytest.raises(KeyboardInterrupt):
        first.sync()
    other.remove("theirs")
    other.sync()
    first.write("theirs", "old", mtime=None)
    rest(first, other)
    assert first.files() == other.files() == {"mine": b"mine", "theirs": b"old"}


def test_an_older_look_brings_nothing_older_back(trees: Trees) -> None:
    """The tree has moved on to the second version, and the third is known, when a sync that saw the first pulls."""
    first, second, other = trees
    ran: list[str] = []

    def before(verb: str, name: str) -> None:
        if "/log/" not in name or verb != "get" or ran:
            return
        ran.append(name)
        for words in ("second", "third"):
            other.write("theirs", words, mtime=None)
            other.sync()
            second.sync(pull=words == "second")

    reports = [first.sync(before=before)]
    assert ran
    assert first.files()["theirs"] == b"second"
    reports += rest(first, other)
    assert not any(report.conflicts for report in reports)
    assert first.files() == other.files() == {"mine": b"mine", "theirs": b"third"}


def test_nobody_places_a_file_between_the_last_look_and_the_new_name(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, other = trees
    first.sync()
    other.write("theirs", "edited", mtime=None)
    other.sync()
    held: list[bool] = []

    def checked(*args: Any) -> None:
        check_unchanged(*args)
        (state,) = (first.tree / STATE_FOLDER).glob("*.db")
        with sqlite3.connect(state, timeout=0) as db, pytest.raises(sqlite3.OperationalError, match="locked"):
            db.execute("BEGIN IMMEDIATE")
        held.append(True)

    monkeypatch.setattr(temporary, "check_unchanged", checked)
    assert first.sync().pulled == 1
    assert held
