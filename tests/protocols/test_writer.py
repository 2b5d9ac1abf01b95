"""The writer, one caller at a time and over threads: what is sent, what is acknowledged, and when a lane is finished."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from swampstore.env.blocking import run
from swampstore.errors import (
    AmbiguousAppend,
    ClockOff,
    Misuse,
    StoreForbidden,
    StoreFull,
    SwampError,
    TooLarge,
    Undecided,
)
from swampstore.limits import BATCH_BYTES, DELTA_BYTES, SEGMENT_DELTAS
from swampstore.protocols.writer import Ack
from swampstore.stores.base import Put, Request
from swampstore.testing.env import FakeEnv
from swampstore.values.entry import Record
from swampstore.values.segment import Segment, decode_segment
from swampstore.values.version import writer_birth
from tests.protocols.support import Process, Recording, world


@pytest.fixture
def one() -> tuple[FakeEnv, Recording, Process]:
    env, store = world()
    return env, store, Process(store, env)


def segment(store: Recording, ack: Ack) -> Segment:
    name = f"ns/log/{ack.lane}/{ack.slot:016x}"
    return decode_segment(store.raw(name), name, ack.lane, ack.slot)


def failing(error: BaseException, *, when: Callable[[Put], bool] = lambda put: True) -> Callable[[Request], object]:
    async def before(request: Request) -> None:
        if isinstance(request, Put) and when(request):
            raise error

    return before


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_slots_are_dense_and_each_append_is_one_create(one: tuple[FakeEnv, Recording, Process]) -> None:
    _, store, process = one
    process.put("warm-up")
    store.forget()
    acks = [process.put(f"k{n}") for n in range(20)]
    assert [ack.slot for ack in acks] == list(range(2, 22))
    assert len({ack.lane for ack in acks}) == 1
    assert store.kinds() == ["create"] * 20


def test_an_ack_says_where_and_which(one: tuple[FakeEnv, Recording, Process]) -> None:
    _, store, process = one
    records = [process.record("a"), process.record("b")]
    ack = run(process.writer.append(records))
    assert ack.versions == tuple(record.version for record in records)
    assert ack.version == records[0].version
    assert ack.durable
    assert not ack.spooled
    assert ack.shared_by == 1
    assert set(ack.phases) == {"encode", "group_wait", "open", "log_write"}
    assert list(segment(store, ack).records) == records


def test_a_new_process_takes_a_new_lane_born_by_the_stores_time() -> None:
    env, store = world()
    first, second = Process(store, env).put("a"), Process(store, env).put("b")
    assert first.lane != second.lane
    assert first.slot == second.slot == 1
    assert writer_birth(bytes.fromhex(first.lane[1:])) == env.wall_ms()


def test_the_writer_is_born_at_its_first_append_and_not_before(one: tuple[FakeEnv, Recording, Process]) -> None:
    env, store, process = one
    env.advance(3600)
    assert store.calls == []
    ack = process.put("a")
    assert writer_birth(bytes.fromhex(ack.lane[1:])) == env.wall_ms()


def test_versions_rise_and_exceed_what_was_read() -> None:
    env, store = world()
    ahead, behind = Process(store, env), Process(store, env)
    for _ in range(1000):
        ahead.place.clock.stamp()
    high = ahead.record("a")
    run(ahead.writer.append([high]))
    assert behind.record("a").version < high.version
    behind.open()
    versions = [behind.writer.new_version() for _ in range(50)]
    assert [high.version, *versions] == sorted({high.version, *versions})


# --- limits -----------------------------------------------------------------------------------------------------------


def test_what_no_segment_holds_is_refused_before_it_is_sent(one: tuple[FakeEnv, Recording, Process]) -> None:
    _, store, process = one
    small = process.record("a")
    for records in (
        [],
        [small] * (SEGMENT_DELTAS + 1),
        [Record("k", small.version, 0, 0, bytes(DELTA_BYTES + 1))],
        [Record(str(n), small.version, 0, 0, bytes(DELTA_BYTES - 100)) for n in range(9)],
    ):
        with pytest.raises(TooLarge):
            run(process.writer.append(records))
    assert store.calls == []


def test_the_largest_batches_that_fit_can_be_read_back(one: tuple[FakeEnv, Recording, Process]) -> None:
    _, store, process = one
    many = [process.record(f"k{n}") for n in range(SEGMENT_DELTAS)]
    assert len(segment(store, run(process.writer.append(many))).records) == SEGMENT_DELTAS
    big = [process.record(f"b{n}", os.urandom(DELTA_BYTES - 200)) for n in range(BATCH_BYTES // DELTA_BYTES)]
    assert len(segment(store, run(process.writer.append(big))).records) == len(big)


# --- the life of a lane ---------------------------------------------------------------------------------------------------


def test_a_closing_append_ends_its_lane(one: tuple[FakeEnv, Recording, Process]) -> None:
    _, store, process = one
    process.put("a")
    last = run(process.writer.append([process.record("b")], closing=True))
    after = process.put("c")
    assert (last.slot, segment(store, last).header.closing) == (2, True)
    assert (after.slot, segment(store, after).header.closing) == (1, False)
    assert after.lane != last.lane


@pytest.mark.parametrize(("idle_s", "same"), [(1799, True), (1801, False)])
def test_after_thirty_idle_minutes_comes_a_new_lane(
    one: tuple[FakeEnv, Recording, Process], idle_s: float, same: bool
) -> None:
    env, _, process = one
    first = process.put("a")
    env.advance(idle_s)
    assert (process.put("b").lane == first.lane) == same


def test_a_busy_lane_is_left_well_before_the_end_of_its_life(one: tuple[FakeEnv, Recording, Process]) -> None:
    env, _, process = one
    lanes = set()
    for _ in range(30):
        lanes.add(process.put("a").lane)
        env.advance(1700)
    assert len(lanes) == 2  # 14 hours


async def _nothing(request: Request) -> None:
    return


def slow_answer(env: FakeEnv, seconds: float, *, asleep: bool = False) -> Callable[[Request], object]:
    """The next write lands at once; its answer comes ``seconds`` later."""
    done: list[Request] = []

    async def before(request: Request) -> None:
        if isinstance(request, Put) and not done:
            done.append(request)
            env.advance(seconds, asleep=asleep)

    return before


@pytest.mark.parametrize("asleep", [False, True], ids=["slow store", "paused machine"])
@pytest.mark.parametrize(("seconds", "counts"), [(299, True), (301, False)])
def test_a_first_segment_counts_only_within_five_minutes_of_birth(
    one: tuple[FakeEnv, Recording, Process], seconds: float, counts: bool, asleep: bool
) -> None:
    env, store, process = one
    store.before = slow_answer(env, seconds, asleep=asleep)  # type: ignore[assignment]
    record = process.record("a")
    ack = run(process.writer.append([record]))
    lanes = {name.split("/")[2] for name in store.names("ns/log/")}
    assert len(lanes) == (1 if counts else 2)
    assert segment(store, ack).records == (record,)  # the same version, however often it was sent
    assert process.keys() == ["a"]


@pytest.mark.parametrize("asleep", [False, True], ids=["slow store", "paused machine"])
def test_no_answer_counts_after_a_day(one: tuple[FakeEnv, Recording, Process], asleep: bool) -> None:
    env, store, process = one
    first = process.put("a")
    store.before = slow_answer(env, 24 * 3600 + 1, asleep=asleep)  # type: ignore[assignment]
    second = process.put("b")
    assert second.lane != first.lane
    assert second.slot == 1
    assert len(store.names("ns/log/")) == 3


def test_two_late_answers_in_a_row_are_ambiguous(one: tuple[FakeEnv, Recording, Process]) -> None:
    env, store, process = one

    async def before(request: Request) -> None:
        if isinstance(request, Put):
            env.advance(400)

    store.before = before
    with pytest.raises(AmbiguousAppend):
        process.put("a")
    store.before = None
    assert process.put("b").slot == 1


def test_a_clock_that_is_off_refuses_before_it_sends() -> None:
    env, store = world()
    wrong = FakeEnv(1, wall_ms=env.wall + 301_000)
    process = Process(store, wrong)
    with pytest.raises(ClockOff):
        process.put("a")
    assert store.kinds() == ["now"]
    nearly = Process(store, FakeEnv(2, wall_ms=env.wall + 299_000))
    ack = nearly.put("a")
    assert abs(writer_birth(bytes.fromhex(ack.lane[1:])) - env.wall) < 1000  # by the store's clock, not by its own


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreFull("full"), StoreForbidden("no"), SwampError("?")], ids=repr)
def test_a_refused_write_finishes_the_lane(one: tuple[FakeEnv, Recording, Process], error: SwampError) -> None:
    _, store, process = one
    first = process.put("a")
    store.before = failing(error)  # type: ignore[assignment]
    with pytest.raises(type(error)):
        process.put("b")
    store.before = None
    after = process.put("c")
    assert after.lane != first.lane
    assert after.slot == 1
    assert process.keys() == ["a", "c"]


@pytest.mark.parametrize("landed", [False, True])
def test_an_undecided_write_says_where_it_may_be(one: tuple[FakeEnv, Recording, Process], landed: bool) -> None:
    _, store, process = one
    first = process.put("a")
    hook = failing(Undecided("lost", name="x"))
    if landed:
        store.after = hook  # type: ignore[assignment]
    else:
        store.before = hook  # type: ignore[assignment]
    record = process.record("b")
    with pytest.raises(AmbiguousAppend) as caught:
        run(process.writer.append([record]))
    store.before = store.after = None
    error = caught.value
    assert (error.lane, error.slot, len(error.write_id)) == (first.lane, 2, 8)
    if landed:
        name = f"ns/log/{error.lane}/{error.slot:016x}"
        assert decode_segment(store.raw(name), name, error.lane, 2).header.write_id == error.write_id
    again = run(process.writer.append([record]))  # the same record, the same version, in a new lane
    assert again.lane != first.lane
    assert process.keys() == ["a", "b"]


@pytest.mark.parametrize("landed", [False, True])
def test_an_interrupt_in_the_middle_finishes_the_lane(one: tuple[FakeEnv, Recording, Process], landed: bool) -> None:
    _, store, process = one
    first = process.put("a")
    hook = failing(KeyboardInterrupt())
    if landed:
        store.after = hook  # type: ignore[assignment]
    else:
        store.before = hook  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        process.put("b")
    store.before = store.after = None
    after = process.put("c")
    assert after.lane != first.lane
    assert process.keys() == (["a", "b", "c"] if landed else ["a", "c"])


def test_a_stranger_in_the_slot_costs_a_lane_and_nothing_else(one: tuple[FakeEnv, Recording, Process]) -> None:
    _, store, process = one
    first = process.put("a")
    stranger = f"ns/log/{first.lane}/{2:016x}"
    store.set(stranger, b"a copy of this process was here")
    store.forget()
    ack = process.put("b")
    assert ack.lane != first.lane
    assert store.kinds() == ["create", "create"]
    assert store.raw(stranger) == b"a copy of this process was here"
    store.drop(stranger)
    assert process.put("c").lane == ack.lane
    assert process.keys() == ["a", "b", "c"]


def test_a_closed_writer_refuses(one: tuple[FakeEnv, Recording, Process]) -> None:
    _, store, process = one
    record = process.record("a")
    process.writer.close()
    with pytest.raises(Misuse, match="closed"):
        run(process.writer.append([record]))
    with pytest.raises(Misuse, match="closed"):
        process.writer.new_version()
    assert store.calls == []


def test_a_forked_child_is_refused_and_the_parent_goes_on(one: tuple[FakeEnv, Recording, Process]) -> None:
    env, store, process = one
    record = process.record("a")
    env.token = 2
    with pytest.raises(Misuse, match="fork"):
        run(process.writer.append([record]))
    assert store.calls == []
    env.token = 1
    assert process.put("b").slot == 1
