"""Queues: holders that are stuck or dead are told."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.protocols.queue import fair_queue
from swampstore.stores.base import Overwrite
from swampstore.values.tickets import QueueRegister, Sign, Ticket, encode_register, encode_sign, encode_ticket
from swampstore.workers.doctor.examine import examine
from tests.doctor.history import busy
from tests.workers.world import World

pytestmark = pytest.mark.usefixtures("tiny")


def holder(world: World, *, run_limit_s: float = 0.0) -> None:
    """Ticket 1 of queue "deploy" holds it since now, and gives a sign of life."""
    queue = fair_queue(world.process().place, "deploy")
    now = world.env.wall
    objects = {
        queue.register_name: encode_register(QueueRegister("deploy", b"nonce")),
        queue.ticket_name(1): encode_ticket(Ticket("deploy", 1, b"id", "host", 7, now, "roll out", run_limit_s)),
        queue.sign_name(1): encode_sign(Sign(b"token", now, now)),
    }
    for name, body in objects.items():
        run(world.store.inner.put(name, body, Overwrite()))


def codes(world: World) -> list[str]:
    process = world.process()
    return run(examine(process.place, process.register, guards=False)).codes()


def test_a_holder_at_work(world: World) -> None:
    busy(world)
    holder(world)
    assert codes(world) == []


def test_a_holder_that_gives_no_sign_of_life(world: World) -> None:
    busy(world)
    holder(world)
    world.env.advance(60)
    assert codes(world) == ["holder-dead"]


def test_a_holder_past_its_run_limit(world: World) -> None:
    busy(world)
    holder(world, run_limit_s=5.0)
    world.env.advance(9)
    process = world.process()
    (found,) = run(examine(process.place, process.register, guards=False)).findings
    assert found.code == "holder-stuck"
    assert "host:7 (roll out)" in found.text
    assert "--name deploy" in found.hint
