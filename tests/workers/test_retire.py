"""Retirement: writers that are no more leave the root, and none that may still come back."""

from __future__ import annotations

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.protocols.log import Listing, list_and_root
from swampstore.protocols.slots import FileSlot, Tail
from swampstore.stores.base import Overwrite
from swampstore.values.names import writer_lane
from swampstore.values.root import Root
from swampstore.values.version import make_writer_id
from swampstore.workers import retire as retirement
from swampstore.workers.leadership import Leadership
from swampstore.workers.retire import retire
from tests.workers.world import World

NOW = 1_800_000_000_000
HOUR = 3_600_000
HOUR_S = 3600.0
FLOOR = NOW - HOUR


def lane(age_ms: int, dice: int = 1) -> str:
    return writer_lane(make_writer_id(NOW - age_ms, bytes([dice] * 6)))


def listing(slots: dict[str, list[int]] | None = None, *, files: tuple[Tail, ...] = ()) -> Listing:
    found = slots or {}
    times = {lane: [NOW] * len(slots) for lane, slots in found.items()}
    return Listing(found, times, (), NOW, len(found), files={tail.lane: tail for tail in files})


def root(watermarks: dict[str, int], **fields: object) -> Root:
    return msgspec.structs.replace(Root(9, b"n", watermarks=watermarks), **fields)


def retired(world: World, old: Root, shown: Listing, prior: Root | None = None) -> Root:
    return retire(world.process().place, prior or old, shown, old)


# --- the floor -------------------------------------------------------------------------------------------------------


def test_the_floor_rises_to_an_hour_before_the_listing(world: World) -> None:
    assert retired(world, root({}), listing()).retire_floor == FLOOR
    assert retired(world, root({}, retire_floor=NOW), listing()).retire_floor == NOW


@pytest.mark.parametrize(
    ("watermark", "slots", "rises"),
    [(2, [1, 2], True), (2, [2, 3], False), (None, [1], False), (None, [2], False)],
)
def test_it_rises_only_when_nothing_unfolded_is_listed(
    world: World, watermark: int | None, slots: list[int], rises: bool
) -> None:
    young = lane(30 * 60_000)
    old = root({young: watermark} if watermark else {})
    assert (retired(world, old, listing({young: slots})).retire_floor == FLOOR) == rises


@pytest.mark.parametrize(("end", "more", "rises"), [(900, False, True), (901, False, False), (900, True, False)])
def test_a_lane_file_holds_it_until_its_end_is_folded(world: World, end: int, more: bool, rises: bool) -> None:
    """A fold that is bounded in memory does not see the whole of a file."""
    young = lane(30 * 60_000)
    tail = Tail(young, "file", (FileSlot(young, end, 100),), end, more)
    assert (retired(world, root({young: 900}), listing(files=(tail,))).retire_floor == FLOOR) == rises


def test_leftovers_of_the_retired_do_not_hold_the_floor(world: World) -> None:
    gone = lane(100 * HOUR)
    old = root({}, retire_floor=NOW - 90 * HOUR)
    assert retired(world, old, listing({gone: [1]})).retire_floor == FLOOR


def test_a_shared_lane_does_not_hold_the_floor(world: World) -> None:
    assert retired(world, root({}), listing({"s00": [5]})).retire_floor == FLOOR


# --- dropping watermarks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "closed", "drops"),
    [
        (25 * HOUR, False, True),
        (25 * HOUR - 1, False, False),
        (HOUR, True, True),
        (HOUR - 1, True, False),
    ],
)
def test_who_is_dropped(world: World, age: int, closed: bool, drops: bool) -> None:
    writer = lane(age)
    old = root({writer: 3}, closed=(writer,) if closed else ())
    new = retired(world, old, listing())
    assert (writer not in new.watermarks) == drops
    assert (writer not in new.closed) == (drops or not closed)
    assert not drops or new.retired(writer)


def test_not_while_a_segment_of_it_is_listed(world: World) -> None:
    writer = lane(30 * HOUR)
    assert writer in retired(world, root({writer: 3}), listing({writer: [3]})).watermarks


def test_not_unless_the_watermark_stood_before_the_listing_began(world: World) -> None:
    writer = lane(30 * HOUR)
    old = root({writer: 3})
    assert writer in retire(world.process().place, None, listing(), old).watermarks
    assert writer in retired(world, old, listing(), prior=root({writer: 2})).watermarks
    assert writer not in retired(world, old, listing(), prior=root({writer: 3})).watermarks


