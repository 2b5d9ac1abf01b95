"""Appends of small records to a log, ours or another's: as fast as it goes, or at a pace."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from collections.abc import Generator
from typing import Any

RECORD_BYTES = 300
_WARM = 50


def record_of(writer: int) -> bytes:
    """300 bytes that do not compress to nothing."""
    return (f"writer {writer} " + "".join(f"{(writer * 7919 + at * 104729) % 65537:05x}" for at in range(60))).encode()[
        :RECORD_BYTES
    ]


def appends(
    log: str, place: str, writer: int, durable: bool, seconds: float, rate: float = 0.0
) -> Generator[None, None, dict[str, Any]]:
    """One caller, one record a call, for ``seconds``; at ``rate`` a second (0: as fast as it goes).

    The answer has ``count``, and ``p50``, ``p99`` and ``max`` in ms. At a pace a latency counts from when the append was
    due, so that a wait does not hide the appends that waited behind it.
    """
    from bench.peers.logs import LOGS

    held, record = LOGS[log](place, writer, durable=durable), record_of(writer)
    for _ in range(_WARM):
        held.append(record)
    yield
    took = array("d")
    clock, append = time.perf_counter, held.append
    began = due = clock()
    end = began + seconds
    while True:
        start = clock()
        if start >= end:
            break
        if rate:
            if due > start:
                time.sleep(due - start)
            start, due = due, due + 1 / rate
        append(record)
        took.append(clock() - start)
    spent = clock() - began
    held.close()
    return {"count": len(took), "seconds": spent, **_tail(took)}


def batches(log: str, place: str, durable: bool, seconds: float, size: int) -> Generator[None, None, dict[str, Any]]:
    """Batches of ``size`` records by one caller; records a second."""
    from bench.peers.logs import LOGS

    held, records = LOGS[log](place, 0, durable=durable), [record_of(0)] * size
    held.append_many(records)
    yield
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        held.append_many(records)
        done += size
    spent = time.perf_counter() - began
    held.close()
    return {"rate": done / spent}


def stream_batches(place: str, durable: bool, seconds: float, size: int) -> Generator[None, None, dict[str, Any]]:
    """Batches of ``size`` records appended to one stream; records a second."""
    import swampstore

    store = swampstore.open(f"file://{place}" + ("" if durable else "?durability=buffered"))
    stream, records = store.namespace("bench").stream("log"), [record_of(0)] * size
    stream.append(records)
    yield
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        stream.append(records)
        done += size
    spent = time.perf_counter() - began
    store.close()
    return {"rate": done / spent}


def tasks(place: str, durable: bool, seconds: float, callers: int) -> Generator[None, None, dict[str, Any]]:
    """``callers`` tasks of one loop, one record a call each."""
    import swampstore

    record = record_of(0)
    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(
        swampstore.open_async(f"file://{place}" + ("" if durable else "?durability=buffered"))
    )
    space = store.namespace("bench")
    took = array("d")

    async def caller(number: int, end: float) -> None:
        at = 0
        while (start := time.perf_counter()) < end:
            at += 1
            await space.put(f"log/{number:03}/{at:012}", record)
            took.append(time.perf_counter() - start)

    async def all_of(span: float) -> None:
        end = time.perf_counter() + span
        await asyncio.gather(*(caller(number, end) for number in range(callers)))

    loop.run_until_complete(all_of(0.05))
    yield
    del took[:]
    began = time.perf_counter()
    loop.run_until_complete(all_of(seconds))
    spent = time.perf_counter() - began
    loop.run_until_complete(store.close())
    return {"rate": len(took) / spent, **_tail(took)}


def threads(place: str, durable: bool, seconds: float, callers: int) -> Generator[None, None, dict[str, Any]]:
    """``callers`` threads of one process, one record a call each."""
    import swampstore

    record = record_of(0)
    store = swampstore.open(f"file://{place}" + ("" if durable else "?durability=buffered"))
    space = store.namespace("bench")
    space.put("first", record)
    counts = [array("d") for _ in range(callers)]
    yield
    end = time.perf_counter() + seconds

    def caller(number: int) -> None:
        at, took = 0, counts[number]
        while (start := time.perf_counter()) < end:
            at += 1
            space.put(f"log/{number:03}/{at:012}", record)
            took.append(time.perf_counter() - start)

    began = time.perf_counter()
    crowd = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    spent = time.perf_counter() - began
    store.close()
    took = array("d", (value for each in counts for value in each))
    return {"rate": len(took) / spent, **_tail(took)}


def _tail(took: array[float]) -> dict[str, float]:
    ordered = sorted(took)
    at = len(ordered) - 1
    return {
        "p50": ordered[at // 2] * 1000,
        "p99": ordered[round(at * 0.99)] * 1000,
        "max": ordered[at] * 1000,
    }
