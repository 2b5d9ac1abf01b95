"""Queues: what was true when somebody looked, and is not any more when it acts."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from swampstore.client.core import CoreStore
from swampstore.env.aio import AioEnv
from swampstore.errors import DeadlinePassed, NotFound, QueueFull
from swampstore.limits import HEARTBEAT_PLACES, TICKET_TTL_S
from swampstore.protocols.queue import fair_queue
from swampstore.protocols.queue_watch import Watch
from swampstore.stores.base import Put, Request
from swampstore.stores.memory import MemoryStore
from swampstore.testing.wrappers import Wrapper
from swampstore.values.tickets import QueueRegister, decode_register, encode_register
from tests.coordination.support import Stage
from tests.coordination.test_queue_remote import acquired, queue_of


def test_only_who_is_still_granted_is_noted() -> None:
    """A note from before the capacity went down would make its ticket overdue the moment it is granted."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    name = queue_of(one).register_name
    stage.does(queue_of(one, capacity=3).prepare())
    for _ in range(3):
        stage.does(acquired(one))
    smaller: list[QueueRegister] = []

    def meanwhile(request: Request) -> None:
        if isinstance(request, Put) and request.name == name and not smaller:
            smaller.append(msgspec.structs.replace(decode_register(stage.body(name), name).resize(1), nonce=b"x" * 12))
            stage.overwrite(name, encode_register(smaller[0]))

    two.hook = meanwhile
    with pytest.raises(QueueFull):
        stage.does(two.ns.place.env.detached(acquired(two, bound=0)))
    assert smaller
    assert [number for number, _ in decode_register(stage.body(name), name).noted] == [1]


def test_who_was_near_before_the_capacity_went_down_is_not_judged_by_it() -> None:
    """Far from their turn they need not give signs; when they are near again they have a whole TTL."""
    stage = Stage()
    player = stage.player("one")
    last = HEARTBEAT_PLACES + 10
    watch = Watch(queue_of(player), last)

    def look(floor: int, capacity: int) -> Any:
        register = QueueRegister("q", b"", capacity, floor)
        return stage.ends(player.does(watch.look(register, register.unfinished_below(last) - capacity + 1)))

    assert not look(0, last - 1)
    for floor in (0, 1):
        stage.ends(player.does(player.env.sleep(TICKET_TTL_S * 0.6)))
        assert not look(floor, 1)
    assert not look(1, last - 2), "longer than a TTL after the first look"
    stage.ends(player.does(player.env.sleep(TICKET_TTL_S + 1)))
    assert look(1, last - 2)


def test_a_ticket_that_nobody_has_is_not_passed_over() -> None:
    """Finished in advance, whoever draws it would never be granted, and who comes behind it too early."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stage.does(acquired(one))
    with pytest.raises(NotFound):
        stage.does(queue_of(two).pass_over(2))
    with pytest.raises(DeadlinePassed):
        stage.does(acquired(two, deadline_s=3))
    assert decode_register(stage.body(queue_of(two).register_name), "r").is_finished(2)
    stage.does(queue_of(two).pass_over(2))  # which has ended: nothing to do


class Held(Wrapper):
    """A store that holds back the answer to the next ticket that is taken."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.sent, self.answers = asyncio.Event(), asyncio.Event()

    async def one(self, request: Request) -> Any:
        answer = await super().one(request)
        if isinstance(request, Put) and "/t/" in request.name:
            self.sent.set()
            await self.answers.wait()
        return answer


def test_a_ticket_whose_caller_is_gone_when_it_is_taken_is_given_back() -> None:
    """At once: nobody has to wait until its silence is noticed."""

    async def work() -> None:
        env = AioEnv()
        store = Held(MemoryStore(env))
        queue = fair_queue(CoreStore(store, env).namespace("ops").place, "q")
        caller = asyncio.create_task(queue.acquire())
        await store.sent.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await queue.unfinished() == [1]
        store.answers.set()
        for _ in range(2000):
            if await queue.unfinished() == []:
                break
            await asyncio.sleep(0.001)
        assert await queue.unfinished() == []

    asyncio.run(work())
