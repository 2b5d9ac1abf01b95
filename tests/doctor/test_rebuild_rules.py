"""Every rule of the rebuild is needed: the loss that it prevents, with the rule and without it."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import Conflict, Misuse, UnknownFormat
from swampstore.stores.base import Overwrite
from swampstore.values.entry import tombstone
from swampstore.values.frame import Kind, pack
from swampstore.values.version import just_above
from swampstore.workers import rebuild
from swampstore.workers.doctor.repairs import repair
from swampstore.workers.rebuild import RebuildPlan, plan_rebuild, publish_rebuilt
from tests.doctor.broken import codes, lose, mend
from tests.doctor.history import busy, days_pass
from tests.workers.test_crash import crash_at
from tests.workers.world import Crash, World

pytestmark = pytest.mark.usefixtures("tiny")


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
    good, damaged = run(world.store.inner.put("ns/root", b"no root", Overwrite())), world.process()
    assert good
    assert [step.code for step in run(repair(damaged.place, damaged.register)).steps] == ["root"]
    lose(world)
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
