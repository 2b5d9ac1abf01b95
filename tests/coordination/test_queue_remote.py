"""The queue over a store's verbs: order, capacity, the dead, bounds, bad objects, requests."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.errors import DeadlinePassed, Misuse, QueueFull, StoreUnavailable, SwampError
from swampstore.limits import TICKET_TTL_S
from swampstore.protocols.queue import Grant, Waiting, fair_queue
from swampstore.protocols.queue_remote import RemoteQueue
from swampstore.testing.sim_store import Faults
from swampstore.testing.wrappers import FaultyStore, lost_answer, lost_request
from tests.coordination.support import Player, Stage


def queue_of(player: Player, name: str = "q", capacity: int | None = None) -> RemoteQueue:
    queue = fair_queue(player.ns.place, name, capacity=capacity)
    assert isinstance(queue, RemoteQueue)
    return queue


class Job:
    """A process that queues, works and releases; what happened to it, in virtual seconds."""

    running = 0

    def __init__(self, stage: Stage, number: int, capacity: int, **how: Any) -> None:
        self.stage, self.number, self.capacity, self.how = stage, number, capacity, how
        self.player = stage.player(f"job{number}")
        self.grant: Grant | None = None
        self.granted_at = self.ended_at = 0.0
        self.at_once: list[int] = []
        self.waiting: list[Waiting] = []
        self.error: SwampError | None = None
        self.ticket = 0

    async def work(self, book: list[Job], seconds: float, start: float = 0.0) -> None:
        await self.player.env.sleep(start)
        try:
            grant = await queue_of(self.player, capacity=self.capacity).acquire(on_wait=self.waiting.append, **self.how)
        except (QueueFull, DeadlinePassed) as error:
            self.error = error
            return
        self.grant, self.ticket, self.granted_at = grant, grant.number, self.stage.sim.now
        book.append(self)
        alive = [job for job in book if not job.player.process.dead]
        self.at_once.append(len(alive))
        await self.player.env.sleep(seconds)
        book.remove(self)
        await grant.release()
        self.ended_at = self.stage.sim.now


def run_jobs(stage: Stage, jobs: list[Job], work_s: float, seconds: float = 5000) -> None:
    book: list[Job] = []
    actors = [job.player.does(job.work(book, work_s, 0.001 * job.number)) for job in jobs]
    for actor in actors:
        stage.sim.run(seconds=seconds, until=actor)


@pytest.mark.parametrize("seed", range(6))
def test_grants_follow_ticket_order_and_the_capacity(seed: int) -> None:
    for capacity in (1, 3):
        stage = Stage(seed)
        jobs = [Job(stage, number, capacity) for number in range(9)]
        run_jobs(stage, jobs, 1.0)
        assert sorted(job.ticket for job in jobs) == list(range(1, 10))
        assert max(max(job.at_once) for job in jobs) == capacity
        if capacity == 1:
            in_order = sorted(jobs, key=lambda job: job.ticket)
            assert [job.granted_at for job in in_order] == sorted(job.granted_at for job in jobs)


@pytest.mark.parametrize("seed", range(4))
def test_bad_weather_admits_nobody_twice(seed: int) -> None:
    stage = Stage(seed, Faults(lost=0.05, late=0.02, refused=0.05, busy=0.05, late_s=5.0))
    jobs = [Job(stage, number, 2) for number in range(6)]
    run_jobs(stage, jobs, 1.0)
    assert all(job.grant is not None for job in jobs)
    assert max(max(job.at_once) for job in jobs) <= 2


def test_ten_jobs_at_capacity_four() -> None:
    stage = Stage(1)
    jobs = [Job(stage, number, 4) for number in range(10)]
    run_jobs(stage, jobs, 60.0)  # far longer than a TTL: the queue's clock kills nobody
    assert all(job.ended_at for job in jobs)
    assert max(max(job.at_once) for job in jobs) == 4
    for job in jobs:
        positions = [told.position for told in job.waiting]
        assert positions == sorted(positions, reverse=True)
    assert any(told.estimate_s is not None for job in jobs for told in job.waiting)
    assert all(told.holder is not None and told.queue == "q" for job in jobs for told in job.waiting)


@pytest.mark.parametrize(("many", "bound"), [(60, 10), pytest.param(300, 50, marks=pytest.mark.prove)])
def test_many_at_capacity_two_with_a_bound(many: int, bound: int) -> None:
    stage = Stage(2)
    jobs = [Job(stage, number, 2, bound=bound) for number in range(many)]
    run_jobs(stage, jobs, 0.2, seconds=3000)
    granted = [job for job in jobs if job.grant]
    refused = [job for job in jobs if isinstance(job.error, QueueFull)]
    assert len(granted) + len(refused) == many
    assert len(granted) >= bound + 2
    assert refused
    assert max(max(job.at_once) for job in granted) <= 2
    assert max(told.position for job in jobs for told in job.waiting) <= bound  # at no time did more wait


def test_a_bound_of_nothing_takes_only_a_free_place() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    grant = stage.does(queue_of(one).acquire(bound=0))
    with pytest.raises(QueueFull) as caught:
        stage.does(queue_of(two).acquire(bound=0))
    assert caught.value.exit_code == 75
    stage.does(grant.release())
    stage.does(queue_of(two).acquire(bound=0))


# --- the dead ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "pause"])
@pytest.mark.parametrize("seed", range(5))
def test_a_dead_holder_is_passed_over_within_its_ttl_and_a_second(how: str, seed: int) -> None:
    stage = Stage(seed)
    jobs = [Job(stage, number, 1) for number in range(3)]
    book: list[Job] = []
    actors = [job.player.does(job.work(book, 3.0, 0.5 * job.number)) for job in jobs]
    stage.sim.run(seconds=2.0)
    assert jobs[0].grant
    died = stage.sim.now
    jobs[0].player.process.kill() if how == "kill" else jobs[0].player.process.pause(1000)
    stage.sim.run(seconds=100, until=actors[1])
    assert jobs[1].granted_at - died <= TICKET_TTL_S + 1
    assert jobs[1].grant is not None
    assert jobs[1].grant.passed_over or jobs[2].waiting
    stage.sim.run(seconds=20, until=actors[2])
    assert jobs[2].ended_at
    stage.sim.close()


@pytest.mark.parametrize("dead", [1, 3, 8, 30])
def test_a_row_of_dead_waiters_blocks_nobody_for_ever(dead: int) -> None:
    """More than those that are near: whoever lives behind them must notice by itself."""
    stage = Stage(dead)
    jobs = [Job(stage, number, 1) for number in range(dead + 2)]
    book: list[Job] = []
    actors = [job.player.does(job.work(book, 3.0, 0.2 * job.number)) for job in jobs]
    stage.sim.run(seconds=0.2 * (dead + 2) + 1)
    for job in jobs[1:-1]:
        job.player.process.kill()
    stage.sim.run(seconds=60 + dead * TICKET_TTL_S, until=actors[-1])
    assert jobs[-1].ended_at
    stage.sim.close()


def test_a_waiter_that_slept_too_long_queues_again() -> None:
    stage = Stage()
    jobs = [Job(stage, number, 1) for number in range(3)]
    book: list[Job] = []
    actors = [job.player.does(job.work(book, 30.0, 0.5 * job.number)) for job in jobs]
    stage.sim.run(seconds=5)
    jobs[1].player.process.pause(60)
    for actor in actors:
        stage.ends(actor)
    assert jobs[2].granted_at < jobs[1].granted_at
    assert jobs[1].ticket == 4
    assert max(max(job.at_once) for job in jobs) == 1


def test_a_holder_at_a_store_that_stumbles_keeps_its_place() -> None:
    """One failed sign of life must not end them for good."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    grant = stage.does(acquired(one))
    faulty = FaultyStore(one.sim_store.inner)
    one.sim_store.inner = faulty
    one.ns.owner.store._deadline = 1.0  # the retry layer gives up soon
    faulty.script = lambda call: lost_request() if call.verb == "overwrite" else None
    waiting = two.does(acquired(two))
    stage.sim.run(seconds=6)
    faulty.script = lambda call: None
    stage.sim.run(seconds=60)
    assert not waiting.done
    stage.does(grant.release())
    stage.ends(waiting, seconds=5)


