"""What gc and repack do is seen by syncs for what it is: deletions, and nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from swampstore.client import tidying
from swampstore.env.blocking import run
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.data import Datum, meta_path, raw_path
from swampstore.values.deltas import Index, Put
from swampstore.values.entry import Inline, Meta
from swampstore.workers.leadership import Leadership
from swampstore.workers.prune import repack_all
from tests.sync.machines import Machine

HOUR_S = 3600.0


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeEnv, Machine, Machine]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    env = FakeEnv()
    store = MemoryStore(env)
    return env, Machine(store, tmp_path / "a", env=env), Machine(store, tmp_path / "b", env=env)


def test_a_repack_is_no_change(machines: tuple[FakeEnv, Machine, Machine]) -> None:
    env, a, b = machines
    for number in range(8):
        a.write(f"{number}", str(number) * 6000)
    a.sync()
    a.compact()
    b.sync()
    for number in range(5):
        a.remove(f"{number}")
    a.sync()
    a.compact()
    env.advance(48 * HOUR_S)
    core = a.namespace()
    report = run(repack_all(core.place, core.register, Leadership(core.place)))
    assert (report.published, report.members) == (True, 3)
    for one in (b, a, b):
        done = one.sync()
        assert (done.pulled, done.pushed, done.conflicts) == (0, 0, done.conflicts[:0])
    assert set(b.files()) == {"5", "6", "7"}
    a.write("6", "edited")
    b.remove("7")  # it remembers the version from before the repack
    for one in (a, b, a, b):
        assert not one.sync().conflicts
    assert a.files() == b.files() == {"5": b"5" * 6000, "6": b"edited"}


def test_what_gc_removes_is_removed_from_trees(machines: tuple[FakeEnv, Machine, Machine]) -> None:
    env, a, b = machines
    core = a.namespace()
    deltas: list[Put | Index] = [Put(key="plain", data=b"x", expires=core.place.clock.now_ms() + 1000)]
    for ordinal in range(1, 5):
        datum = Datum("t", "m", "n", ordinal, keep="2")
        text = f"name: n\nid: x\nversion: {ordinal}\ngarbageCollection: 2\ntags:\n  type: file\n".encode()
        contents = Meta(size=3, at=Inline(b"%3d" % ordinal), created=1, data=datum)
        deltas.append(Index(key=raw_path(datum.item, ordinal), meta=contents))
        about = Meta(size=len(text), at=Inline(text), created=1)
        deltas.append(Index(key=meta_path(datum.item, ordinal), meta=about))
    run(core.append(deltas))
    for one in (a, b):
        one.sync()
    assert {"plain", "data/t/m/n/1/raw", "data/t/m/n/4/raw"} <= set(a.files())
    env.advance(2)
    assert run(tidying.gc(a.namespace(), dry_run=False)).removed == 3
    for one in (b, a, b):
        one.sync()
    left = {"data/t/m/n/3/raw", "data/t/m/n/3/metadata.yaml", "data/t/m/n/4/raw", "data/t/m/n/4/metadata.yaml"}
    assert {key for key in a.files() if not key.endswith("latest")} == left
    assert a.files() == b.files()
    a.compact()
    for one in (a, b):
        one.sync()
    assert {key for key in b.files() if not key.endswith("latest")} == left
