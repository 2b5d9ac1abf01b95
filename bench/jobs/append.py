"""Appends: one after the other, and many at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from typing import Any

PAYLOAD = b'{"decision": "provider-a", "reason": "cheapest that is up"}'


def appends(url: str, namespace: str, count: int) -> Generator[None, None, dict[str, Any]]:
    """``count`` puts in a row; ms of each, and what they asked of the store.

    A first append, which connects and proves the store's preconditions, belongs to the start-up.
    """
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish
    from swampstore.values.deltas import Put

    core, space, counts = open_counted(url, namespace)
    finish(space.put(Put(key="bench/first", data=PAYLOAD)))
    counts.reset()
    yield
    took = []
    for number in range(count):
        began = time.perf_counter()
        finish(space.put(Put(key=f"bench/{number % 50}", data=PAYLOAD)))
        took.append((time.perf_counter() - began) * 1000)
    asked, written = dict(counts.requests), counts.bytes_up
    finish(core.close())
    return {
        "ms": took,
        "locks": counts.locks,
        "requests": asked,
        "bytes_read": counts.bytes_down,
        "bytes_written": written,
    }


def burst_threads(url: str, namespace: str, callers: int) -> Generator[None, None, dict[str, Any]]:
    """One append from each of many threads of one client, released together; ms of each."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.values.deltas import Put

    core, space = open_core(url, namespace)
    finish(space.put(Put(key="bench/first", data=PAYLOAD)))
    before = space.writer.stats.batches
    barrier = threading.Barrier(callers + 1)
    took: list[tuple[float, int]] = []
    failed: list[BaseException] = []

    def one(number: int) -> None:
        barrier.wait(60)
        began = time.perf_counter()
        try:
            ack = finish(space.put(Put(key=f"bench/{number}", data=PAYLOAD)))
        except BaseException as error:
            failed.append(error)
            raise
        took.append(((time.perf_counter() - began) * 1000, ack.shared_by))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    yield
    barrier.wait(60)
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    batches = space.writer.stats.batches - before
    finish(core.close())
    return {"ms": [ms for ms, _ in took], "batches": batches, "largest": max(size for _, size in took)}


def burst_tasks(url: str, namespace: str, callers: int) -> Generator[None, None, dict[str, Any]]:
    """One append from each of many tasks of one asyncio client; ms of each."""
    from swampstore.client.aio import open_async

    async def work() -> dict[str, Any]:
        async with await open_async(url) as store:
            space = store.namespace(namespace)
            await space.put("bench/first", PAYLOAD)

            async def one(number: int) -> tuple[float, str, int, int]:
                began = time.perf_counter()
                ack = await space.put(f"bench/{number}", PAYLOAD)
                return (time.perf_counter() - began) * 1000, ack.lane, ack.slot, ack.shared_by

            done = await asyncio.gather(*(one(number) for number in range(callers)))
        return {
            "ms": [ms for ms, *_ in done],
            "batches": len({(lane, slot) for _, lane, slot, _ in done}),
            "largest": max(shared for *_, shared in done),
        }

    yield
    return asyncio.run(work())


def paced(url: str, namespace: str, rate: float, seconds: float) -> Generator[None, None, dict[str, Any]]:
    """Puts at ``rate`` a second for ``seconds``; ms of each from when it was due (a wait hides nothing behind it)."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.values.deltas import Put

    core, space = open_core(url, namespace)
    finish(space.put(Put(key="bench/first", data=PAYLOAD)))
    yield
    took: list[float] = []
    began = due = time.perf_counter()
    while due - began < seconds:
        now = time.perf_counter()
        if due > now:
            time.sleep(due - now)
        finish(space.put(Put(key=f"bench/{len(took):06}", data=PAYLOAD)))
        took.append((time.perf_counter() - due) * 1000)
        due += 1 / rate
    finish(core.close())
    return {"ms": took}
