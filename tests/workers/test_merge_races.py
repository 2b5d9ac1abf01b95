"""A merge beside folds, other merges and zombies; each guard is also shown with the guard off."""

from __future__ import annotations

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.errors import Damaged
from swampstore.protocols.register import Seen
from swampstore.values.root import Leader, Root
from swampstore.workers import merge
from swampstore.workers.leadership import Leadership
from swampstore.workers.merge import Inputs, Merged
from swampstore.workers.report import MergeReport
from tests.workers.world import Process, World

pytestmark = pytest.mark.usefixtures("tiny")


def filled(world: World, count: int = 60) -> Process:
    process = world.process()
    process.put_all({f"k/{number:04}": b"v" * 30 for number in range(count)})
    process.compact()
    process.put_all({f"k/{number:04}": b"w" * 30 for number in range(0, count, 3)})
    process.fold()
    return process


def during_first_put(world: World, folder: str, action) -> None:  # type: ignore[no-untyped-def]
    """Do ``action`` right after the first object is put into ``folder``."""

    def after(verb: str, name: str) -> None:
        if verb == "put" and f"/{folder}/" in name:
            world.store.after = lambda verb, name: None
            action()

    world.store.after = after


def merge_once(process: Process, *, insist: bool = True, full: bool = True) -> MergeReport:
    return run(process.compactor.merge_once(full, insist=insist))


def test_what_is_folded_during_a_merge_survives(world: World) -> None:
    process, other = filled(world), world.process()

    def meanwhile() -> None:
        other.put("k/0001", b"late")
        other.put("new", b"late")
        other.fold()

    during_first_put(world, "shard", meanwhile)
    assert merge_once(process, full=False).published
    assert process.root.inline
    world.check()


def test_a_spill_during_a_merge_survives(world: World) -> None:
    process, other = filled(world), world.process()

    def meanwhile() -> None:
        other.put_all({f"m/{number}": b"late" * 10 for number in range(20)})
        other.fold()

    during_first_put(world, "shard", meanwhile)
    assert merge_once(process, full=False).published
    assert len(process.root.level0) == 1
    world.check()


def _clear_level0(seen: Seen, merged: Merged) -> Root:
    new = successor(seen, merged)
    return msgspec.structs.replace(new, inline=(), level0=())


successor = merge.successor


def test_without_subtraction_it_would_be_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard "a merge removes exactly what it read" is off: it clears level 0."""
    monkeypatch.setattr(merge, "successor", _clear_level0)
    process, other = filled(world), world.process()

    def meanwhile() -> None:
        other.put("new", b"late")
        other.fold()

    during_first_put(world, "shard", meanwhile)
    merge_once(process, full=False)
    assert "new" not in world.found()
    assert "new" in world.model


def test_an_inline_record_that_changed_makes_a_full_merge_give_up(world: World) -> None:
    process, other = filled(world), world.process()
    process.put("inline", b"1")
    process.fold()

    def meanwhile() -> None:
        other.put("inline", b"2")
        other.fold()

    during_first_put(world, "shard", meanwhile)
    report = merge_once(process)
    assert report.raced
    assert not report.published
    world.check()


def test_two_merges_at_once(world: World) -> None:
    process, other = filled(world), world.process()
    during_first_put(world, "shard", lambda: other.merge())
    assert merge_once(process).raced
    world.check()


def test_a_zombie_merge_long_after_changes_nothing(world: World) -> None:
    """It comes back after others have merged, folded more, and swept its shards' neighbours."""
    process, other = filled(world), world.process()

    def meanwhile() -> None:
        other.merge()
        other.put("k/0002", b"newest")
        other.compact()
        world.env.advance(3 * 3600)
        run(other.compactor.round(stay=False, insist=True))

    during_first_put(world, "shard", meanwhile)
    assert merge_once(process).raced
    world.check()


def _anything_goes(self: Inputs, root: Root) -> bool:
    return True


def test_without_the_check_of_inputs_a_zombie_brings_back_old_records(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inputs, "still_in", _anything_goes)
    process, other = filled(world), world.process()

    def meanwhile() -> None:
        monkeypatch.undo()
        other.merge(full=False)
        monkeypatch.setattr(Inputs, "still_in", _anything_goes)

    during_first_put(world, "shard", meanwhile)
    # Both merges' shards are named: the next guard, the check of every root before its publish, stops it.
    with pytest.raises(AssertionError, match="overlap"):
        merge_once(process, full=False)


