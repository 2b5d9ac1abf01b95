"""Many callers of one lane file: threads and tasks share frames; a failure, an interruption, a death of the process."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.client.aio import AsyncDatastore, AsyncNamespace
from swampstore.client.core import CoreStore
from swampstore.env.aio import AioEnv
from swampstore.errors import BadKey, StoreFull
from swampstore.limits import GATHERED_PUTS, INLINE_CONTENT_BYTES, KEY_BYTES, LANE_FRAME_BYTES, SEGMENT_DELTAS
from swampstore.protocols import lane_writer, small_puts
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


def in_one_turn(local: LocalStore, *calls: Callable[[AsyncNamespace], Awaitable[Any]]) -> list[Any]:
    """What each call came to; all are made in one turn of a loop, behind a first put that opens the lane."""

    async def work() -> list[Any]:
        opened = CoreStore(local, AioEnv())
        ns = AsyncDatastore(opened).namespace("ops")
        ns._core._proved = True
        await ns.put("first", b"")
        found = await asyncio.gather(*(call(ns) for call in calls), return_exceptions=True)
        await opened.close()
        return found

    return asyncio.run(work())


def test_what_tasks_put_in_one_turn_is_stamped_in_its_order(local: LocalStore) -> None:
    """Whatever way each goes: of two writes of one key the later call wins."""
    acks = in_one_turn(
        local,
        lambda ns: ns.put("deleted", b"1"),
        lambda ns: ns.delete("deleted"),
        lambda ns: ns.put("back", b"1"),
        lambda ns: ns.put_many({"back": b"2", "other": b"2"}),
        lambda ns: ns.put("back", b"3"),
        lambda ns: ns.put("labelled", b"1"),
        lambda ns: ns.put("labelled", b"2", tags={"x": "y"}),
    )
    versions = [version for ack in acks for version in ack.versions]
    assert versions == sorted(set(versions))
    ns = open_ns(local)
    assert [(entry.key, ns.read(entry.key)) for entry in ns.list()] == [
        ("back", b"3"), ("first", b""), ("labelled", b"2"), ("other", b"2"),
    ]  # fmt: skip


def test_tasks_share_frames_however_many_they_are(local: LocalStore) -> None:
    count = GATHERED_PUTS * 2 + 7
    data = {f"k/{number:05}": b"x" * (number % 300) for number in range(count)}
    puts = [partial(AsyncNamespace.put, key=key, data=held) for key, held in data.items()]
    acks = in_one_turn(local, *puts, lambda ns: ns.delete("k/00000"))
    (name,) = lane_names(local)
    frames = frames_of(local, name)
    versions = [record.version for record in frames.records[1:]]
    assert [record.key for record in frames.records] == ["first", *data, "k/00000"]
    assert [ack.version for ack in acks] == versions == sorted(versions)
    assert {(ack.slot, ack.shared_by) for ack in acks} == {(frames.ends[1], count + 1)}
    assert all(min(ack.phases.values()) >= 0 for ack in acks)
    assert {entry.key: entry.size for entry in open_ns(local).list("k/00001")} == {"k/00001": 1}


def test_however_many_tasks_put_in_one_turn_no_frame_is_too_large_to_be_read(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch goes into one frame, and readers stop at a frame with more records than any writer may put into it."""
    overhead = 200
    assert GATHERED_PUTS <= SEGMENT_DELTAS
    assert GATHERED_PUTS * (INLINE_CONTENT_BYTES + KEY_BYTES + overhead) <= LANE_FRAME_BYTES
    monkeypatch.setattr(small_puts, "GATHERED_PUTS", 3)
    monkeypatch.setattr(lane_writer, "SEGMENT_DELTAS", 4)
    puts = [partial(AsyncNamespace.put, key=f"k/{number}", data=b"") for number in range(10)]
    acks = in_one_turn(local, *puts)
    (name,) = lane_names(local)
    frames = frames_of(local, name)
    assert [after - before for before, after in itertools.pairwise((0, *frames.upto))] == [1, 3, 3, 4, 0]
    assert [frames.records[number].version for number in range(1, 11)] == [ack.version for ack in acks]


def test_a_refused_key_is_the_matter_of_its_caller_alone(local: LocalStore) -> None:
    good = lambda key: lambda ns: ns.put(key, b"")  # noqa: E731
    found = in_one_turn(local, good("a"), good("../b"), good("c"), good("d//e"))
    assert [type(one) for one in found] == [swampstore.Ack, BadKey, swampstore.Ack, BadKey]
    assert [one.shared_by for one in found if isinstance(one, swampstore.Ack)] == [2, 2]


def test_a_write_that_fails_fails_for_every_task_and_the_next_goes_on(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = os.pwrite, [2]  # it is tried once more, in a new lane

    def full(*args: Any) -> int:
        if left[0] and args[2]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "no space")
        return real(*args)

    async def refused(ns: AsyncNamespace) -> None:
        monkeypatch.setattr(local_lanes.os, "pwrite", full)
        await ns.put("a", b"")

    async def later(ns: AsyncNamespace) -> Any:
        with pytest.raises(StoreFull):
            await ns.put("b", b"")
        return await ns.put("c", b"")

    found = in_one_turn(local, refused, later)
    assert isinstance(found[0], StoreFull)
    assert found[1].shared_by == 1
    assert [entry.key for entry in open_ns(local).list()] == ["c", "first"]


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
    while len(ns._core.writer.files.group.queue) < 6:  # type: ignore[union-attr, attr-defined]
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
