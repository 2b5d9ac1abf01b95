"""The queue over a store's verbs: order, capacity, the dead, bounds, bad objects, requests."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.errors import DeadlinePassed, Misuse, NotFound, QueueFull, StoreUnavailable, SwampError
from swampstore.limits import TICKET_TTL_S
from swampstore.protocols.queue import Grant, Waiting, fair_queue
from swampstore.protocols.queue_remote import RemoteQueue
from swampstore.protocols.queue_status import QueueStatus, queue_names, queue_status
from swampstore.testing.sim_store import Faults
from swampstore.testing.wrappers import FaultyStore, lost_answer, lost_request
from swampstore.values.tickets import QueueRegister, decode_register
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
    signs = len(one.counting.names)
    stage.sim.run(seconds=60)
    assert len(one.counting.names) == signs


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


# --- bad objects ------------------------------------------------------------------------------------------------------


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
    assert counted(one) == {"get": 1, "replace": 1}
    stage.ends(waiting, seconds=2)
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
