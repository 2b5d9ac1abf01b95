"""What a queue shows: queued, running, stuck, dead; names; passing over by force."""

from __future__ import annotations

import pytest

from swampstore.errors import Misuse, NotFound
from swampstore.protocols.queue import fair_queue
from swampstore.protocols.queue_status import QueueStatus, queue_names, queue_status
from tests.coordination.support import Player, Stage
from tests.coordination.test_queue_remote import acquired, queue_of


async def status(player: Player, name: str = "q") -> QueueStatus:
    return await queue_status(queue_of(player, name))


def states(player: Player, stage: Stage) -> list[tuple[int, str, int]]:
    return [(one.ticket, one.state, one.position) for one in stage.does(status(player)).tickets]


def test_queued_running_stuck_and_dead() -> None:
    stage = Stage()
    one, two, three, boss = (stage.player(name) for name in ("one", "two", "three", "boss"))
    stage.does(queue_of(one, capacity=2).prepare())
    grant = stage.does(acquired(one, run_limit_s=20, purpose="long"))
    other = stage.does(acquired(two))
    waiting = three.does(acquired(three))
    stage.sim.run(seconds=15)
    assert states(boss, stage) == [(1, "running", 0), (2, "running", 0), (3, "queued", 1)]
    stage.sim.run(seconds=10)
    assert states(boss, stage)[0] == (1, "stuck", 0)  # it beats, but a beat is no progress
    shown = stage.does(status(boss)).tickets[0]
    assert (shown.host, shown.pid, shown.purpose, shown.run_limit_s) == ("one", 1, "long", 20)
    assert 24 < shown.age_s < 28
    assert shown.idle_s is not None
    assert 24 < shown.idle_s < 28
    stage.does(grant.progress())
    assert states(boss, stage)[0] == (1, "running", 0)
    two.process.kill()
    three.process.pause(13)
    stage.sim.run(seconds=12.5)
    assert states(boss, stage)[1] == (2, "dead", 0)
    stage.ends(waiting, seconds=30)
    assert [(ticket, state) for ticket, state, _ in states(boss, stage)] == [(1, "running"), (3, "running")]
    assert other.number == 2
    stage.sim.close()


def test_passing_over_by_force() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stage.does(acquired(one))
    waiting = two.does(acquired(two))
    stage.sim.run(seconds=2)
    stage.does(queue_of(two).pass_over(1))
    assert stage.ends(waiting, seconds=2).number == 2
    stage.does(queue_of(two).pass_over(1))
    for number in (3, 99):
        with pytest.raises(NotFound):
            stage.does(queue_of(two).pass_over(number))
    for bad in (0, -1, True, "1"):
        with pytest.raises(Misuse):
            stage.does(queue_of(two).pass_over(bad))  # type: ignore[arg-type]


def test_the_names_of_queues() -> None:
    stage = Stage()
    one = stage.player("one")
    names = ["b", "a/../x", "\0\x1b", "é" * 500]
    assert stage.does(queue_names(one.ns.place)) == []
    for name in names:
        grant = stage.does(fair_queue(one.ns.place, name).acquire())
        if name != "b":
            stage.does(grant.release())
    for _ in range(5):
        stage.does((stage.does(fair_queue(one.ns.place, "a/../x").acquire())).release())
    assert stage.does(queue_names(one.ns.place)) == sorted(names)
    assert stage.does(status(one, "never")).tickets == ()
