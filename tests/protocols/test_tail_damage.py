"""Damage in lane files, and what retired writers leave in them: named, kept, brought back, never passed over in silence."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.protocols.log import fetch, list_and_root
from swampstore.protocols.slots import SegmentGone, Stretch
from swampstore.testing.env import FakeEnv
from swampstore.workers.doctor.examine import examine
from swampstore.workers.doctor.mend_left import mend
from swampstore.workers.doctor.mending import Ground
from swampstore.workers.retire import retire
from swampstore.workers.target import silent
from tests.protocols.support import Process, Recording, world
from tests.protocols.test_tails import Lane, slots_of

Pair = tuple[FakeEnv, Recording, Process, Lane]


@pytest.fixture
def pair() -> Pair:
    """A store, a process that reads, and a lane file of another."""
    env, store = world()
    return env, store, Process(store, env), Lane(Process(store, env), store)


# --- damage --------------------------------------------------------------------------------------------------------------


def damage(lane: Lane, start: int) -> None:
    """One flipped bit in the frame at ``start``."""
    body = bytearray(lane.body)
    body[start + 14] ^= 1
    lane.body = bytes(body)
    lane.show()


def test_damage_in_the_middle_is_named_and_what_lies_behind_is_brought_back(pair: Pair) -> None:
    _, store, process, lane = pair
    first = lane.add("a")
    lane.add("lost")
    lane.add("b")
    lane.add("c", closing=True)
    damage(lane, first)
    assert process.keys() == ["a"]
    process.fold()
    findings = run(examine(process.place, process.register, guards=False)).findings
    assert {(one.code, one.name) for one in findings if "lane" in one.code} == {
        ("lane-damaged", lane.name),
        ("lane-behind", lane.name),
    }
    ground = Ground(process.place, process.register, dry_run=False, deep=False, settle=False, progress=silent)
    run(mend(ground, lambda step: None))
    assert process.keys() == ["a", "b", "c"]
    findings = run(examine(process.place, process.register, guards=False)).findings
    assert [one.code for one in findings if "lane" in one.code] == ["lane-damaged"]
    assert lane.name in store.names()


def test_what_is_damaged_between_two_reads_is_not_taken_for_the_whole(pair: Pair) -> None:
    """A fold that took the part that is left would set the watermark behind all of it."""
    _, _, process, lane = pair
    first = lane.add("a")
    lane.add("b")
    lane.add("c")
    slots = slots_of(process)
    assert len(slots) == 1
    process.place.caches.segments.clear()
    process.place.caches.fresh.clear()
    damage(lane, first)
    with pytest.raises(SegmentGone):
        run(fetch(process.place, slots))


def test_a_torn_tail_is_no_damage(pair: Pair) -> None:
    _, _, process, lane = pair
    lane.add("a")
    lane.show(lane.frame("b")[:-3])
    findings = run(examine(process.place, process.register, guards=False)).findings
    assert not [one for one in findings if "lane" in one.code]


def test_what_a_retired_writer_appends_is_left_behind_named_and_kept(pair: Pair) -> None:
    env, store, process, lane = pair
    env.advance(7200)
    process.put("x")
    process.fold()
    assert run(process.register.read()).root.retired(lane.lane)
    lane.add("late")
    assert process.keys() == ["x"]
    process.put("y")
    process.fold()
    root = run(process.register.read()).root
    assert [item.name for item in root.quarantine] == [lane.name]
    assert process.keys() == ["x", "y"]
    findings = run(examine(process.place, process.register, guards=False)).findings
    assert ("left-behind", lane.name) in {(one.code, one.name) for one in findings}
    assert lane.name in store.names()


def test_the_floor_waits_for_what_is_unfolded_in_a_file(pair: Pair) -> None:
    env, _, process, lane = pair
    lane.add("a")
    env.advance(7200)
    listing, seen = run(list_and_root(process.place, process.register))
    assert retire(process.place, None, listing, seen.root).retire_floor == 0
    process.fold()
    root = run(process.register.read()).root
    assert root.retire_floor > 0
    assert not root.retired(lane.lane)
    dropped = retire(process.place, root, run(list_and_root(process.place, process.register))[0], root)
    assert lane.lane in dropped.watermarks, "its file is there"


def test_records_know_their_frames(pair: Pair) -> None:
    _, _, process, lane = pair
    ends = [lane.add("a", "b"), lane.add("c")]
    (found,) = run(fetch(process.place, slots_of(process)))
    assert isinstance(found, Stretch)
    assert [found.slot_of(index) for index in range(3)] == [ends[0], ends[0], ends[1]]
    rest = found.past(ends[0])
    assert rest is not None
    assert [record.key for record in rest.records] == ["c"]
    assert rest.slot_of(0) == ends[1]
    assert found.past(ends[0] - 1) is None
