"""Files and folders in each other's way: a dry run plans just what the sync then does."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.sync.machines import Machine

Make = Callable[..., Machine]


@pytest.mark.parametrize(("here", "there"), [("b", "b/y"), ("b/x", "b"), ("b", "b/c/y")])
def test_what_cannot_be_placed_is_neither_planned_nor_fetched(machine: Make, here: str, there: str) -> None:
    a, b = machine("a"), machine("b")
    a.write(there, "12345")
    a.write("other", "1")
    a.sync()
    b.write(here, "mine")
    planned, done = b.sync(dry_run=True), b.sync()
    assert [(one.action, one.path) for one in planned.changes] == [("push", here), ("pull", "other")]
    assert (planned.changes, planned.planned, planned.skipped) == (done.changes, done.planned, done.skipped)
    assert [one.path for one in done.skipped] == [there]
    assert (done.pulled, done.bytes_down, done.planned["pull"].bytes) == (1, 1, 1)
    again, idle = b.sync(dry_run=True), b.sync()
    assert (again.changes, idle.changes, idle.bytes_down) == ([], [], 0)


@pytest.mark.parametrize(("before", "after"), [("b", "b/y"), ("b/c/x", "b"), ("b/x", "b/x/y")])
def test_what_makes_room_in_the_same_sync_is_not_in_the_way(machine: Make, before: str, after: str) -> None:
    a, b = machine("a"), machine("b")
    a.write(before, "1")
    a.sync()
    b.sync()
    a.remove(before)
    if "/" in before:
        shutil.rmtree(a.tree / "b")
    a.write(after, "22")
    a.sync()
    planned, done = b.sync(dry_run=True), b.sync()
    assert (planned.changes, planned.planned, planned.skipped) == (done.changes, done.planned, done.skipped)
    assert {one.action for one in done.changes} == {"delete-local", "pull"}
    assert b.files() == a.files()


def test_of_a_file_and_a_folder_of_one_name_one_comes(machine: Make) -> None:
    a, b, c = machine("a"), machine("b"), machine("c")
    a.write("b", "file")
    b.write("b/y", "below")
    a.sync(pull=False)
    b.sync(pull=False)
    planned, done = c.sync(dry_run=True), c.sync()
    assert (planned.changes, planned.planned, planned.skipped) == (done.changes, done.planned, done.skipped)
    assert [one.path for one in done.skipped] == ["b/y"]
    assert (done.pulled, done.bytes_down) == (1, 4)