async def acquired(player: Player, **how: Any) -> Grant:
    return await queue_of(player).acquire(**how)


def test_a_ticket_whose_creation_is_undecided_holds_up_nobody_for_long() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    one.ns.owner.store._deadline = 1.0
    faulty = FaultyStore(one.sim_store.inner)
    one.sim_store.inner = faulty
    faulty.script = lambda call: (
        lost_answer()
        if call.verb == "create"
        else lost_request()
        if call.verb == "get" and "/t/" in call.names[0]
        else None
    )
    with pytest.raises(SwampError):
        stage.does(acquired(one))
    began = stage.sim.now
    stage.does(acquired(two))
    assert stage.sim.now - began <= TICKET_TTL_S + 1


def test_an_error_at_the_grant_leaves_no_heart_beating() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    one.ns.owner.store._deadline = 1.0
    faulty = FaultyStore(one.sim_store.inner)
    one.sim_store.inner = faulty
    faulty.script = lambda call: lost_request() if call.verb == "overwrite" else None
    with pytest.raises(StoreUnavailable):
        stage.does(acquired(one, run_limit_s=5))
    stage.does(acquired(two))
    signs = len(faulty.calls)
    assert signs
    stage.sim.run(seconds=60)
    assert len(faulty.calls) == signs


def test_a_place_is_its_processes_own() -> None:
    """In a forked child releasing does nothing."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    grant = stage.does(acquired(one))
    one.env.process_token = lambda: 2  # type: ignore[method-assign]
    stage.does(grant.release())
    one.env.process_token = lambda: 1  # type: ignore[method-assign]
    with pytest.raises(DeadlinePassed):
        stage.does(acquired(two, deadline_s=3))
    stage.does(grant.release())
    stage.does(acquired(two, deadline_s=3))


# --- capacity, force, status ------------------------------------------------------------------------------------------


def test_the_capacity_changes_live_and_revokes_nobody() -> None:
    stage = Stage()
    jobs = [Job(stage, number, 1) for number in range(8)]
    book: list[Job] = []
    actors = [job.player.does(job.work(book, 10.0, 0.1 * job.number)) for job in jobs]
    stage.sim.run(seconds=3)
    assert len(book) == 1
    boss = stage.player("boss")
    stage.does(queue_of(boss).set_capacity(4))
    stage.sim.run(seconds=2)
    assert sorted(job.ticket for job in book) == [1, 2, 3, 4]
    stage.does(queue_of(boss).set_capacity(2))
    assert len(book) == 4
    stage.sim.run(seconds=7)
    for actor in actors:
        stage.ends(actor)
        assert len(book) <= 4
    assert max(max(job.at_once) for job in jobs if job.ticket > 4) <= 2
    in_order = sorted(jobs, key=lambda job: job.ticket)
    for before, after in zip(in_order, in_order[2:], strict=False):
        assert before.granted_at <= after.granted_at


@pytest.mark.parametrize("capacity", [0, -1, 10_001, True, 1.5, "2"])
def test_absurd_capacities_are_refused(capacity: Any) -> None:
    stage = Stage()
    one = stage.player("one")
    with pytest.raises(Misuse):
        fair_queue(one.ns.place, "q", capacity=capacity)
    with pytest.raises(Misuse):
        stage.does(queue_of(one).set_capacity(capacity))


@pytest.mark.parametrize(
    "how",
    [{"deadline_s": -1}, {"bound": -1}, {"bound": 1.5}, {"bound": True}, {"run_limit_s": -1}, {"purpose": "x" * 5000},
     {"deadline_s": float("nan")}, {"run_limit_s": float("inf")}, {"purpose": None}],
)  # fmt: skip
def test_absurd_wishes_are_refused_before_anything_is_sent(how: dict[str, Any]) -> None:
    stage = Stage()
    one = stage.player("one")
    with pytest.raises(Misuse):
        stage.does(acquired(one, **how))
    assert one.counting.total == 0
