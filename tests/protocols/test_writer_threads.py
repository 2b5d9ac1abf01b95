"""The writer over threads: who shares a slot with whom, and what one failure means for the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import (
    Misuse,
    StoreFull,
    SwampError,
    Undecided,
)
from swampstore.protocols.writer import Ack
from swampstore.stores.base import Create, Put, Request
from swampstore.values.segment import Segment, decode_segment
from tests.protocols.support import Process, Recording


def segment(store: Recording, ack: Ack) -> Segment:
    name = f"ns/log/{ack.lane}/{ack.slot:016x}"
    return decode_segment(store.raw(name), name, ack.lane, ack.slot)


# --- threads ----------------------------------------------------------------------------------------------------------


class Gate:
    """Holds the first write until it is opened; later ones pass."""

    def __init__(self, store: Recording, error: BaseException | None = None) -> None:
        self.inside, self._open = threading.Event(), threading.Event()
        self.error = error
        self._first = True
        store.before = self

    async def __call__(self, request: Request) -> None:
        if isinstance(request, Put) and self._first:
            self._first = False
            self.inside.set()
            assert self._open.wait(20)
            if self.error:
                raise self.error

    def open(self) -> None:
        self._open.set()


class Caller(threading.Thread):
    """Appends in a thread; keeps what came of it."""

    def __init__(self, process: Process, *keys: str, closing: bool = False) -> None:
        super().__init__(daemon=True)
        self.process, self.keys, self.closing = process, keys, closing
        self.acks: list[Ack] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            for key in self.keys:
                self.acks.append(run(self.process.writer.append([self.process.record(key)], closing=self.closing)))
        except (SwampError, KeyboardInterrupt) as error:
            self.error = error


def queued(process: Process, count: int) -> None:
    """Wait until ``count`` callers stand in the queue (looked at, since nothing tells)."""
    turns = process.writer._turns
    for _ in range(20_000):
        if sum(not one.flying for one in list(turns._queue)) == count:
            return
        threading.Event().wait(0.001)
    raise AssertionError(f"{len(turns._queue)} callers in the queue, {count} expected")


@pytest.fixture
def shared() -> tuple[Recording, Process]:
    env = BlockingEnv()
    store = Recording(env)
    process = Process(store, env)
    process.put("warm-up")
    store.forget()
    return store, process


def join(callers: list[Caller]) -> None:
    for caller in callers:
        caller.join(30)
        assert not caller.is_alive(), "a caller waits for ever"


def test_callers_that_have_to_wait_share_the_next_slot(shared: tuple[Recording, Process]) -> None:
    store, process = shared
    gate = Gate(store)
    first = Caller(process, "first")
    assert gate.inside.wait(20)
    rest = []
    for n in range(8):
        rest.append(Caller(process, f"k{n}"))
        queued(process, n + 1)
    gate.open()
    join([first, *rest])
    assert store.kinds() == ["create", "create"]
    assert first.acks[0].shared_by == 1
    assert {(c.acks[0].slot, c.acks[0].shared_by) for c in rest} == {(first.acks[0].slot + 1, 8)}
    assert process.writer.stats.largest_batch == 8
    # In the order of arrival.
    assert [record.key for record in segment(store, rest[0].acks[0]).records] == [f"k{n}" for n in range(8)]


def test_a_lone_caller_waits_for_nobody(shared: tuple[Recording, Process]) -> None:
    _, process = shared
    for n in range(10):
        assert process.put(f"k{n}").shared_by == 1
    assert process.writer.stats.batches == 11
    assert process.writer._turns._leader is None


def test_nothing_joins_a_slot_behind_a_closing_append(shared: tuple[Recording, Process]) -> None:
    store, process = shared
    gate = Gate(store)
    callers = [Caller(process, "first")]
    assert gate.inside.wait(20)
    for n, closing in enumerate((False, True, False)):
        callers.append(Caller(process, f"k{n}", closing=closing))
        queued(process, n + 1)
    gate.open()
    join(callers)
    a, b, c = (caller.acks[0] for caller in callers[1:])
    assert (a.lane, a.slot) == (b.lane, b.slot)
    assert segment(store, b).header.closing
    assert c.lane != b.lane
    assert not segment(store, c).header.closing


def test_a_batch_stops_at_its_limits(shared: tuple[Recording, Process], monkeypatch: pytest.MonkeyPatch) -> None:
    store, process = shared
    monkeypatch.setattr("swampstore.protocols.writer.SEGMENT_DELTAS", 3)
    gate = Gate(store)
    callers = [Caller(process, "first")]
    assert gate.inside.wait(20)
    for n in range(7):
        callers.append(Caller(process, f"k{n}"))
        queued(process, n + 1)
    gate.open()
    join(callers)
    assert [caller.acks[0].shared_by for caller in callers] == [1, 3, 3, 3, 3, 3, 3, 1]
    assert sorted({caller.acks[0].slot for caller in callers}) == [2, 3, 4, 5]


def test_a_failed_batch_fails_for_all_its_callers_and_for_nobody_else(shared: tuple[Recording, Process]) -> None:
    store, process = shared
    gate = Gate(store)
    first = Caller(process, "first")
    assert gate.inside.wait(20)
    rest = [Caller(process, f"k{n}") for n in range(4)]
    queued(process, 4)
    store.before = _fails_once(StoreFull("full"))
    gate.open()
    join([first, *rest])
    assert len(first.acks) == 1
    assert [type(caller.error) for caller in rest] == [StoreFull] * 4
    after = process.put("after")
    assert after.lane != first.acks[0].lane
    assert process.keys() == ["after", "first", "warm-up"]


def _fails_once(error: BaseException) -> Callable[[Request], object]:
    failed: list[Request] = []

    async def before(request: Request) -> None:
        if isinstance(request, Put) and not failed:
            failed.append(request)
            raise error

    return before  # type: ignore[return-value]


@pytest.mark.parametrize("error", [StoreFull("full"), KeyboardInterrupt(), Undecided("lost")], ids=repr)
def test_those_queued_behind_a_failure_go_on_in_a_new_lane(
    shared: tuple[Recording, Process], error: BaseException
) -> None:
    store, process = shared
    gate = Gate(store, error)
    first = Caller(process, "first")
    assert gate.inside.wait(20)
    rest = [Caller(process, f"k{n}") for n in range(3)]
    queued(process, 3)
    gate.open()
    join([first, *rest])
    assert first.error is not None
    assert all(caller.error is None for caller in rest)
    assert {caller.acks[0].slot for caller in rest} == {1}
    assert process.keys() == ["k0", "k1", "k2", "warm-up"]


def test_a_hundred_threads_lose_nothing_and_keep_each_ones_order(shared: tuple[Recording, Process]) -> None:
    store, process = shared
    callers = [Caller(process, *(f"t{t:03d}/{n:02d}" for n in range(50))) for t in range(100)]
    join(callers)
    assert all(caller.error is None for caller in callers)
    fresh = Process(store, process.env)
    assert len(fresh.keys()) == 100 * 50 + 1
    for caller in callers:
        places = [(ack.lane, ack.slot) for ack in caller.acks]
        assert places == sorted(places)
        versions = [ack.version for ack in caller.acks]
        assert versions == sorted(versions)
    assert len({version for caller in callers for ack in caller.acks for version in ack.versions}) == 5000
    slots = sorted(int(name.rsplit("/", 1)[1], 16) for name in store.names("ns/log/"))
    assert slots == list(range(1, len(slots) + 1))
    assert store.kinds().count("create") == len(slots) - 1


def test_a_real_fork_is_refused_in_the_child() -> None:
    env = BlockingEnv()
    process = Process(Recording(env), env)
    process.put("a")
    record = process.record("b")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        try:
            run(process.writer.append([record]))
        except Misuse:
            os.write(writing, b"misuse")
        finally:
            os._exit(0)
    os.close(writing)
    try:
        assert os.read(reading, 100) == b"misuse"
    finally:
        os.close(reading)
        os.waitpid(child, 0)
    assert run(process.writer.append([record])).slot == 2


def test_creates_and_nothing_else_are_ever_sent(shared: tuple[Recording, Process]) -> None:
    store, process = shared
    join([Caller(process, *(f"{t}/{n}" for n in range(20))) for t in range(8)])
    assert all(isinstance(call, Put) and call.when == Create() for call in store.calls)
