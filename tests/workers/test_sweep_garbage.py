"""Garbage: graces at their boundaries, the last look for uses, packs, quarantine."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.stores.base import Overwrite
from swampstore.values.entry import Meta, put_record, tombstone
from swampstore.workers import sweep_garbage
from swampstore.workers.report import SweepReport
from swampstore.workers.sweep_garbage import GarbageSweep
from swampstore.workers.uses import Uses
from tests.workers.world import Process, World, blob, packed

HOUR_S = 3600.0
GRAIN_S = 2.0


def sweep(process: Process) -> SweepReport:
    return run(process.compactor.sweep_once(insist=True, orphans=False))


def shard_objects(world: World) -> list[str]:
    return world.store.names("ns/shard/")


def blobs(world: World) -> list[str]:
    return world.store.names("ns/blob/")


def compact_twice(world: World) -> Process:
    process = world.process()
    process.put("a", b"1")
    process.compact()
    process.put("b", b"1")
    process.compact()
    return process


def dropped_blob(world: World) -> Process:
    """A blob that was named and no longer is, called garbage by the root that is current."""
    process = world.process()
    process.put("a", at=blob(process.upload()))
    process.compact()
    process.put("a", b"inline now")
    process.compact()
    assert any(item.name.startswith("blob/") for item in process.root.garbage)
    return process


# --- graces ----------------------------------------------------------------------------------------------------------


def test_runs_go_an_hour_after_their_garbage_was_published(world: World) -> None:
    process = compact_twice(world)
    world.env.advance(HOUR_S + GRAIN_S - 0.001)
    assert sweep(process).runs == 0
    assert len(shard_objects(world)) == 2
    world.env.advance(0.001)
    assert sweep(process).runs == 1
    assert [f"ns/{ref.name}" for ref in process.root.shards] == shard_objects(world)
    assert process.root.garbage == ()
    world.check()


def test_contents_go_a_day_after_their_garbage_was_published(world: World) -> None:
    process = dropped_blob(world)
    world.env.advance(24 * HOUR_S + GRAIN_S - 0.001)
    assert sweep(process).contents == 0
    world.env.advance(0.001)
    assert sweep(process).contents == 1
    assert not blobs(world)
    assert process.root.garbage == ()
    world.check()


@pytest.mark.parametrize("others_publish", [False, True])
def test_the_grace_begins_with_the_publish_however_late_it_was(world: World, others_publish: bool) -> None:
    """The merge read the root, was held up for two hours, then published. Later publishes do not change the time."""
    process = world.process()
    process.put("a", b"1")
    process.compact()
    process.put("b", b"1")
    process.fold()

    def hold_up(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            world.store.before = lambda verb, name: None
            world.env.advance(2 * HOUR_S)

    world.store.before = hold_up
    process.merge()
    if others_publish:
        process.put("c", b"1")
        process.fold()
    assert sweep(process).runs == 0
    world.env.advance(HOUR_S + GRAIN_S - 1)
    assert sweep(process).runs == 0
    world.env.advance(1)
    assert sweep(process).runs == 1


def test_without_the_date_of_the_publish_they_would_go_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_garbage, "garbage_since_ms", lambda item, seen: item.time)
    process = world.process()
    process.put("a", b"1")
    process.compact()
    process.put("b", b"1")
    process.fold()
    old = run(world.process().reader.open())

    def hold_up(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            world.store.before = lambda verb, name: None
            world.env.advance(2 * HOUR_S)

    world.store.before = hold_up
    process.merge()
    sweep(process)
    # A reader that took the root a moment before that publish has lost its shard.
    assert not {f"ns/{ref.name}" for ref in old.root.shards} <= set(shard_objects(world))


# --- the last look for uses ------------------------------------------------------------------------------------------


def carried(world: World) -> Process:
    """A blob in the garbage list that an unfolded delta names again (its location was carried)."""
    process = world.process()
    location = blob(process.upload())
    process.put("a", at=location)
    process.compact()
    process.put("a", b"inline now")
    process.compact()
    world.env.advance(24 * HOUR_S + GRAIN_S - 60)
    process.put("b", at=location)
    world.env.advance(60)
    return process


def test_a_content_that_an_unfolded_delta_names_stays(world: World) -> None:
    process = carried(world)
    assert sweep(process).contents == 0
    assert len(blobs(world)) == 1
    assert not any(item.name.startswith("blob/") for item in process.root.garbage)


def test_a_content_that_the_manifest_names_leaves_the_list(world: World) -> None:
    """Two entries name one blob; dropping one of them calls it garbage, which the last look corrects."""
    process = world.process()
    location = blob(process.upload())
    process.put("a", at=location)
    process.put("b", at=location)
    process.compact()
    process.delete("a")
    process.compact()
    assert any(item.name.startswith("blob/") for item in process.root.garbage)
    world.env.advance(25 * HOUR_S)
    assert sweep(process).contents == 0
    assert len(blobs(world)) == 1
    assert not any(item.name.startswith("blob/") for item in process.root.garbage)
    process.delete("b")
    process.compact()
    world.env.advance(25 * HOUR_S)
    assert sweep(process).contents == 1


async def _blind(place: Place, register: Register, contents: Iterable[str]) -> Uses:
    return Uses(await register.read(), frozenset(), 0)


def test_without_the_last_look_it_would_be_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_garbage, "find_uses", _blind)
    process = carried(world)
    sweep(process)
    process.fold()
    assert "b" in world.found()
    assert not blobs(world)


def test_a_content_dropped_again_begins_its_grace_again(world: World) -> None:
    """Named by two entries, one dropped long ago: who read the other just before it went may carry the location."""
    process = world.process()
    location = blob(process.upload())
    process.put("a", at=location)
    process.put("b", at=location)
    process.compact()
    process.delete("a")
    process.compact()
    world.env.advance(25 * HOUR_S)
    process.delete("b")
    process.compact()
    assert sweep(process).contents == 0
    process.put("c", at=location)
    process.compact()
    world.env.advance(25 * HOUR_S)
    sweep(process)
    assert len(blobs(world)) == 1
    world.check()


def test_a_content_in_a_segment_behind_a_gap_stays(world: World) -> None:
    process = dropped_blob(world)
    [name] = blobs(world)
    process.put("b", at=blob(name.rpartition("/")[2]))
    [segment] = [name for name in world.store.names("ns/log/") if name.endswith("3")]
    body = world.store.raw(segment)
    run(world.store.inner.delete([segment]))
    process.put("c", at=blob(name.rpartition("/")[2]))
    world.env.advance(25 * HOUR_S)
    assert sweep(process).contents == 0
    assert blobs(world) == [name]
    run(world.store.inner.put(segment, body, Overwrite()))
    world.check()


# --- packs -----------------------------------------------------------------------------------------------------------


def test_a_pack_goes_with_its_last_member(world: World) -> None:
    process = world.process()
    part = process.upload("pack")
    for number in range(3):
        process.put(f"p/{number}", at=packed(part, number))
    process.compact()
    assert dict(process.root.packs) == {part: 3}
    process.delete("p/0")
    process.put("p/1", b"inline")
    process.compact()
    assert dict(process.root.packs) == {part: 1}
    world.env.advance(25 * HOUR_S)
    sweep(process)
    assert len(world.store.names("ns/pack/")) == 1
    process.delete("p/2")
    process.compact()
    assert dict(process.root.packs) == {}
    world.env.advance(25 * HOUR_S)
    assert sweep(process).contents == 1
    assert not world.store.names("ns/pack/")


def test_a_content_that_comes_and_goes_in_one_fold_is_garbage(world: World) -> None:
    process = world.process()
    process.put("a", at=blob(process.upload()))
    process.put("b", at=packed(process.upload("pack")))
    process.put_all({"a": b"inline", "b": b"inline"})
    process.compact()
    world.env.advance(25 * HOUR_S)
    assert sweep(process).contents == 2
    world.check()


# --- quarantine ------------------------------------------------------------------------------------------------------


def test_a_broken_segment_and_what_it_may_name_stay_for_ever(world: World) -> None:
    process = world.process()
    before = process.upload()
    process.put("a", b"1")
    [segment] = world.store.names("ns/log/")
    broken = world.store.raw(segment)[:-1] + b"?"
    run(world.store.inner.put(segment, broken, Overwrite()))
    process.fold()
    assert [item.name for item in process.root.quarantine] == [segment]
    world.env.advance(HOUR_S)
    after = process.upload()
    for part in (before, after):
        process.put("x", at=blob(part))
    process.delete("x")
    process.compact()
    world.env.advance(25 * HOUR_S)
    sweep(process)
    run(process.compactor.sweep_once(insist=True))
    assert blobs(world) == [f"ns/blob/{before}"]
    assert world.store.names("ns/log/") == [segment]


def test_a_quarantined_segment_that_can_be_read_holds_what_it_names(world: World) -> None:
    process = world.process()
    held, free = process.upload(), process.upload()
    stranger = world.process()
    stranger.put("left behind", at=blob(held))
    [segment] = world.store.names("ns/log/")
    body = world.store.raw(segment)
    run(world.store.inner.delete([segment]))
    process.put_all({"x": b""}, at=blob(held))
    process.put_all({"x": b""}, at=blob(free))
    process.delete("x")
    process.compact()
    world.env.advance(2 * HOUR_S)
    process.put("y", b"1")
    process.fold()
    run(world.store.inner.put(segment, body, Overwrite()))
    process.put("y", b"2")
    process.fold()
    assert [item.name for item in process.root.quarantine] == [segment]
    world.env.advance(25 * HOUR_S)
    process.put("y", b"3")
    process.compact()
    sweep(process)
    assert blobs(world) == [f"ns/blob/{held}"]


# --- competition -----------------------------------------------------------------------------------------------------


def test_folds_between_the_steps_of_a_sweep_survive(world: World) -> None:
    process, other = compact_twice(world), world.process()
    world.env.advance(2 * HOUR_S)

    def fold_before_cas(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            world.store.before = lambda verb, name: None
            other.put("late", b"1")
            other.fold()

    world.store.before = fold_before_cas
    assert sweep(process).runs == 1
    world.check()


def test_what_a_root_that_was_put_back_names_is_not_swept(world: World) -> None:
    """Between the look at the garbage and the publish somebody has restored the root of an hour ago."""
    process = world.process()
    process.put("a", b"1")
    process.compact()
    older = world.store.raw("ns/root")
    process.put("b", b"1")
    process.compact()
    world.env.advance(2 * HOUR_S)

    def put_back(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            world.store.before = lambda verb, name: None
            run(world.store.inner.put("ns/root", older, Overwrite()))

    world.store.before = put_back
    assert sweep(process).runs == 0
    assert world.found() == {"a": b"1"}, "the log of what came later had gone before"


def test_a_process_that_may_not_lead_sweeps_no_garbage(world: World) -> None:
    process, leader = compact_twice(world), world.process()
    world.env.advance(2 * HOUR_S)
    leader.put("c", b"1")
    run(leader.compactor.fold_once(stay=True, insist=True))
    assert run(process.compactor.sweep_once(orphans=False)).runs == 0
    assert len(shard_objects(world)) == 2


def test_an_item_that_left_the_list_meanwhile_is_not_deleted(world: World) -> None:
    process = carried(world)
    sweeper = GarbageSweep(process.place, process.register, process.compactor._leadership, stay=False, insist=True)
    other = world.process()

    def fold_before_cas(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            world.store.before = lambda verb, name: None
            other.fold()

    world.store.before = fold_before_cas
    run(sweeper.run())
    assert len(blobs(world)) == 1
    world.check()


def test_equal_records_of_one_content_count_once_each(world: World) -> None:
    """A record appended twice (after an ambiguous answer) is one record, whatever is folded between."""
    process, again = world.process(), world.process()
    part = process.upload("pack")
    record = put_record("a", process.writer.new_version(), Meta(size=1, at=packed(part)))
    process.append([record])
    process.compact()
    again.append([msgspec.structs.replace(record)])
    process.compact()
    assert dict(process.root.packs) == {part: 1}
    process.append([tombstone("a", process.writer.new_version())])
    process.compact()
    assert dict(process.root.packs) == {}
