"""Callers that share a write: each one's phases sum up to its own time, on the real clock, in threads and in tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.env.aio import AioEnv
from swampstore.env.base import Env
from swampstore.env.blocking import BlockingEnv, run
from swampstore.env.phases import traced
from swampstore.stores.base import Answer, Outcome, Put, Request, perform
from swampstore.stores.memory import MemoryStore
from swampstore.testing.wrappers import Wrapper
from swampstore.values.deltas import Put as PutDelta

SLOW_S = 0.1
CALLERS = 4
ATTEMPTS = 50


class SlowLog(Wrapper):
    """Every write takes a while."""

    def __init__(self, env: Env) -> None:
        super().__init__(MemoryStore(env))
        self._env = env

    async def one(self, request: Request) -> Answer:
        if isinstance(request, Put):
            await self._env.sleep(SLOW_S)
        return await perform(self.inner, request)

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return await self.inner.many(requests)


def namespace(env: Env) -> CoreNamespace:
    return CoreStore(SlowLog(env), env).namespace("ops")


Told = list[tuple[float, dict[str, float]]]


def shared(told: Told) -> bool:
    """Check the sums; whether somebody waited for a write that was not its own and then for one that was.

    A machine with other work may let one caller end before the next begins: then they try again.
    """
    assert len(told) == CALLERS
    for seconds, phases in told:
        assert sum(phases.values()) == pytest.approx(seconds)
        assert phases["log_write"] >= SLOW_S
    waits = [phases.get("group_wait", 0.0) for _, phases in told]
    return min(waits) < SLOW_S / 2 < max(waits)


async def timed(call: Callable[[], Awaitable[Any]], told: Told) -> None:
    with traced() as trace:
        done = await call()
    assert dict(trace[-1].phases) == done.phases
    told.append((trace[-1].seconds, done.phases))


def calls(space: CoreNamespace, number: int) -> list[Callable[[], Awaitable[Any]]]:
    """A put, and an update of a key of its own."""
    key = f"k{number}"
    return [
        lambda: space.append([PutDelta(key=key, data=b"1")]),
        lambda: space.update([key], lambda _held: {key: b"2"}),
    ]


@pytest.mark.parametrize("which", [0, 1], ids=["append", "update"])
def test_threads(which: int) -> None:
    assert any(shared(by_threads(which)) for _ in range(ATTEMPTS))


def by_threads(which: int) -> Told:
    space = namespace(BlockingEnv())
    run(space.append([PutDelta(key="first", data=b"")]))
    told: Told = []
    begin = threading.Barrier(CALLERS)

    def caller(number: int) -> None:
        begin.wait()
        run(timed(calls(space, number)[which], told))

    crew = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    return told


@pytest.mark.parametrize("which", [0, 1], ids=["append", "update"])
def test_tasks(which: int) -> None:
    async def main() -> Told:
        space = namespace(AioEnv())
        await space.append([PutDelta(key="first", data=b"")])
        told: Told = []

        async def caller(number: int) -> None:
            await asyncio.sleep(SLOW_S / 4 if number else 0)  # while the first one writes
            await timed(calls(space, number)[which], told)

        await asyncio.gather(*map(caller, range(CALLERS)))
        return told

    assert any(shared(asyncio.run(main())) for _ in range(ATTEMPTS))
