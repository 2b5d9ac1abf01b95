"""Every rule of the rebuild is needed: the loss that it prevents, with the rule and without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import Conflict, Misuse, UnknownFormat
from swampstore.protocols.commit import CommitLane, Draft
from swampstore.protocols.stream import EMPTY, Stream
from swampstore.stores.base import Overwrite
from swampstore.values.entry import Inline, Meta, put_record, tombstone
from swampstore.values.frame import Kind, pack
from swampstore.values.names import COMMIT_LANE
from swampstore.values.root import decode_root
from swampstore.values.segment import Commit
from swampstore.values.version import just_above
from swampstore.workers import rebuild
from swampstore.workers.doctor.examine import examine
from swampstore.workers.doctor.repairs import repair
from swampstore.workers.rebuild import RebuildPlan, plan_rebuild, publish_rebuilt
from tests.doctor.history import busy
from tests.workers.test_crash import crash_at
from tests.workers.world import DAY_S, Crash, Process, World

pytestmark = pytest.mark.usefixtures("tiny")


def lose(world: World) -> None:
    run(world.store.inner.delete(["ns/root"]))


def mend(world: World, **options: Any) -> list[str]:
    process = world.process()
    report = run(repair(process.place, process.register, **{"dry_run": False, "accept_loss": True} | options))
    return [step.code for step in report.steps]


def codes(world: World) -> list[str]:
    process = world.process()
    return run(examine(process.place, process.register, guards=False)).codes()


def planned(world: World, *, settle: bool = True) -> RebuildPlan:
    process = world.process()
    return run(plan_rebuild(process.place, process.register, settle=settle))


# --- refusals --------------------------------------------------------------------------------------------------------


def test_nothing_is_done_to_a_root_that_is_there(world: World) -> None:
    busy(world)
    before = world.store.raw("ns/root")
    with pytest.raises(Misuse, match="not lost"):
        planned(world)
    assert mend(world) == []
    assert world.store.raw("ns/root") == before


def test_nothing_is_done_to_a_root_of_a_newer_program(world: World) -> None:
    busy(world)
    run(world.store.inner.put("ns/root", pack(Kind.ROOT, 9, b"future"), Overwrite()))
    with pytest.raises(Misuse, match="newer program"):
        planned(world)
    with pytest.raises(UnknownFormat):
        mend(world)


def test_a_run_of_a_newer_program_stops_it(world: World) -> None:
    process = busy(world)
    _, name = process.place.new_object("shard")
    from swampstore.values.run import FOOTER

    index = pack(Kind.RUN_INDEX, 9, b"future")
    run(world.store.inner.put(name, index + FOOTER.pack(0, len(index), b"SWRN"), Overwrite()))
    lose(world)
    with pytest.raises(UnknownFormat):
        planned(world)


def test_a_loss_must_be_accepted_and_a_dry_run_changes_nothing(world: World) -> None:
    busy(world)
    lose(world)
    before = world.store.names()
    process = world.process()
    report = run(repair(process.place, process.register))
    (step,) = report.steps
    assert (step.code, step.done) == ("root", False)
    assert any("waited in the root" in loss for loss in report.losses)
    with pytest.raises(Misuse, match="not everything can be brought back"):
        mend(world, accept_loss=False)
    assert world.store.names() == before


def test_a_root_that_is_restored_meanwhile_wins(world: World) -> None:
    busy(world)
    good = world.store.raw("ns/root")
    lose(world)
    plan = planned(world)
    run(world.store.inner.put("ns/root", good, Overwrite()))
    with pytest.raises(Conflict, match="changed meanwhile"):
        run(publish_rebuilt(world.process().place, plan))
    assert world.store.raw("ns/root") == good
    world.check()


# --- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damaged", [False, True])
def test_a_whole_namespace_comes_back(world: World, damaged: bool) -> None:
    process = busy(world)
    process.compact()
    process.put("in the log", b"1")
    if damaged:
        run(world.store.inner.put("ns/root", b"no root", Overwrite()))
    else:
        lose(world)
    assert mend(world) == ["root"]
    assert codes(world) == []
    world.check()
    later = world.process()
    later.put("later", b"1")
    later.compact()
    world.check()
    assert mend(world) == []


def test_a_saved_snapshot_gives_back_settings_and_what_waited_in_the_root(world: World) -> None:
    import msgspec

    process = busy(world)
    process.fold()
    seen = run(process.register.read())
    run(process.register.publish(seen, msgspec.structs.replace(seen.root, settings={"a": 1})))
    run(world.store.inner.put("ns/saved/mine", world.store.raw("ns/root"), Overwrite()))
    lose(world)
    plan = planned(world)
    assert plan.base == "ns/saved/mine"
    assert plan.root.settings == {"a": 1}
    assert not any("settings" in loss for loss in plan.losses)
    mend(world)
    world.check()


def test_counts_of_packs_are_true(world: World) -> None:
    process = busy(world)
    counts = process.root.packs
    assert counts
    process.compact()
    lose(world)
    mend(world)
    assert "pack-counts" not in mend(world, deep=True)
    world.process().compact()
    assert world.process().root.packs == counts


# --- which runs ------------------------------------------------------------------------------------------------------


def crashed_merge(world: World) -> None:
    """A merge that died after its first shard: what it wrote is newer than all shards and covers only some keys."""
    process = world.process()
    process.put_all({f"k/{number:04}": b"v" * 30 for number in range(90)})
    process.compact()
    process.put_all({f"k/{number:04}": b"w" * 30 for number in range(90)})
    process.fold()
    before = set(world.store.names("ns/shard/"))

    def after(verb: str, name: str) -> None:
        if name.startswith("ns/shard/"):
            raise Crash

    world.store.after = after
    with pytest.raises(Crash):
        process.merge()
    world.store.after = lambda verb, name: None
    assert len(set(world.store.names("ns/shard/")) - before) == 1
    world.env.advance(60)
    run(process.compactor.sweep_once(insist=True, orphans=False))
    assert not world.store.names("ns/log/")


def test_all_runs_are_joined(world: World) -> None:
    crashed_merge(world)
    lose(world)
    mend(world)
    world.check()


def test_with_only_the_newest_runs_that_cover_the_keys_entries_are_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed_merge(world)
    inner = rebuild._salvage_all

    async def newest(*args: Any) -> Any:
        taken, bad = await inner(*args)
        names = {ref.name for ref in rebuild.newest_apart([run for run in taken if run.ref.name.startswith("shard/")])}
        return [run for run in taken if run.ref.name in names], bad

    monkeypatch.setattr(rebuild, "_salvage_all", newest)
    lose(world)
    mend(world)
    with pytest.raises(AssertionError):
        world.check()


def days_pass(world: World) -> None:
    """Five days with a little work on each: writers retire, and tombstones of the first may be forgotten."""
    for day in range(5):
        world.env.advance(1.1 * DAY_S)
        process = world.process()
        process.put(f"day/{day}", b"1")
        for _ in range(3):
            world.env.advance(60)
            run(process.compactor.round(stay=False, insist=True, full=True))
            process.put("tick", b"1")


def test_a_deletion_that_may_be_undone_is_named(world: World) -> None:
    """An orphan of a crashed merge holds a put whose tombstone was forgotten since. It comes back, but not in silence."""
    process = world.process()
    process.put_all({f"k/{number:04}": b"v" * 30 for number in range(30)})
    process.compact()
    process.put_all({f"k/{number:04}": b"w" * 30 for number in range(30)})
    process.fold()

    def before(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            raise Crash

    world.store.before = before
    with pytest.raises(Crash):
        process.merge()
    world.store.before = lambda verb, name: None
    orphans = set(world.store.names("ns/shard/")) - {f"ns/{ref.name}" for ref in process.root.shards}
    assert orphans
    process.compact()
    days_pass(world)
    process = world.process()
    versions = {entry.key: entry.version for entry in run(run(process.reader.open()).page()).entries}
    process.append([tombstone("k/0007", just_above(versions["k/0007"]), base=versions["k/0007"])])
    del world.model["k/0007"]
    process.compact()
    world.env.advance(60)
    run(process.compactor.sweep_once(insist=True, orphans=False))
    world.check()
    held = {f"ns/{ref.name}" for ref in process.root.runs} | orphans
    run(
        world.store.inner.delete(
            [name for kind in ("l0", "shard") for name in world.store.names(f"ns/{kind}/") if name not in held]
        )
    )
    lose(world)
    plan = planned(world)
    assert plan.doubtful == ("k/0007",)
    assert any("deletions, which may be undone" in loss for loss in plan.losses)
    mend(world)
    assert set(world.found()) - set(world.model) == {"k/0007"}


def test_a_run_that_cannot_be_read_is_a_loss_that_must_be_accepted(world: World) -> None:
    process = busy(world)
    process.compact()
    world.env.advance(7200)
    run(process.compactor.sweep_once(insist=True))
    name = f"ns/{process.root.shards[0].name}"
    body = bytearray(world.store.raw(name))
    body[5] ^= 1
    run(world.store.inner.put(name, bytes(body), Overwrite()))
    lose(world)
    plan = planned(world)
    assert any(name in loss for loss in plan.losses)
    mend(world)
    assert set(world.found()) < set(world.model)


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


def idle_writer(world: World, *, age_s: float) -> Process:
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
    from tests.doctor.test_cheap import segment, write

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


# --- crashes ---------------------------------------------------------------------------------------------------------


def rebuild_calls() -> int:
    world = World()
    busy(world).compact()
    lose(world)
    world.store.forget()
    mend(world)
    return len(world.store.calls)


CALLS = rebuild_calls()


@pytest.mark.parametrize("number", range(CALLS))
def test_a_crash_during_a_repair_leaves_the_old_state_or_the_new_one(world: World, number: int) -> None:
    process = busy(world)
    process.compact()
    process.put("in the log", b"1")
    lose(world)
    world.store.before = crash_at(number, Crash)
    with pytest.raises(Crash):
        mend(world)
    world.store.before = lambda verb, name: None
    mend(world)
    world.check()
    assert codes(world) == []


def test_what_waited_in_an_old_saved_root_is_doubted_when_later_shards_pass_over_it(world: World) -> None:
    process = world.process()
    process.put_all({f"k/{number:04}": b"v" * 30 for number in range(30)})
    process.compact()
    process.put("k/0007x", b"waits")
    process.fold()
    assert process.root.inline
    run(world.store.inner.put("ns/saved/old", world.store.raw("ns/root"), Overwrite()))
    process.delete("k/0007x")
    days_pass(world)
    held = {f"ns/{ref.name}" for ref in world.process().root.runs}
    names = [name for kind in ("l0", "shard") for name in world.store.names(f"ns/{kind}/")]
    run(world.store.inner.delete([*(name for name in names if name not in held), *world.store.names("ns/log/")]))
    lose(world)
    plan = planned(world)
    mend(world)
    assert plan.doubtful == ("k/0007x",)
    assert set(world.found()) - set(world.model) == {"k/0007x"}
