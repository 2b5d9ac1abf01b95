"""Lanes after a rebuild: nothing that the log holds is missing, no slot is used twice, idle writers are brought in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.protocols.commit import CommitLane, Draft
from swampstore.protocols.stream import EMPTY, Stream
from swampstore.stores.base import Overwrite
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.names import COMMIT_LANE
from swampstore.values.root import decode_root
from swampstore.values.segment import Commit
from swampstore.workers import rebuild
from swampstore.workers.rebuild import RebuildPlan, plan_rebuild, publish_rebuilt
from tests.doctor.broken import codes, drop, lose, mend, segment, write
from tests.doctor.history import busy, days_pass
from tests.workers.test_crash import crash_at
from tests.workers.world import Crash, Process, World

pytestmark = pytest.mark.usefixtures("tiny")


def planned(world: World, *, settle: bool = True) -> RebuildPlan:
    process = world.process()
    return run(plan_rebuild(process.place, process.register, settle=settle))


# --- watermarks ------------------------------------------------------------------------------------------------------


def half_folded(world: World) -> Process:
    """A lane with deleted slots, folded ones that still lie there, and unfolded ones."""
    process = world.process()
    process.put("a", b"1")
    process.put("b", b"1")
    process.compact()
    world.env.advance(60)
    run(process.compactor.sweep_once(insist=True))
    process.put("c", b"1")
    process.compact()
    process.put("d", b"1")
    (lane,) = process.root.watermarks
    assert [int(name[-16:], 16) for name in world.store.names("ns/log/")] == [3, 4]
    assert process.root.watermarks == {lane: 3}
    return process


def test_the_log_goes_on_where_it_was(world: World) -> None:
    process = half_folded(world)
    lose(world)
    mend(world)
    world.check()
    process.put("e", b"1")
    world.check()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda first, second: {},
        lambda first, second: {lane: slots[-1] for lane, slots in first.lanes.items()},
    ],
    ids=["none", "the last listed"],
)
def test_with_other_watermarks_writes_are_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, wrong: Callable[..., Any]
) -> None:
    half_folded(world)
    monkeypatch.setattr(rebuild, "watermarks_of", wrong)
    lose(world)
    run(publish_rebuilt(world.process().place, planned(world)))
    world.process().fold()
    with pytest.raises(AssertionError):
        world.check()


def test_a_hole_left_by_an_interrupted_sweep_is_passed(world: World) -> None:
    """Slot 2 was deleted, slot 1 was not: both are folded."""
    process = world.process()
    for key in "abcd":
        process.put(key, b"1")
    process.compact()
    (lane,) = process.root.watermarks
    process.put("e", b"1")
    run(world.store.inner.delete([f"ns/log/{lane}/{2:016x}"]))
    lose(world)
    mend(world)
    world.check()
    assert codes(world) == []


def test_a_slot_that_lands_between_two_listings_is_not_taken_for_deleted() -> None:
    from swampstore.protocols.log import Listing

    first = Listing({"w" + "0" * 24: [1, 3]}, {}, (), 0, 2)
    assert rebuild.watermarks_of(first, first) == {"w" + "0" * 24: 2}
    second = Listing({"w" + "0" * 24: [1, 2, 3]}, {}, (), 0, 3)
    assert rebuild.watermarks_of(first, second) == {}


def test_a_broken_segment_below_the_watermark_stays_set_aside(world: World) -> None:
    process = world.process()
    for key in "abc":
        process.put(key, b"1")
    (lane,) = {name.split("/")[2] for name in world.store.names("ns/log/")}
    broken = f"ns/log/{lane}/{2:016x}"
    run(world.store.inner.put(broken, b"broken", Overwrite()))
    del world.model["b"]
    process.compact()
    world.env.advance(60)
    run(process.compactor.sweep_once(insist=True))
    process.put("d", b"1")
    assert world.store.names("ns/log/")[0] == broken
    lose(world)
    mend(world)
    assert codes(world) == ["quarantined"]
    world.env.advance(3600)
    process.compact()
    run(process.compactor.sweep_once(insist=True))
    assert broken in world.store.names("ns/log/")
    world.check()


# --- shared lanes ----------------------------------------------------------------------------------------------------


async def _nothing() -> None:
    pass


def stream_of(process: Process) -> Stream:
    from swampstore.limits import SHARED_LANES
    from swampstore.protocols.stream import stream_lane

    lane = CommitLane(process.place, process.register, process.reader, stream_lane("s", SHARED_LANES))
    return Stream(process.place, process.reader, lane, "s", _nothing)


def swept_stream(world: World) -> Process:
    process = world.process()
    stream = stream_of(process)
    for number in range(5):
        run(stream.append([b"%d" % number]))
    process.compact()
    world.env.advance(60)
    run(process.compactor.sweep_once(insist=True))
    assert not world.store.names("ns/log/")
    lose(world)
    return process


def test_a_stream_goes_on_behind_its_records(world: World) -> None:
    swept_stream(world)
    mend(world)
    stream = stream_of(world.process())
    tail = run(stream.tail())
    assert tail != EMPTY
    run(stream.append([b"new"], expected_tail=tail))
    assert [record.data for record in run(stream.read())] == [b"0", b"1", b"2", b"3", b"4", b"new"]
    world.process().compact()
    assert run(stream_of(world.process()).tail()) > tail


def cut_off_stream(world: World) -> list[bytes]:
    """The last folded slot was deleted and earlier ones were not; the new records after a rebuild."""
    process = world.process()
    stream = stream_of(process)
    for number in range(5):
        run(stream.append([b"%d" % number]))
    process.compact()
    drop(world, world.store.names("ns/log/")[-1])
    process.put("a", b"1")
    lose(world)
    mend(world)
    stream = stream_of(world.process())
    run(stream.append([b"new"], expected_tail=run(stream.tail())))
    world.process().compact()
    return [record.data for record in run(stream_of(world.process()).read())]


def test_a_sweep_that_was_cut_off_hides_no_slot_of_a_stream(world: World) -> None:
    assert cut_off_stream(world) == [b"0", b"1", b"2", b"3", b"4", b"new"]
    world.check()
    assert codes(world) == []


def test_going_on_behind_what_is_shown_uses_a_slot_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "jump_to", lambda store_ms: 4)
    assert cut_off_stream(world) != [b"0", b"1", b"2", b"3", b"4", b"new"]


def test_what_a_shared_lane_shows_is_appended_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without that it is lost: the lane goes on far above it."""
    for appended in (True, False):
        here = World()
        process = here.process()
        process.put("a", b"1")
        process.compact()
        run(stream_of(process).append([b"in the log"]))
        lose(here)
        if not appended:
            monkeypatch.setattr(rebuild, "_append_again", lambda place: _nothing())
        mend(here)
        assert len(run(stream_of(here.process()).read())) == appended


