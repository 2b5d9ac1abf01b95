"""The compactor as a whole: one round, the help of a client, the loop, several namespaces."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from swampstore.client.namespaces import find_namespaces
from swampstore.env.blocking import BlockingEnv, run
from swampstore.env.clock import StoreClock
from swampstore.errors import StoreUnavailable, SwampError
from swampstore.limits import LEVEL0_RUNS
from swampstore.protocols.place import Caches, Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.writer import Writer
from swampstore.stores.base import Overwrite
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEvent
from swampstore.testing.wrappers import CountingStore
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.names import Names
from swampstore.workers import fold
from swampstore.workers.compactor import Compactor
from swampstore.workers.group import CompactorGroup
from swampstore.workers.report import CompactReport
from tests.workers.world import Process, World


class Rounds:
    """Collects what a loop tells, and stops it after so many rounds or errors."""

    def __init__(self, world: World, stop_after: int) -> None:
        self.stop = FakeEvent(world.env)
        self.at: list[float] = []
        self.reports: list[tuple[str, CompactReport]] = []
        self.errors: list[tuple[str, Exception]] = []
        self._world = world
        self._left = stop_after

    def on_round(self, namespace: str, report: CompactReport) -> None:
        self.reports.append((namespace, report))
        self._count()

    def on_error(self, namespace: str, error: Exception) -> None:
        self.errors.append((namespace, error))
        self._count()

    def _count(self) -> None:
        self.at.append(self._world.env.boot())
        self._left -= 1
        if self._left <= 0:
            self.stop.set()


def loop(process: Process, rounds: Rounds) -> None:
    run(process.compactor.run(rounds.stop, on_round=rounds.on_round, on_error=rounds.on_error))


# --- a round ---------------------------------------------------------------------------------------------------------


def test_a_round_folds_everything_merges_and_tells(world: World) -> None:
    process = world.process()
    process.put_all({f"k/{number}": b"v" for number in range(50)})
    process.delete("k/7")
    report = run(process.compactor.round(stay=False, insist=True, full=True))
    assert (report.fold.segments, report.fold.deltas, report.fold.dropped) == (2, 51, 1)
    assert report.merge.published
    assert report.merge.entries == 50
    assert report.root_version == process.root.version
    assert process.root.leader is None
    world.check()


def test_a_fold_that_is_bounded_goes_on_in_the_same_round(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "SEGMENTS_PER_FOLD", 4)
    process = world.process()
    for number in range(18):
        process.put(f"k/{number}", b"v")
    report = run(process.compactor.round(stay=False, insist=True))
    assert report.fold.segments == 18
    assert not run(process.reader.open()).slots
    world.check()


@pytest.mark.usefixtures("tiny")
def test_a_merge_is_due_when_level0_has_so_many_runs(world: World) -> None:
    process = world.process()
    merged = []
    for number in range(LEVEL0_RUNS * 2):
        process.put_all({f"k/{number}/{index}": b"v" * 30 for index in range(20)})
        merged.append(run(process.compactor.round(stay=True, insist=False)).merge.published)
    assert merged == ([False] * (LEVEL0_RUNS - 1) + [True]) * 2
    world.check()


# --- help ------------------------------------------------------------------------------------------------------------


def help_once(process: Process) -> CompactReport:
    return run(process.compactor.round(stay=False, insist=False))


def test_an_ordinary_client_helps_when_nobody_leads(world: World) -> None:
    process = world.process()
    process.put("a", b"1")
    assert help_once(process).fold.published
    assert process.root.leader is None


def test_it_does_not_while_a_leader_is_at_work(world: World) -> None:
    process, leader = world.process(), world.process()
    leader.put("a", b"1")
    run(leader.compactor.round(stay=True, insist=False))
    process.put("b", b"1")
    world.env.advance(10)
    world.store.forget()
    report = help_once(process)
    assert report.fold.not_leader
    assert not world.store.writes()


def test_it_steps_in_when_the_root_is_older_than_the_ttl(world: World) -> None:
    process, leader = world.process(), world.process()
    leader.put("a", b"1")
    run(leader.compactor.round(stay=True, insist=False))
    process.put("b", b"1")
    world.env.advance(16)
    assert help_once(process).fold.published
    world.check()


def test_an_order_of_the_user_takes_over_at_once(world: World) -> None:
    process, leader = world.process(), world.process()
    leader.put("a", b"1")
    run(leader.compactor.round(stay=True, insist=False))
    process.put("b", b"1")
    assert run(process.compactor.round(stay=False, insist=True)).fold.published
    leader.put("c", b"1")
    assert run(leader.compactor.round(stay=True, insist=False)).fold.published
    assert process.root.leader is not None
    world.check()


# --- the loop --------------------------------------------------------------------------------------------------------


def test_an_idle_loop_slows_down_to_15_s_and_then_to_a_minute(world: World) -> None:
    process = world.process()
    process.put("a", b"1")
    rounds = Rounds(world, 190)
    loop(process, rounds)
    waits = [after - before for before, after in zip(rounds.at, rounds.at[1:], strict=False)]
    assert waits[0] == pytest.approx(1.0)
    assert waits[14] == pytest.approx(15.0)
    assert waits[14:] == sorted(waits[14:])
    assert sum(15 <= wait < 30 for wait in waits) > 60  # for a while it is looked at a few times a minute
    assert waits[-1] == pytest.approx(60.0)
    assert rounds.reports[0][1].busy


def test_work_makes_it_quick_again(world: World) -> None:
    process, writer = world.process(), world.process()
    rounds = Rounds(world, 30)
    original = rounds.on_round

    def write_now_and_then(namespace: str, report: CompactReport) -> None:
        original(namespace, report)
        if len(rounds.at) == 20:
            writer.put("late", b"1")

    run(process.compactor.run(rounds.stop, on_round=write_now_and_then))
    assert rounds.reports[20][1].fold.published
    assert rounds.at[21] - rounds.at[20] == pytest.approx(1.0)
    world.check()


def test_an_error_is_told_and_the_loop_goes_on(world: World) -> None:
    process = world.process()
    process.put("a", b"1")
    broken = [3]

    def before(verb: str, name: str) -> None:
        if verb == "list" and broken[0]:
            broken[0] -= 1
            raise StoreUnavailable("no answer")

    world.store.before = before
    rounds = Rounds(world, 5)
    loop(process, rounds)
    assert len(rounds.errors) == 3
    assert rounds.reports[0][1].fold.published
    waits = [after - before for before, after in zip(rounds.at, rounds.at[1:], strict=False)]
    assert waits[:3] == pytest.approx([2.0, 4.0, 8.0])


def test_a_broken_invariant_is_told_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "record_sums", lambda records: len(list(records)) ** 2)
    process = world.process()
    process.put_all({"a": b"1", "b": b"1"})
    process.put_all({"a": b"2", "c": b"1"})
    rounds = Rounds(world, 2)
    loop(process, rounds)
    assert isinstance(rounds.errors[0][1], AssertionError)
    monkeypatch.undo()
    world.check()


def test_a_second_compactor_takes_over_from_a_dead_one(world: World) -> None:
    first, second = world.process(), world.process()
    first.put("a", b"1")
    run(first.compactor.round(stay=True, insist=False))
    first.put("b", b"1")
    rounds = Rounds(world, 12)
    began = world.env.boot()
    loop(second, rounds)
    took = next(at for at, (_, report) in zip(rounds.at, rounds.reports, strict=True) if report.fold.published)
    assert 15 <= took - began <= 40
    assert second.root.epoch == 2
    world.check()


# --- several namespaces ----------------------------------------------------------------------------------------------


def test_one_process_serves_several_namespaces_and_finds_new_ones(world: World) -> None:
    names = ["one", "bad"]
    places: dict[str, Place] = {}

    def place_of(name: str) -> Place:
        if name not in places:
            places[name] = Place(world.store, world.env, StoreClock(world.env), Names(name), Caches.of(world.env))
        return places[name]

    def write(name: str) -> None:
        writer = Writer(place_of(name))
        run(writer.append([put_record("k", writer.new_version(), Meta(size=1, at=Inline(b"1")))]))

    async def discover() -> list[str]:
        return names

    for name in names:
        write(name)
    run(world.store.put("bad/root", b"not a root", Overwrite()))
    rounds = Rounds(world, 60)
    told: list[tuple[str, SwampError]] = []
    original = rounds.on_round

    def later(namespace: str, report: CompactReport) -> None:
        original(namespace, report)
        if len(rounds.at) == 10:
            names.append("two")
            write("two")
        if len(rounds.at) == 40:
            names.remove("one")

    group = CompactorGroup(world.env, discover, lambda name: Compactor(place_of(name)))
    run(group.run(rounds.stop, on_round=later, on_error=lambda name, error: told.append((name, error))))
    folded = {name for name, report in rounds.reports if report.fold.published}
    assert folded == {"one", "two"}
    assert {name for name, _ in told} == {"bad"}
    assert "one" not in {name for name, _ in rounds.reports[-10:]}
    for name in folded:
        reader = SnapshotReader(place_of(name), Register(place_of(name)))
        assert not run(reader.open()).slots


def test_an_idle_store_costs_less_than_a_dollar_a_month(world: World) -> None:
    """Every request of a day of the daemon, which finds the namespaces by itself, once the store has been idle for one."""
    store = CountingStore(world.store)
    place = Place(store, world.env, StoreClock(world.env), Names("ns"), Caches.of(world.env))
    world.process().put("a", b"1")
    stop, began = world.env.event(), world.env.boot()
    counted: list[Counter[str]] = []

    def after_a_round(namespace: str, report: CompactReport) -> None:
        days = (world.env.boot() - began) / 86_400
        if days > len(counted) + 1:
            counted.append(Counter(store.requests))
        if len(counted) == 2:
            stop.set()

    group = CompactorGroup(world.env, lambda: find_namespaces(store), lambda name: Compactor(place))
    run(group.run(stop, discover_s=10.0, on_round=after_a_round))
    asked = counted[1] - counted[0]
    reads = asked["get"] + asked["head"]
    assert asked["list"] / 24 <= 60 + 4 * 4 + 1  # a poll a minute, four looks for namespaces, and the daily sweep
    assert reads / 24 <= 60 + 4 + 1
    # List prices of the service's first region, in dollars per 1,000 requests: reads 0.0004, everything else 0.005.
    a_day = (reads * 0.0004 + (asked.total() - reads) * 0.005) / 1000
    assert a_day * 365 / 12 < 1.0


def test_a_failed_discovery_is_told_and_tried_again(world: World) -> None:
    tries = [0]

    async def discover() -> list[str]:
        tries[0] += 1
        if tries[0] == 1:
            raise StoreUnavailable("no answer")
        return ["ns"]

    process = world.process()
    process.put("a", b"1")
    rounds = Rounds(world, 2)
    group = CompactorGroup(world.env, discover, lambda name: process.compactor)
    run(group.run(rounds.stop, on_round=rounds.on_round, on_error=rounds.on_error))
    assert [name for name, _ in rounds.errors] == ["*"]
    assert rounds.reports[0][1].fold.published


# --- threads ---------------------------------------------------------------------------------------------------------


def test_writers_readers_and_two_compactors_at_once() -> None:
    """Real threads over one memory store: nothing acknowledged is ever missed, whoever folds and merges."""
    env, store = BlockingEnv(), MemoryStore()
    failures: list[str] = []
    stop = threading.Event()

    def place() -> Place:
        return Place(store, env, StoreClock(env), Names("ns"), Caches.of(env))

    def write(number: int) -> None:
        mine = place()
        writer, reader = Writer(mine), SnapshotReader(mine, Register(mine))
        for index in range(60):
            key = f"{number}/{index:03}"
            record = put_record(key, writer.new_version(), Meta(size=1, at=Inline(b"x")))
            run(writer.append([record]))
            if run(run(reader.open()).get(key)) is None:
                failures.append(key)

    def compact() -> None:
        compactor = Compactor(place())
        while not stop.is_set():
            try:
                run(compactor.round(stay=False, insist=True, full=True))
            except SwampError as error:
                failures.append(repr(error))

    compactors = [threading.Thread(target=compact) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in (*compactors, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in compactors:
        thread.join()
    assert not failures
    mine = place()
    listed = run(run(SnapshotReader(mine, Register(mine)).open()).page())
    assert len(listed) == 240
