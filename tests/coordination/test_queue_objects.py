"""Bad objects in a queue, clocks that jump, cleaning, and what the queue costs."""

from __future__ import annotations

import pytest

from swampstore.errors import SwampError
from swampstore.limits import TICKET_TTL_S
from swampstore.protocols.queue import Waiting
from swampstore.testing.sim_store import Faults
from swampstore.values.tickets import QueueRegister, decode_register
from tests.coordination.support import Player, Stage
from tests.coordination.test_queue_remote import Job, acquired, queue_of


@pytest.mark.parametrize("body", [b"", b"{}", b"\0" * 100])
def test_a_broken_register_is_named(body: bytes) -> None:
    stage = Stage()
    one = stage.player("one")
    queue = queue_of(one)
    stage.overwrite(queue.register_name, body)
    for call in (
        queue.acquire(),
        queue.set_capacity(2),
        queue.unfinished(),
        one.ns.update(["q"], lambda held: {"q": b""}),
    ):
        with pytest.raises(SwampError, match="register") as caught:
            stage.does(call)
        assert caught.value.code == "corrupt-object"


@pytest.mark.parametrize("name", ["t/!readme", "t/0", "t/" + "0" * 16, "t/" + "F" * 16])
def test_a_foreign_object_among_the_tickets_is_named(name: str) -> None:
    stage = Stage()
    one = stage.player("one")
    queue = queue_of(one)
    stage.does(stage.does(queue.acquire()).release())
    stage.overwrite(queue.folder + name, b"x")
    with pytest.raises(SwampError) as caught:
        stage.does(queue.acquire())
    assert caught.value.code == "corrupt-object"
    assert name in str(caught.value)
    assert caught.value.hint


def test_a_broken_ticket_is_passed_over_like_a_dead_one() -> None:
    stage = Stage()
    one = stage.player("one")
    queue = queue_of(one)
    stage.overwrite(queue.ticket_name(1), b"garbage")
    told: list[Waiting] = []
    began = stage.sim.now
    assert stage.does(queue.acquire(on_wait=told.append)).number == 2
    assert stage.sim.now - began <= TICKET_TTL_S + 1
    assert told[0].holder is None


def test_a_clock_that_jumps_changes_nothing() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    grant = stage.does(acquired(one))
    waiting = two.does(acquired(two))
    for skew in (86_400_000, -86_400_000):
        one.env.skew_ms = two.env.skew_ms = skew
        stage.sim.run(seconds=30)
        assert not waiting.done
    stage.does(grant.release())
    stage.ends(waiting, seconds=3)


def test_a_machine_that_sleeps_does_not_think_others_dead() -> None:
    """A waiter whose machine slept has seen nothing meanwhile; it must look again before it judges."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stage.does(acquired(one))
    waiting = two.does(acquired(two))
    for number in range(20):
        stage.sim.run(seconds=5)
        two.process.pause(8, machine=number % 2 == 0)
    stage.sim.run(seconds=5)
    assert not waiting.done
    stage.sim.close()


# --- cleaning and costs -----------------------------------------------------------------------------------------------


def test_old_tickets_go_and_numbers_never_come_back() -> None:
    stage = Stage()
    one = stage.player("one")
    queue = queue_of(one)

    async def through(times: int) -> int:
        number = 0
        for _ in range(times):
            grant = await queue.acquire()
            await grant.keep()
            await grant.release()
            assert grant.number > number
            number = grant.number
        return number

    stage.does(through(100))
    stage.does(one.env.sleep(7200))
    last = stage.does(through(70))
    left = [name for name in stage.names(queue.folder) if "/t/" in name or "/h/" in name]
    assert len(left) < 2 * 80
    assert last == 170
    register = decode_register(stage.body(queue.register_name), "r")
    assert register == QueueRegister("q", register.nonce, 1, 170, ())


def counted(player: Player) -> dict[str, int]:
    found = {verb: number for verb, number in player.counting.requests.items() if number}
    player.counting.reset()
    return found


def test_requests_are_counted() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    grant = stage.does(acquired(one))
    assert counted(one) == {"get": 3, "list": 1, "create": 1}  # look (2), no register yet (1), ticket, look again
    stage.does(grant.release())
    assert counted(one) == {"get": 1, "create": 1}  # the register comes into being
    grant = stage.does(acquired(one))
    assert counted(one) == {"get": 2, "list": 1, "create": 1}
    waiting = two.does(acquired(two))
    stage.sim.run(seconds=60)
    polls = counted(two)
    assert polls.pop("create") == 1
    assert polls.pop("list") == 1
    assert 500 < polls.pop("get") < 1300  # one register a poll: 20 a second less the way, next in line
    assert 80 < polls.pop("head") < 130  # two looks a second at the holder
    assert 15 < polls.pop("overwrite") < 21  # a sign of its own every third of a TTL
    assert polls == {}
    signs = counted(one)
    assert signs == {"overwrite": signs["overwrite"]}
    assert 16 < signs["overwrite"] < 20
    stage.does(grant.release())
    assert counted(one) == {"replace": 1}  # the register of the grant still stands
    stage.ends(waiting, seconds=2)
    stage.sim.close()


def test_a_release_whose_register_has_moved_reads_it_again() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stage.does(queue_of(two).set_capacity(1))
    grant = stage.does(acquired(one))
    stage.does(queue_of(two).set_capacity(2))
    one.counting.reset()
    stage.does(grant.release())
    assert counted(one) == {"replace": 2, "get": 2}  # was the refused one ours? and what stands now?
    register, _ = stage.does(queue_of(two).read_register())
    assert (register.capacity, register.is_finished(grant.number)) == (2, True)


def test_a_crowd_takes_its_tickets_in_few_requests() -> None:
    """Each by itself would try every number that was free when it looked: n * n / 2 creates."""
    crowd = 60
    stage = Stage()
    players = [stage.player(f"p{number}", Faults(latency_s=0.02)) for number in range(crowd)]
    tasks = [player.does(acquired(player)) for player in players]
    stage.sim.run(seconds=8)
    numbers = sorted(name for name in stage.names(queue_of(players[0]).folder) if "/t/" in name)
    assert len(numbers) == crowd
    creates = sum(player.counting.requests["create"] for player in players)
    assert creates < crowd * crowd / 4, creates
    assert sum(task.done for task in tasks) == 1
    stage.sim.close()


def test_who_is_far_polls_seldom() -> None:
    stage = Stage()
    jobs = [Job(stage, number, 1) for number in range(40)]
    book: list[Job] = []
    for job in jobs:
        job.player.does(job.work(book, 1000.0, 0.05 * job.number))
    stage.sim.run(seconds=30)
    last = max(jobs, key=lambda job: job.number).player
    last.counting.reset()
    stage.sim.run(seconds=60)
    assert last.counting.total < 60 * 5  # and the looks of somebody who fears that all before are dead
    assert last.counting.requests["overwrite"] == 0
    stage.sim.close()


def test_a_large_capacity_is_watched_by_listing() -> None:
    stage = Stage()
    holders = [stage.player(f"h{number}") for number in range(40)]
    for number, player in enumerate(holders):
        stage.does(queue_of(player, capacity=40).acquire())
        assert number < 40
    waiter = stage.player("waiter")
    waiting = waiter.does(acquired(waiter))
    stage.sim.run(seconds=5)
    holders[17].process.kill()
    began = stage.sim.now
    stage.ends(waiting, seconds=30)
    assert stage.sim.now - began <= TICKET_TTL_S + 1
    assert waiter.counting.requests["head"] == 0
    stage.sim.close()
