"""Deleting folded segments: not a moment too early, and never one that may still matter."""

from __future__ import annotations

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.protocols import register
from swampstore.protocols.log import Listing
from swampstore.protocols.register import Seen
from swampstore.stores.base import Create
from swampstore.values.root import Quarantined, Root, Settling
from swampstore.workers import fold, sweep_log
from swampstore.workers.sweep_log import covered
from tests.workers.world import World

LANE = "w" + "ab" * 12
OTHER = "w" + "cd" * 12
NOW = 1_800_000_000_000
GRACE = 32_000
"""30 s, and twice a second for store times that are cut to whole seconds."""


def listing(slots: dict[str, list[int]]) -> Listing:
    return Listing(slots, {lane: [NOW] * len(found) for lane, found in slots.items()}, (), NOW, 9)


def seen(age_ms: int, *, mark: Settling | None = None, **fields: object) -> Seen:
    root = msgspec.structs.replace(Root(7, b"n", settling=mark), **fields)
    return Seen(root, "e", modified=NOW - age_ms, time=NOW)


def segments(world: World) -> list[str]:
    return world.store.names("ns/log/")


@pytest.mark.parametrize(("age", "deleted"), [(GRACE - 1, 0), (GRACE, 3)])
def test_what_a_root_covers_goes_30_s_after_its_publish(world: World, age: int, deleted: int) -> None:
    place = world.process().place
    root = seen(age, watermarks={LANE: 3})
    assert len(covered(place, listing({LANE: [1, 2, 3, 4], OTHER: [1]}), [root])) == deleted


@pytest.mark.parametrize(("age", "deleted"), [(GRACE - 1, 0), (GRACE, 2)])
def test_a_settling_mark_goes_30_s_after_its_time(world: World, age: int, deleted: int) -> None:
    place = world.process().place
    root = seen(0, mark=Settling(NOW - age, {LANE: 2}), watermarks={LANE: 3})
    assert len(covered(place, listing({LANE: [1, 2, 3, 4]}), [root])) == deleted


def test_quarantined_and_unknown_lanes_stay(world: World) -> None:
    place = world.process().place
    broken = Quarantined(place.names.segment(LANE, 2), "broken", NOW)
    root = seen(GRACE, watermarks={LANE: 3}, quarantine=(broken,), retire_floor=1 << 47)
    names = covered(place, listing({LANE: [1, 2, 3], OTHER: [1, 2]}), [root])
    assert names == [place.names.segment(LANE, 1), place.names.segment(LANE, 3)]


def test_under_steady_load_the_log_stays_short(world: World) -> None:
    """A publish every second moves the settling mark; the log must be swept nevertheless."""
    writer, leader = world.process(), world.process()
    longest = 0
    for number in range(200):
        writer.put(f"k/{number % 7}", b"%d" % number)
        run(leader.compactor.round(stay=True, insist=False))
        world.env.advance(1)
        longest = max(longest, len(segments(world)))
    assert longest <= 75
    world.check()


def test_an_idle_namespace_is_swept_without_a_write(world: World) -> None:
    process = world.process()
    process.put("a", b"1")
    process.fold()
    world.env.advance(GRACE / 1000)
    version = process.root.version
    report = run(process.compactor.round(stay=False, insist=False))
    assert report.sweep.segments == 1
    assert not segments(world)
    assert process.root.version == version
    world.check()


# --- the grace, and what happens without it --------------------------------------------------------------------------


def _slow_reader_finds(world: World) -> dict[str, bytes]:
    """A reader whose list came before a fold and a sweep, and whose reads come after: what does it find?

    It pairs the old root with the log as it is now, as a reader may that took both side by side within the grace.
    """
    process, reader = world.process(), world.process()
    process.put("a", b"1")
    process.fold()
    old = run(reader.register.read())
    process.put("b", b"2")
    process.fold()
    run(process.compactor.round(stay=False, insist=True))
    read = run(world.process().reader.open())
    assert read.root.version > old.root.version
    # The stale root is still good for whoever holds it, while the segment it does not cover is there.
    there = {name.rpartition("/")[2] for name in segments(world)}
    wanted = {f"{slot:016x}" for slot in (2,)}
    return {"b": b"2"} if wanted <= there else {}


def test_a_reader_with_a_root_of_a_moment_ago_finds_its_segments(world: World) -> None:
    assert _slow_reader_finds(world) == {"b": b"2"}


def test_without_the_grace_they_would_be_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_log, "ripe", lambda mark, now: True)
    assert _slow_reader_finds(world) == {}


def test_the_mark_of_a_late_publish_counts_from_the_publish(world: World) -> None:
    """A fold read its root, was held up for an hour, then published: what it covers waits from then on."""
    process = world.process()
    process.put("a", b"1")

    def hold_up(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            world.store.before = lambda verb, name: None
            world.env.advance(3600)

    world.store.before = hold_up
    process.fold()
    run(process.compactor.round(stay=False, insist=True))
    assert len(segments(world)) == 1
    world.env.advance(GRACE / 1000)
    run(process.compactor.round(stay=False, insist=True))
    assert not segments(world)


# --- exact watermarks ------------------------------------------------------------------------------------------------


def _two_paces(world: World) -> None:
    """A fast and a slow writer; the slow one's second segment lands after a fold of five of the fast one's."""
    fast, slow, leader = world.process(), world.process(), world.process()
    slow.put("slow/1", b"1")
    for number in range(5):
        fast.put(f"fast/{number}", b"1")
    leader.fold()
    slow.put("slow/2", b"1")
    leader.fold()


def test_watermarks_are_exact(world: World) -> None:
    _two_paces(world)
    world.env.advance(60)
    run(world.process().compactor.round(stay=False, insist=True))
    world.check()


def test_with_the_largest_slot_seen_as_watermark_a_write_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard "the contiguous run of each lane" is off: a fold passes every slot up to the largest it has seen."""
    exact = fold._watermarks

    def largest(old, found):  # type: ignore[no-untyped-def]
        marks = exact(old, found)
        return {lane: max(marks.values()) for lane in marks}

    monkeypatch.setattr(fold, "_watermarks", largest)
    _two_paces(world)
    assert "slow/2" in world.model
    assert "slow/2" not in world.found()


def test_a_foreign_object_in_the_log_is_left_alone(world: World) -> None:
    process = world.process()
    process.put("a", b"1")
    run(world.store.put("ns/log/readme.txt", b"hello", Create()))
    process.fold()
    world.env.advance(60)
    run(process.compactor.round(stay=False, insist=True))
    assert segments(world) == ["ns/log/readme.txt"]
    world.check()


def test_the_grace_is_the_one_of_the_register() -> None:
    assert register.ripe(Settling(0, {}), GRACE)
    assert not register.ripe(Settling(0, {}), GRACE - 1)
