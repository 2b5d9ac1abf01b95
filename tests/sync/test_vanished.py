"""A machine that was away comes back after tombstone and victim are gone from the namespace without a trace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.workers.sync.mirror import Mirror
from tests.sync.machines import Machine

DAY_S = 24 * 3600.0


class Aging:
    """Two machines on one fake clock."""

    def __init__(self, root: Path) -> None:
        self.env = FakeEnv()
        store = MemoryStore(self.env)
        self.a = Machine(store, root / "a", env=self.env)
        self.b = Machine(store, root / "b", env=self.env)

    def days(self, count: int) -> None:
        for _ in range(count):
            self.env.advance(DAY_S)
            self.a.write("daily", f"{self.env.wall}", mtime=None)
            self.a.sync()
            self.a.compact()

    def trace(self, key: str) -> object:
        snapshot = run(self.a.namespace().snapshot())
        return run(snapshot.record(key))


@pytest.mark.parametrize("place", ["log", "inline", "level0", "shard"])
def test_it_is_deleted_all_the_same(tmp_path: Path, place: str) -> None:
    world = Aging(tmp_path)
    a, b = world.a, world.b
    a.write("aaa", "1")
    a.write("zzz", "1")
    a.sync()
    if place == "shard":
        a.compact()
    a.write("goes", "1")
    a.write("goes-too/x", "1")
    if place == "level0":
        for number in range(200):
            a.write(f"many/{number}", os.urandom(2000))
    a.sync()
    if place == "shard":
        a.compact()
    elif place != "log":
        a.compact(full=False)
        root = run(a.namespace().register.read()).root
        assert bool(root.level0) == (place == "level0")
        assert bool(root.inline) == (place == "inline")
    b.sync()
    assert "goes" in b.files()
    a.remove("goes")
    a.remove("goes-too/x")
    a.sync()
    world.days(6)
    assert world.trace("goes") is None, "the tombstone was not dropped: this proves nothing"
    report = b.sync()
    assert (report.deleted_local, report.pushed) == (2, 0)
    assert b.files() == a.files()
    assert b.sync().idle
    assert a.sync().idle


def test_a_scope_that_was_never_compared_finds_them_too(tmp_path: Path) -> None:
    world = Aging(tmp_path)
    a, b = world.a, world.b
    for key in ("d/goes", "d/stays", "e/stays"):
        a.write(key, key)
    a.sync()
    a.compact()
    b.sync()
    a.remove("d/goes")
    a.sync()
    world.days(6)
    assert world.trace("d/goes") is None
    assert b.sync(prefix="d/").deleted_local == 1
    assert b.sync(prefix="e/").idle
    assert set(b.files()) == {"d/stays", "e/stays"}


def test_what_was_only_moved_by_merges_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that b saw in the log and are in shards now are not asked for one by one, and not deleted."""

    async def refuse(*_: object) -> None:
        raise AssertionError("a key was asked for")

    world = Aging(tmp_path)
    a, b = world.a, world.b
    for number in range(300):
        a.write(f"d/{number}", f"{number}")
    a.sync()
    b.sync()
    world.days(2)
    monkeypatch.setattr(Mirror, "snapshot", refuse)
    report = b.sync()
    assert (report.deleted_local, report.unchanged, report.pulled) == (0, 300, 1)
    assert b.requests <= 2 + 2 + 1, b.last and b.last.names


def test_contents_written_within_the_grain_of_the_clock_are_seen(tmp_path: Path) -> None:
    """Same size, same time, same inode: only the hash tells, and it is taken while the row is as young as the file."""
    world = Aging(tmp_path)
    a, b = world.a, world.b
    now = world.env.wall / 1000
    path = a.write("x", "one", mtime=now)
    a.sync()
    b.sync()
    with path.open("r+") as file:
        file.write("two")
    os.utime(path, (now, now))
    assert a.sync().pushed == 1
    b.sync()
    assert b.files() == {"x": b"two"}
    world.env.advance(10)
    a.sync()
    with path.open("r+") as file:
        file.write("sly")
    os.utime(path, (now, now))
    assert a.sync().idle, "an old file of the same size, time and inode is not read"