def test_shards_uploaded_long_ago_are_not_published(world: World) -> None:
    for asleep in (False, True):
        process = filled(world)
        version = process.root.version
        during_first_put(world, "shard", lambda asleep=asleep: world.env.advance(6 * 3600 + 1, asleep=asleep))

        def moved(process: Process = process) -> None:
            # The root moved, so the merge reads it again and learns the store's time.
            process.put("other", b"1")
            process.fold()

        if asleep:
            first = world.store.after

            def both(verb: str, name: str, first=first) -> None:  # type: ignore[no-untyped-def]
                first(verb, name)
                if "/shard/" in name:
                    moved()

            world.store.after = both
        report = merge_once(process, full=False)
        assert report.raced, asleep
        assert process.root.version <= version + 1
        world.check()


def test_a_process_that_may_not_lead_does_not_merge(world: World) -> None:
    process = filled(world)
    leader = world.process()
    leader.put("x", b"1")
    run(leader.compactor.fold_once(stay=True, insist=True))
    world.store.forget()
    assert merge_once(process, insist=False) == MergeReport()
    assert world.store.writes()["shard"] == 0
    assert run(leader.compactor.merge_once(True, stay=True)).published
    world.check()


def test_a_leader_that_was_replaced_gives_up(world: World) -> None:
    process = filled(world)
    leader, other = world.process(), world.process()
    leader.put("x", b"1")
    run(leader.compactor.fold_once(stay=True, insist=True))

    def take_over() -> None:
        other.put("y", b"1")
        run(other.compactor.fold_once(stay=True, insist=True))

    epoch = process.root.epoch
    during_first_put(world, "shard", take_over)
    assert run(leader.compactor.merge_once(stay=True)).raced
    assert run(other.compactor.merge_once(stay=True)).published
    assert process.root.epoch == epoch + 1
    world.check()


def test_one_shot_steps_in_for_a_dead_leader_only_while_its_root_stands_still(world: World) -> None:
    process = world.process()
    lead = Leadership(process.place)
    root = Root(5, b"n", leader=Leader("somebody", 3))
    began = Seen(root, "e", modified=1_000_000, time=1_000_000 + 16_000)
    assert lead.may_publish(began, began, one_shot=True, insist=False)
    assert not lead.may_publish(began, began, one_shot=False, insist=False)
    young = msgspec.structs.replace(began, time=1_000_000 + 15_000)
    assert not lead.may_publish(young, young, one_shot=True, insist=False)
    moved = msgspec.structs.replace(began, root=msgspec.structs.replace(root, version=6))
    assert not lead.may_publish(moved, began, one_shot=True, insist=False)
    assert lead.may_publish(moved, began, one_shot=True, insist=True)


def test_a_leader_goes_on_folding_while_it_merges(world: World) -> None:
    process = world.process()
    process.put_all({f"k/{number:04}": b"v" * 30 for number in range(400)})
    process.compact()
    process.put_all({f"k/{number:04}": b"w" * 30 for number in range(0, 400, 3)})
    run(process.compactor.fold_once(stay=True, insist=True))
    writer = world.process()
    seen_depth: list[int] = []

    def after(verb: str, name: str) -> None:
        if "/shard/" in name:
            writer.put(f"late/{len(seen_depth)}", b"1")
            world.env.advance(2)
            seen_depth.append(len(run(world.process().reader.open()).slots))

    world.store.after = after
    assert run(process.compactor.merge_once(stay=True)).published
    assert len(seen_depth) > 3
    assert max(seen_depth[3:]) <= 4, seen_depth
    world.check()


@pytest.mark.parametrize("lost", [False, True], ids=["it has just come", "it is lost"])
def test_shards_without_a_root_are_damage_unless_the_root_has_just_come(world: World, lost: bool) -> None:
    """The first root is published and merged between a process's look for a root and its look for shards."""
    process, late = world.process(), world.process()
    process.put("k", b"v")

    def before(verb: str, name: str) -> None:
        if verb == "list" and "/shard/" in name:
            world.store.before = lambda verb, name: None
            process.compact()
            if lost:
                run(world.store.inner.delete(["ns/root"]))

    world.store.before = before
    if lost:
        with pytest.raises(Damaged, match="a root has been lost"):
            run(late.reader.open())
        return
    assert [entry.key for entry in run(run(late.reader.open()).page()).entries] == ["k"]
    late.fold()
    world.check()
