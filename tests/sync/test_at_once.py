"""Many syncs at once: of many trees and one namespace, and of one tree by many processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.stores.open import open_store
from swampstore.workers.sync import SyncOptions, SyncReport, sync
from tests.sync.machines import contents

SYNC = """
import sys
from pathlib import Path
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.stores.open import open_store
from swampstore.workers.sync import SyncOptions, sync
env = BlockingEnv()
core = CoreStore(open_store(sys.argv[1], env=env), env, one_shot=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    report = run(sync(core.namespace("ops"), Path(sys.argv[2]), SyncOptions()))
assert not report.conflicts, report
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def sync_once(url: str, tree: Path) -> SyncReport:
    env = BlockingEnv()
    core = CoreStore(open_store(url, env=env), env)
    try:
        return run(sync(core.namespace("ops"), tree, SyncOptions()))
    finally:
        run(core.close())


def fill(tree: Path, name: str, count: int) -> None:
    (tree / name).mkdir(parents=True)
    for number in range(count):
        path = tree / name / f"{number}"
        path.write_bytes(f"{name} {number}".encode() * 100)
        os.utime(path, (1_700_000_000, 1_700_000_000))


def test_sixteen_trees_by_threads(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    (tmp_path / "store").mkdir()
    trees = [tmp_path / f"t{number}" for number in range(16)]
    for tree in trees:
        fill(tree, tree.name, 25)
    gate = threading.Barrier(16)

    def work(tree: Path) -> SyncReport:
        gate.wait()
        return sync_once(url, tree)

    with ThreadPoolExecutor(16) as pool:
        reports = list(pool.map(work, trees))
    assert [report.pushed for report in reports] == [25] * 16
    assert [report.appends for report in reports] == [1] * 16
    for tree in trees:
        sync_once(url, tree)
    first = contents(trees[0])
    assert len(first) == 16 * 25
    assert all(contents(tree) == first for tree in trees)


def processes(url: str, trees: list[Path], rounds: int) -> list[subprocess.Popen[str]]:
    """Start one process a tree; release them together."""
    started = [
        subprocess.Popen([sys.executable, "-c", SYNC, url, str(tree), str(rounds)], stdin=subprocess.PIPE, text=True)
        for tree in trees
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return started


def test_one_tree_by_processes_while_others_push(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    (tmp_path / "store").mkdir()
    shared, other = tmp_path / "shared", tmp_path / "other"
    fill(shared, "mine", 40)
    fill(other, "theirs", 40)
    sync_once(url, shared)
    sync_once(url, other)
    (shared / "mine" / "3").unlink()
    (other / "theirs" / "4").write_bytes(b"edited")
    started = processes(url, [shared] * 4 + [other] * 2, 3)
    assert [process.wait(timeout=500) for process in started] == [0] * 6
    for tree in (shared, other, shared, other):
        report = sync_once(url, tree)
        assert (report.conflicts, report.skipped) == ([], [])
    assert report.idle
    found = contents(shared)
    assert found == contents(other)
    assert len(found) == 79
    assert found["theirs/4"] == b"edited"
