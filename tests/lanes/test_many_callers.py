"""Many callers of one lane file: threads and tasks share frames; a failure, an interruption, a death of the process."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.client.aio import AsyncDatastore
from swampstore.client.core import CoreStore
from swampstore.env.aio import AioEnv
from swampstore.errors import StoreFull
from swampstore.stores import local_lanes
from swampstore.stores.local import LocalStore
from tests.lanes.conftest import frames_of, lane_names, open_ns


def test_threads_share_frames_and_each_gets_its_own(local: LocalStore) -> None:
    ns = open_ns(local)
    ns.put("first", b"")
    go = threading.Barrier(16)
    acks: dict[str, Any] = {}

    def work(thread: int) -> None:
        go.wait()
        for number in range(25):
            key = f"{thread}/{number}"
            acks[key] = ns.put(key, key.encode()) if number % 3 else ns.put_many({key: key.encode(), f"{key}b": b""})

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (name,) = lane_names(local)
    frames = frames_of(local, name)
    assert len(frames.records) == 1 + 16 * (25 + 9)
    at = {record.version: position for position, record in enumerate(frames.records)}
    for key, ack in acks.items():
        number = list(frames.ends).index(ack.slot)
        last, first = frames.upto[number], frames.upto[number - 1]
        assert frames.records[at[ack.version]].key == key
        assert all(first <= at[version] < last for version in ack.versions)  # an atomic batch is in one frame
    stats = ns._core.writer.stats
    assert stats.appends == 1 + 16 * 25
    assert stats.batches == frames.count


def test_tasks_of_one_turn_share_one_frame(local: LocalStore) -> None:
    async def work() -> None:
        opened = CoreStore(local, AioEnv())
        ns = AsyncDatastore(opened).namespace("ops")
        ns._core._proved = True
        await ns.put("first", b"")
        acks = await asyncio.gather(*(ns.put(f"k/{number}", b"x") for number in range(64)))
        assert {(ack.slot, ack.shared_by) for ack in acks} == {(acks[0].slot, 64)}
        assert (await ns.put("alone", b"")).shared_by == 1
        cancelled = asyncio.ensure_future(ns.put("cancelled", b""))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert len((await ns.list()).entries) == 67  # cancelling a caller never cancels a write
        await opened.close()

    asyncio.run(work())


def test_a_batch_that_fails_fails_for_each_and_the_turn_goes_on(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = open_ns(local)
    ns.put("first", b"")
    inside, release = threading.Event(), threading.Event()
    real = os.pwrite

    def held(*args: Any) -> int:
        if not release.is_set():
            inside.set()
            release.wait()
            return real(*args)
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(local_lanes.os, "pwrite", held)
    outcomes: list[object] = []

    def work(number: int) -> None:
        try:
            outcomes.append(ns.put(f"k/{number}", b""))
        except StoreFull as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work, args=(0,))]
    threads[0].start()
    inside.wait()
    threads += [threading.Thread(target=work, args=(number,)) for number in range(1, 6)]
    for thread in threads[1:]:
        thread.start()
    while len(ns._core.writer.files.group._queue) < 5:  # type: ignore[union-attr, attr-defined]
        threading.Event().wait(0.001)
    release.set()
    for thread in threads:
        thread.join()
    assert sum(isinstance(one, StoreFull) for one in outcomes) == 5
    monkeypatch.setattr(local_lanes.os, "pwrite", real)
    ns.put("last", b"")
    assert [entry.key for entry in ns.list()] == ["first", "k/0", "last"]


def test_an_interrupted_write_finishes_the_lane(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ns = open_ns(local)
    ns.put("first", b"")

    def interrupt(*_: Any) -> int:
        raise KeyboardInterrupt

    for write in (lambda: ns.put("a", b""), lambda: ns.delete("a")):
        before = ns.put("before", b"")
        with monkeypatch.context() as patch:
            patch.setattr(local_lanes.os, "pwrite", interrupt)
            with pytest.raises(KeyboardInterrupt):
                write()
        assert ns.put("after", b"").lane != before.lane


# --- the process dies -------------------------------------------------------------------------------------------------

CHILD = """
import sys
import swampstore
ns = swampstore.open(sys.argv[1]).namespace("ops")
for number in range(10**9):
    ns.put(f"k/{number:06}", b"x" * 100)
    print(number, flush=True)
"""


@pytest.mark.parametrize("durability", ["durable", "buffered"])
def test_a_killed_process_loses_nothing(durability: str, tmp_path: Path) -> None:
    url = f"file://{tmp_path}?lanes=on&durability={durability}"
    child = subprocess.Popen([sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = -1
    while acknowledged < 300:
        acknowledged = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    acknowledged = max([acknowledged, *map(int, rest)])
    with swampstore.open(url) as store:
        held = [entry.key for entry in store.namespace("ops").list("k/")]
        assert held[: acknowledged + 1] == [f"k/{number:06}" for number in range(acknowledged + 1)]
        assert len(held) <= acknowledged + 2
        store.namespace("ops").put("k/next", b"")
