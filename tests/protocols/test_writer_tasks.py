"""The writer over the tasks of one loop: group commit, and every way to cancel a caller."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from swampstore.env.aio import AioEnv
from swampstore.env.blocking import BlockingEnv
from swampstore.errors import StoreFull
from swampstore.protocols.turns import Turns, Waiting
from swampstore.protocols.writer import Ack
from swampstore.stores.base import Put, Request
from tests.protocols.support import Process, Recording


class Gates:
    """Every write waits until it is let through; ``let(n)`` lets the next n through."""

    def __init__(self, store: Recording) -> None:
        self.waiting = 0
        self._tokens = asyncio.Semaphore(0)
        self._arrived = asyncio.Condition()
        self.errors: list[BaseException] = []
        store.before = self

    async def __call__(self, request: Request) -> None:
        if not isinstance(request, Put):
            return
        async with self._arrived:
            self.waiting += 1
            self._arrived.notify_all()
        await self._tokens.acquire()
        self.waiting -= 1
        if self.errors:
            raise self.errors.pop()

    async def arrived(self) -> None:
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.waiting)

    def let(self, count: int = 1) -> None:
        for _ in range(count):
            self._tokens.release()


class Tasks:
    """A process in a loop, with its writes behind gates."""

    def __init__(self) -> None:
        self.store = Recording(BlockingEnv())
        self.process = Process(self.store, AioEnv())

    async def start(self) -> None:
        await self.process.write("warm-up")
        self.gates = Gates(self.store)

    async def caller(self, key: str) -> asyncio.Task[Ack]:
        """A task that appends ``key``, as far as it gets by itself."""
        task = asyncio.create_task(self.process.write(key))
        await settle()
        return task

    async def everything(self) -> list[str]:
        self.gates.let(1000)
        fresh = Process(self.store, AioEnv())
        return [entry.key for entry in (await (await fresh.reader.open()).page()).entries]


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


def play(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(bounded())


async def cancelled(task: asyncio.Task[Ack]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_tasks_that_have_to_wait_share_the_next_slot() -> None:
    async def story() -> None:
        world = Tasks()
        await world.start()
        callers = [await world.caller(f"k{n}") for n in range(9)]
        world.gates.let(2)
        acks = await asyncio.gather(*callers)
        assert [ack.slot for ack in acks] == [2] + [3] * 8
        assert [ack.shared_by for ack in acks] == [1] + [8] * 8

    play(story())


def test_a_hundred_tasks() -> None:
    async def story() -> None:
        store = Recording(BlockingEnv())
        process = Process(store, AioEnv())

        async def breathe(request: Request) -> None:
            await asyncio.sleep(0)

        store.before = breathe

        async def caller(number: int) -> list[Ack]:
            return [await process.write(f"{number}/{n}") for n in range(20)]

        acks = await asyncio.gather(*(caller(n) for n in range(100)))
        assert process.writer.stats.largest_batch > 50
        assert len({(ack.lane, ack.slot) for row in acks for ack in row}) == process.writer.stats.batches
        assert all([a.slot for a in row] == sorted({a.slot for a in row}) for row in acks)
        fresh = Process(store, AioEnv())
        assert len((await (await fresh.reader.open()).page()).entries) == 2000

    play(story())


def test_cancelling_a_queued_caller_withdraws_it() -> None:
    async def story() -> None:
        world = Tasks()
        await world.start()
        leader, gone, other = [await world.caller(key) for key in ("leader", "gone", "other")]
        await cancelled(gone)
        world.gates.let(2)
        await asyncio.gather(leader, other)
        assert await world.everything() == ["leader", "other", "warm-up"]
        assert (await other).shared_by == 1

    play(story())


def test_cancelling_the_leader_cancels_no_write() -> None:
    async def story() -> None:
        world = Tasks()
        await world.start()
        leader, other = [await world.caller(key) for key in ("leader", "other")]
        await cancelled(leader)
        world.gates.let(2)
        assert (await other).slot == 3
        assert await world.everything() == ["leader", "other", "warm-up"]

    play(story())


def test_cancelling_one_whose_item_is_in_flight_cancels_no_write() -> None:
    async def story() -> None:
        world = Tasks()
        await world.start()
        leader, one, two = [await world.caller(key) for key in ("leader", "one", "two")]
        world.gates.let(1)
        await leader
        await settle()  # slot 3, with one and two, is in flight
        await cancelled(two)
        world.gates.let(1)
        assert (await one).shared_by == 2
        assert await world.everything() == ["leader", "one", "two", "warm-up"]

    play(story())


def test_cancelling_the_heir_passes_the_turn_on() -> None:
    async def story() -> None:
        world = Tasks()
        await world.start()
        leader, heir, third = [await world.caller(key) for key in ("leader", "heir", "third")]
        world.gates.let(1)
        await leader
        heir.cancel()  # before it has run a step since it was made the heir, or just after
        with pytest.raises(asyncio.CancelledError):
            await heir
        world.gates.let(1)
        assert (await third).slot in (3, 4)
        kept = await world.everything()
        assert {"leader", "third", "warm-up"} <= set(kept)
        assert world.process.writer._turns._leader is None

    play(story())


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("victim", range(4))
def test_a_cancel_at_every_moment_loses_no_ack_and_blocks_nobody(victim: int, steps: int) -> None:
    async def story() -> None:
        world = Tasks()
        await world.start()
        world.gates.let(1000)
        tasks = [asyncio.create_task(world.process.write(f"k{n}")) for n in range(4)]
        for _ in range(steps):
            await asyncio.sleep(0)
        tasks[victim].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        there = await world.everything()
        for number, result in enumerate(results):
            if isinstance(result, Ack):
                assert f"k{number}" in there
            else:
                assert number == victim
                assert isinstance(result, asyncio.CancelledError)
        await world.process.write("after")
        await settle()
        assert world.process.writer._turns._leader is None
        assert not world.process.writer._turns._queue

    play(story())


@pytest.mark.parametrize("steps", range(0, 40, 3))
def test_cancelling_them_all_leaves_a_writer_that_works(steps: int) -> None:
    async def story() -> None:
        world = Tasks()
        await world.start()
        world.gates.let(1000)
        tasks = [asyncio.create_task(world.process.write(f"k{n}")) for n in range(5)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await settle()
        ack = await world.process.write("after")
        there = await world.everything()
        assert "after" in there
        assert all(f"k{n}" in there for n, result in enumerate(results) if isinstance(result, Ack))
        slots = sorted(int(name.rsplit("/", 1)[1], 16) for name in world.store.names(f"ns/log/{ack.lane}"))
        assert slots == list(range(1, len(slots) + 1))

    play(story())


def test_a_failure_reaches_every_caller_of_its_batch_even_when_the_leader_is_gone() -> None:
    async def story() -> None:
        world = Tasks()
        await world.start()
        leader, one, two = [await world.caller(key) for key in ("leader", "one", "two")]
        await cancelled(leader)
        world.gates.let(1)
        await settle()
        world.gates.errors.append(StoreFull("full"))
        world.gates.let(1)
        results = await asyncio.gather(one, two, return_exceptions=True)
        assert [type(result) for result in results] == [StoreFull, StoreFull]
        world.gates.let(10)
        assert (await world.process.write("after")).slot == 1

    play(story())


# --- turns by themselves: a write that dies without settling anybody --------------------------------------------------


class Dies(BaseException):
    pass


def test_a_write_that_dies_unsettled_leaves_no_turn_behind() -> None:
    async def story() -> None:
        fail = True

        async def write(batch: list[Waiting[str, str]]) -> None:
            nonlocal fail
            await asyncio.sleep(0)
            if fail:
                fail = False
                raise Dies
            for one in batch:
                one.result = one.item.upper()

        turns: Turns[str, str] = Turns(AioEnv(), write, lambda: lambda item: True)
        first = asyncio.create_task(turns.submit("first"))
        await asyncio.sleep(0)
        second = asyncio.create_task(turns.submit("second"))
        with pytest.raises(Dies):
            await first
        assert await second == "SECOND"  # it was not in the batch that died
        assert await turns.submit("third") == "THIRD"

    play(story())