def test_never_a_shared_lane(world: World) -> None:
    assert retired(world, root({"s00": 3}), listing()).watermarks == {"s00": 3}


# --- leftovers -------------------------------------------------------------------------------------------------------


def test_leftovers_are_named_once_and_never_applied_or_deleted(world: World) -> None:
    process, stalled = world.process(), world.process()
    stalled.put("ghost", b"1")
    [segment] = world.store.names("ns/log/")
    body = world.store.raw(segment)
    run(world.store.inner.delete([segment]))
    del world.model["ghost"]
    process.put("a", b"1")
    process.fold()
    world.env.advance(2 * HOUR_S)
    process.put("a", b"2")
    process.fold()
    # The stalled write lands now. It was never acknowledged: more than 5 minutes had passed since its writer's birth.
    run(world.store.inner.put(segment, body, Overwrite()))
    for number in range(3):
        process.put("a", b"%d" % number)
        run(process.compactor.round(stay=False, insist=True, full=True))
        world.env.advance(26 * HOUR_S)
        assert [item.name for item in process.root.quarantine] == [segment]
    assert segment in world.store.names("ns/log/")
    world.check()


def test_files_of_the_retired_that_hold_anything_are_named_once(world: World) -> None:
    full, empty, young = lane(100 * HOUR), lane(100 * HOUR, 2), lane(HOUR // 2)
    files = (
        Tail(full, "full", (FileSlot(full, 900, 100),), 900),
        Tail(empty, "empty", (), 32),
        Tail(young, "young", (FileSlot(young, 900, 100),), 900),
    )
    named = retired(world, root({}, retire_floor=NOW - 90 * HOUR), listing(files=files))
    assert [item.name for item in named.quarantine] == ["full"]
    assert retired(world, named, listing(files=files)).quarantine == named.quarantine


def test_a_writer_that_was_only_waiting_for_a_compactor_is_not_retired(world: World) -> None:
    """Compaction was down for a week; age alone must not decide."""
    writer = world.process()
    writer.put("kept", b"1")
    world.env.advance(7 * 24 * HOUR_S)
    process = world.process()
    process.put("other", b"1")
    for _ in range(3):
        run(process.compactor.round(stay=False, insist=True, full=True))
        world.env.advance(26 * HOUR_S)
        process.put("other", b"2")
    assert not process.root.quarantine
    world.check()


# --- the whole, in time ----------------------------------------------------------------------------------------------


def test_a_month_of_writers_leaves_few_watermarks(world: World) -> None:
    compactor = world.process()
    for day in range(30):
        for number in range(3):
            writer = world.process()
            writer.put(f"k/{day}/{number}", b"1")
        for _ in range(4):
            run(compactor.compactor.round(stay=True, insist=False))
            world.env.advance(6 * HOUR_S)
    assert len(compactor.root.watermarks) <= 9
    assert len(world.store.names("ns/log/")) <= 3
    world.check()


def test_an_idle_namespace_becomes_quiet(world: World) -> None:
    """After its writers have been retired nothing is written any more, and a poll costs two requests."""
    process = world.process()
    process.put("a", b"1")
    writes: list[int] = []
    for _ in range(60):
        world.store.forget()
        run(process.compactor.round(stay=True, insist=False))
        writes.append(sum(verb in ("put", "delete") for verb, _ in world.store.calls))
        world.env.advance(HOUR_S)
    assert process.root.watermarks == {}
    assert sum(writes) < 8
    assert sum(writes[-25:]) == 0
    world.store.forget()
    run(process.compactor.round(stay=True, insist=False))
    assert len(world.store.calls) == 2
    world.check()


def _publish_without_folding(world: World) -> None:
    """A leader whose fold was too small to reach a waiting segment publishes what retirement makes of the root."""
    process, writer = world.process(), world.process()
    process.put("a", b"1")
    process.fold()
    writer.put("waiting", b"1")
    world.env.advance(2 * HOUR_S)
    shown, seen = run(list_and_root(process.place, process.register))
    new = retire(process.place, seen.root, shown, seen.root)
    run(process.register.publish(seen, Leadership(process.place).sign(seen.root, new, stay=False)))


def test_a_segment_that_waits_for_a_fold_keeps_its_writer_new(world: World) -> None:
    _publish_without_folding(world)
    world.check()


def test_with_a_floor_by_age_alone_it_would_be_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retirement, "_floor", lambda listing, new: listing.time - HOUR)
    _publish_without_folding(world)
    assert "waiting" in world.model
    assert "waiting" not in world.found()