def test_a_sweep_that_was_cut_off_hides_no_slot_of_a_writer(world: World) -> None:
    process = world.process()
    for key in "ab":
        process.put(key, b"1")
    process.compact()
    drop(world, world.store.names("ns/log/")[-1])
    lose(world)
    mend(world)
    process.put("c", b"1")
    assert codes(world) == ["lost-watermark"]
    assert mend(world) == ["watermark"]
    world.check()
    assert codes(world) == []


def test_without_the_jump_a_slot_is_used_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    swept_stream(world)
    monkeypatch.setattr(rebuild, "jump_to", lambda store_ms: 1)
    mend(world)
    stream = stream_of(world.process())
    run(stream.append([b"new"]))
    assert len(run(stream.read())) < 6


def in_flight(world: World, *, settle: bool) -> bool:
    """A commit that looked before the loss and is created after the rebuild: is it there, once acknowledged?"""
    process = world.process()
    process.put("a", b"1")
    process.compact()
    world.env.advance(60)
    run(process.compactor.sweep_once(insist=True))
    lane = CommitLane(process.place, process.register, process.reader, COMMIT_LANE)
    snapshot, span = run(process.reader.open_timed())
    record = put_record("committed", process.writer.new_version(), Meta(size=1, at=Inline(b"1")))
    draft = Draft(
        commit=Commit(footprint=("committed",)),
        build=lambda _slot, _start: [record],
        seen={"committed": None},
        tail=snapshot.tail(COMMIT_LANE),
        span=span,
    )
    lose(world)
    mend(world, settle=settle)
    run(lane.commit(draft))
    return "committed" in world.found()


