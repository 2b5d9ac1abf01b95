"""Bursts of a client that has never spoken to its store, and what a daemon asks of an idle one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Generator
from typing import Any

from bench.jobs.append import PAYLOAD

_DAY_S = 86_400.0


def threads(url: str, namespace: str, callers: int, cache: str) -> Generator[None, None, dict[str, Any]]:
    """One append from each of ``callers`` threads of one client; ms of each, errors, requests."""
    from bench.jobs.coordination import Crowd
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish

    _forget(cache)
    core, space, counts = open_counted(url, namespace)
    crowd = Crowd(callers, lambda number: finish(_one(space, number)))
    yield
    done = crowd.go()
    told = _told(done, counts)
    finish(core.close())
    return told


def tasks(url: str, namespace: str, callers: int, cache: str) -> Generator[None, None, dict[str, Any]]:
    """The same from tasks of one asyncio client."""
    from bench.jobs.counting import Counting
    from swampstore.client.core import CoreStore
    from swampstore.env.aio import AioEnv
    from swampstore.stores.open import open_store

    _forget(cache)

    async def work() -> dict[str, Any]:
        env = AioEnv()
        counts = Counting(open_store(url, env=env, asynchronous=True, create=True))
        core = CoreStore(counts, env)
        space = core.namespace(namespace)
        done = await asyncio.gather(*(_one(space, number) for number in range(callers)))
        told = _told(done, counts)
        await core.close()
        return told

    yield
    return asyncio.run(work())


def alone(url: str, namespace: str, cache: str) -> Generator[None, None, dict[str, Any]]:
    """One append of one process; dependent rounds, requests."""
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish

    if cache:
        _forget(cache)
    core, space, counts = open_counted(url, namespace)
    yield
    told = _told([finish(_one(space, 0))], counts)
    told["rounds"] = counts.rounds
    finish(core.close())
    return told


def _forget(cache: str) -> None:
    """No proof of the store's preconditions is at hand."""
    import os

    os.environ["XDG_CACHE_HOME"] = cache


async def _one(space: Any, number: int) -> tuple[float, str, str]:
    """``(ms, lane and slot, error)`` of one append. Nothing here tries again."""
    from swampstore.errors import SwampError
    from swampstore.values.deltas import Put

    began = time.perf_counter()
    try:
        ack = await space.put(Put(key=f"bench/cold/{number}", data=PAYLOAD))
    except SwampError as error:
        return (time.perf_counter() - began) * 1000, "", f"{error.code}: {error}"
    return (time.perf_counter() - began) * 1000, f"{ack.lane}/{ack.slot}", ""


def _told(done: list[tuple[float, str, str]], counts: Any) -> dict[str, Any]:
    requests = dict(counts.requests)
    slots = len({slot for _, slot, _ in done if slot})
    errors = [error for _, _, error in done if error]
    return {
        "ms": [ms for ms, _, _ in done],
        "errors": errors,
        "slots": slots,
        "repeated": max(requests.get("create", 0) - slots, 0),
        "requests": requests,
    }


def idle_daemon(days: int) -> Generator[None, None, dict[str, float]]:
    """Requests an hour, by verb, of the daemon of a store with one namespace, in which nothing happens (virtual time)."""
    from swampstore.client.core import CoreStore
    from swampstore.client.namespaces import find_namespaces
    from swampstore.env.blocking import run
    from swampstore.stores.memory import MemoryStore
    from swampstore.testing.env import FakeEnv
    from swampstore.testing.wrappers import CountingStore
    from swampstore.values.deltas import Put
    from swampstore.workers.compactor import Compactor
    from swampstore.workers.group import CompactorGroup
    from swampstore_cli.commands.compact import DISCOVER_S

    env = FakeEnv()
    store = CountingStore(MemoryStore(env))
    core = CoreStore(store, env)
    yield
    run(core.namespace("bench").put(Put(key="bench/first", data=PAYLOAD)))
    stop, began = env.event(), env.boot()
    counted: list[Counter[str]] = []

    def after(*_: object) -> None:
        if env.boot() - began > (len(counted) * (days - 1) + 1) * _DAY_S:
            counted.append(Counter(store.requests))
        if len(counted) == 2:
            stop.set()

    def make(name: str) -> Compactor:
        namespace = core.namespace(name)
        return Compactor(namespace.place, namespace.register)

    group = CompactorGroup(env, lambda: find_namespaces(store), make)
    run(group.run(stop, discover_s=DISCOVER_S, on_round=after))
    return {verb: count / (24 * (days - 1)) for verb, count in (counted[1] - counted[0]).items()}
