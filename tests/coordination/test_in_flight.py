"""Slow contents in masses never cost a lease: what is in flight is bounded, and turns do not wait for it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from swampstore.env.aio import AioEnv
from swampstore.env.blocking import BlockingEnv, run
from swampstore.limits import TICKET_TTL_S
from swampstore.stores.base import Overwrite, Request
from swampstore.stores.gate import Gate
from swampstore.stores.memory import MemoryStore
from swampstore.stores.retry import BULK_IN_FLIGHT, Retrying
from swampstore.testing.wrappers import LatencyStore, Wrapper
from swampstore.values.names import is_urgent


class Pool(Wrapper):
    """A store with so many connections: who finds none waits for one, whoever it is."""

    def __init__(self, inner: Any, connections: int) -> None:
        super().__init__(inner)
        self._free = asyncio.Semaphore(connections)
        self.most = 0
        self.inside = 0

    async def one(self, request: Request) -> Any:
        async with self._free:
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                return await super().one(request)
            finally:
                self.inside -= 1


def test_two_hundred_slow_uploads_never_cost_a_lease() -> None:
    async def work() -> None:
        env = AioEnv()
        pool = Pool(LatencyStore(MemoryStore(env), env, 0.2), 128)
        store = Retrying(pool, env)
        uploads = [asyncio.create_task(store.put(f"ns/blob/{n}", b"x", Overwrite())) for n in range(200)]
        await asyncio.sleep(0.05)
        assert pool.inside == BULK_IN_FLIGHT
        began = env.boot()
        await store.put("ns/queue/q/h/1", b"sign", Overwrite())
        await store.put("ns/root", b"root", Overwrite())
        assert (
            env.boot() - began < 0.4 + 0.4
        )  # two requests of 0.2 s each, on a busy machine; uploads take three rounds
        assert not all(upload.done() for upload in uploads)
        await asyncio.gather(*uploads)
        assert pool.most <= 128

    asyncio.run(work())


def test_without_the_bound_the_lease_waits() -> None:
    async def work() -> None:
        env = AioEnv()
        pool = Pool(LatencyStore(MemoryStore(env), env, 0.2), 128)
        store = Retrying(pool, env)
        store._gate = Gate(env, 10_000)
        uploads = [asyncio.create_task(store.put(f"ns/blob/{n}", b"x", Overwrite())) for n in range(400)]
        await asyncio.sleep(0.05)
        began = env.boot()
        await store.put("ns/queue/q/h/1", b"sign", Overwrite())
        assert env.boot() - began > 0.4
        await asyncio.gather(*uploads)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("name", "urgent"),
    [("a/root", True), ("a/log/s00/1", True), ("a/queue/x/register", True), ("a/pin/x", True), ("a/blob/x", False),
     ("a/pack/x", False), ("a/shard/x", False), ("root", False), ("x", False), ("raw/a/root", False)],
)  # fmt: skip
def test_what_is_urgent(name: str, urgent: bool) -> None:
    assert is_urgent(name) is urgent
    assert TICKET_TTL_S > 1


def test_the_gate_is_fair_and_exact_between_threads() -> None:
    gate, inside, most, lock = Gate(BlockingEnv(), 5), [0], [0], threading.Lock()

    async def through(units: int) -> None:
        await gate.enter(units)
        with lock:
            inside[0] += min(units, 5)
            most[0] = max(most[0], inside[0])
        with lock:
            inside[0] -= min(units, 5)
        gate.leave(units)

    threads = [threading.Thread(target=lambda units=units: run(through(units))) for units in [1, 2, 5, 9, 3] * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most[0] <= 5
    assert gate._free == 5


def test_cancelling_in_the_gate_loses_no_place() -> None:
    async def work() -> None:
        gate = Gate(AioEnv(), 1)

        async def hold(until: asyncio.Event) -> None:
            await gate.enter(1)
            try:
                await until.wait()
            finally:
                gate.leave(1)

        first, second = asyncio.Event(), asyncio.Event()
        one = asyncio.create_task(hold(first))
        await asyncio.sleep(0)
        two, three = asyncio.create_task(hold(second)), asyncio.create_task(hold(second))
        await asyncio.sleep(0)
        two.cancel()
        first.set()
        second.set()
        await asyncio.gather(one, three)
        assert gate._free == 1

    asyncio.run(work())