def test_a_commit_in_flight_is_not_lost(world: World) -> None:
    assert in_flight(world, settle=True)


def test_without_waiting_an_acknowledged_commit_is_lost(world: World) -> None:
    assert not in_flight(world, settle=False)


def test_versions_of_roots_never_go_back(world: World) -> None:
    process = busy(world)
    versions = [process.root.version]
    for _ in range(2):
        lose(world)
        mend(world)
        versions.append(decode_root(world.store.raw("ns/root"), "root").version)
        world.env.advance(60)
    assert versions == sorted(set(versions))


# --- writers that were idle --------------------------------------------------------------------------------------------


def idle_writer(world: World, *, age_s: float, busy_after: bool = False) -> Process:
    """A writer whose segments are all folded and deleted when the root is lost; it writes again within half an hour."""
    process = world.process()
    process.put("a", b"1")
    busy(world)
    other = world.process()
    other.compact()
    world.env.advance(age_s)
    process.put("b", b"1")
    other.compact()
    world.env.advance(60)
    run(other.compactor.sweep_once(insist=True))
    assert not world.store.names("ns/log/")
    lose(world)
    mend(world)
    if busy_after:
        other = world.process()
        other.put("x", b"1")
        other.compact()
    process.put("late", b"1")
    return process


@pytest.mark.parametrize(
    ("age_s", "code"), [(60, "lost-watermark"), (1700, "lost-watermark"), (4 * 1700, "left-behind")]
)
def test_what_an_idle_writer_writes_is_brought_back(world: World, age_s: float, code: str) -> None:
    if age_s > 1700:
        # It stays one writer by writing now and then, and is older than the retire floor of the rebuilt root.
        process = world.process()
        process.put("a", b"1")
        for _ in range(4):
            world.env.advance(1700)
            process.put("b", b"1")
            world.process().compact()
        world.env.advance(60)
        run(world.process().compactor.sweep_once(insist=True))
        lose(world)
        mend(world)
        other = world.process()
        other.put("c", b"1")
        other.compact()
        process.put("late", b"1")
    else:
        idle_writer(world, age_s=age_s)
    assert "late" not in world.found()
    assert code in codes(world)
    assert mend(world) == [{"lost-watermark": "watermark"}.get(code, code)]
    world.check()
    world.process().compact()
    world.check()
    assert mend(world) == []
    assert code not in codes(world)


def test_what_is_older_than_a_forgotten_tombstone_is_not_brought_back(world: World) -> None:
    from swampstore.values.names import writer_lane
    from swampstore.values.version import hlc_of, make_version, make_writer_id

    busy(world)
    old = make_writer_id(world.env.wall, b"123456")
    hlc = hlc_of(world.env.wall)
    days_pass(world)
    lane = writer_lane(old)
    write(world, f"ns/log/{lane}/{1:016x}", segment(lane, 1, "back?", hlc))
    assert make_version(hlc, old, 1)
    assert "left-behind" in codes(world)
    assert mend(world) == []
    assert "back?" not in world.found()


def two_idle_writers(world: World) -> None:
    """One is to be found again by its watermark, the other was retired."""
    from swampstore.values.names import writer_lane
    from swampstore.values.version import hlc_of, make_writer_id
    from tests.doctor.broken import segment, write

    idle_writer(world, age_s=60, busy_after=True)
    old = writer_lane(make_writer_id(world.env.wall - 12_000_000, b"654321"))
    write(world, f"ns/log/{old}/{1:016x}", segment(old, 1, "left", hlc_of(world.env.wall)))
    world.model["left"] = b"x"


def lane_calls() -> int:
    world = World()
    two_idle_writers(world)
    world.store.forget()
    mend(world)
    return len(world.store.calls)


@pytest.mark.parametrize("number", range(lane_calls()))
def test_a_crash_during_the_repair_of_lanes_is_harmless(world: World, number: int) -> None:
    two_idle_writers(world)
    assert {"lost-watermark", "left-behind"} <= set(codes(world))
    world.store.before = crash_at(number, Crash)
    with pytest.raises(Crash):
        mend(world)
    world.store.before = lambda verb, name: None
    mend(world)
    world.check()
    assert not {"lost-watermark", "left-behind"} & set(codes(world))
