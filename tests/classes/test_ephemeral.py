"""Runtime state: no weight in the index, gone after its time, whatever it was before."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.limits import CONTENT_GRACE_MS, EPHEMERAL_TIDY_MS, SHARD_GRACE_MS
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.root import Root
from swampstore.workers import side_runs
from tests.classes.support import DAY_S, Process, World, blob, packed


def index_of(root: Root) -> tuple[object, ...]:
    return root.entries, root.inline, root.level0, root.shards


# --- weight ---------------------------------------------------------------------------------------------------------


def test_a_thousand_writes_add_nothing_to_the_index(world: World) -> None:
    process = world.process()
    process.put_all({f"k/{number}": b"x" for number in range(50)})
    process.compact()
    before = index_of(process.root)
    for number in range(1000):
        process.state(f"run/{number % 300}", value=b"%d" % number)
        if number % 100 == 99:
            process.fold()
    process.merge()
    assert index_of(process.root) == before
    assert before[0] == 50
    world.check()
    held = process.root.eph
    assert len(held.inline) + sum(ref.count for ref in held.runs) == 300, "one record a key: no versions"


def test_a_write_is_one_append_and_a_fold_costs_what_any_costs(world: World) -> None:
    process = world.process()
    process.put("k", b"x")
    process.fold()
    process.put("warm", b"x")
    world.store.forget()
    process.state("run/1", value=b"1")
    assert [verb for verb, _ in world.store.calls] == ["put"]
    world.store.forget()
    process.fold()
    # list, conditional read of the root, two segments, CAS: nothing for the class
    assert [verb for verb, _ in world.store.calls] == ["list", "get", "get", "get", "put"]
    assert world.store.writes() == {"root": 1}


@pytest.mark.usefixtures("tiny_state")
def test_a_join_touches_only_the_runs_a_change_falls_into(world: World) -> None:
    process = world.process()
    for number in range(60):
        process.state(f"run/{number:03}", value=b"%30d" % number)
    process.fold()
    runs = process.root.eph.runs
    assert len(runs) >= 4
    world.store.forget()
    process.state(*[f"run/{number:03}" for number in range(6)], value=b"y" * 60)
    world.store.forget()
    process.fold()
    after = process.root.eph.runs
    kept = {ref.name for ref in runs} & {ref.name for ref in after}
    assert len(kept) >= len(runs) - 2
    assert world.store.writes()["eph"] <= 2
    assert [verb for verb, name in world.store.calls if "/eph/" in name].count("get") <= 2
    assert {item.name for item in process.root.garbage} == {ref.name for ref in runs} - kept
    world.check()


def test_an_idle_namespace_is_tidied_once_and_then_costs_no_write(world: World) -> None:
    process = world.process()
    process.state("run/1", value=b"1", ttl=10)
    process.fold()
    world.env.advance(EPHEMERAL_TIDY_MS / 1000 + 11)
    world.store.forget()
    process.fold()
    assert world.store.writes() == {"root": 1}
    assert process.root.eph.inline[0].gone
    for _ in range(5):
        world.env.advance(3 * DAY_S)
        world.store.forget()
        process.fold()
        assert not world.store.writes()


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_state")
@pytest.mark.parametrize("count", [1, 60])
def test_readers_see_state_like_other_entries(world: World, count: int) -> None:
    process = world.process()
    process.put_all({f"run/{number:03}/i": b"i" for number in range(0, 60, 7)})
    process.compact()
    process.state(*[f"run/{number:03}" for number in range(count)], value=b"s")
    world.check()
    process.fold()
    world.check()
    entry = process.get("run/000")
    assert entry is not None
    assert entry.record_class == "ephemeral"
    assert entry.describe()["class"] == "ephemeral"
    indexed = process.get("run/007/i")
    assert indexed is not None
    assert indexed.record_class == "indexed"
    assert "class" not in indexed.describe()


@pytest.mark.parametrize("folded", [False, True])
def test_state_is_gone_for_readers_the_moment_its_time_is_over(world: World, folded: bool) -> None:
    process = world.process()
    process.state("run/1", value=b"1", ttl=10)
    if folded:
        process.fold()
    world.env.advance(9.9)
    assert process.get("run/1") is not None
    world.env.advance(0.2)
    assert process.get("run/1") is None
    world.check()


@pytest.mark.usefixtures("tiny_state")
@pytest.mark.parametrize("many", [1, 40])
def test_contents_go_from_the_store_after_the_grace(world: World, many: int) -> None:
    process = world.process()
    parts = [process.upload() for _ in range(many)]
    pack = process.upload("pack")
    for number, part in enumerate(parts):
        process.state(f"run/{number:03}", at=blob(part), ttl=600)
    process.state("run/packed", at=packed(pack), ttl=600)
    process.fold()
    assert process.root.packs == {pack: 1}
    world.env.advance(EPHEMERAL_TIDY_MS / 1000 + 700)
    run(process.compactor.sweep_once(insist=True))
    assert len(world.store.names("ns/blob/")) == many
    for _ in range(12):  # a fold tidies a bounded number of runs
        process.round()
    assert {item.name.partition("/")[0] for item in process.root.garbage} >= {"blob", "pack"}
    world.env.advance(CONTENT_GRACE_MS / 1000 + 10)
    run(process.compactor.sweep_once(insist=True))
    assert not world.store.names("ns/blob/") + world.store.names("ns/pack/")
    world.check()


def test_live_contents_of_state_are_no_orphans(world: World) -> None:
    process = world.process()
    part, pack = process.upload(), process.upload("pack")
    process.state("run/1", at=blob(part), ttl=20 * DAY_S)
    process.state("run/2", at=packed(pack), ttl=20 * DAY_S)
    process.fold()
    for _ in range(3):
        world.env.advance(2 * DAY_S)
        process.round()
        run(process.compactor.sweep_once(insist=True))
    assert world.store.names("ns/blob/")
    assert world.store.names("ns/pack/")
    world.check_whole()


@pytest.mark.usefixtures("tiny_state")
def test_old_runs_go_after_the_grace_of_runs(world: World) -> None:
    process = world.process()
    for turn in range(3):
        process.state(*[f"run/{number:03}" for number in range(30)], value=b"%d" % turn, ttl=DAY_S)
        process.fold()
    assert len(world.store.names("ns/eph/")) > len(process.root.eph.runs)
    world.env.advance(SHARD_GRACE_MS / 1000 + 10)
    run(process.compactor.sweep_once(insist=True))
    assert len(world.store.names("ns/eph/")) == len(process.root.eph.runs)
    world.check()


# --- changes of class -------------------------------------------------------------------------------------------------


def lives(process: Process, world: World) -> None:
    """A week of folds, merges and sweeps, so that every tombstone that may go has gone."""
    janitor = world.process()
    for _ in range(8):
        world.env.advance(0.7 * DAY_S)
        world.process().put("tick", b"%d" % world.env.wall)
        for _ in range(3):
            janitor.round()
            run(janitor.compactor.sweep_once(insist=True))
            world.env.advance(40)
        world.check()


@pytest.mark.usefixtures("tiny_state")
@pytest.mark.parametrize("spilled", [False, True])
def test_state_over_an_entry_never_lets_it_come_back(world: World, spilled: bool) -> None:
    process = world.process()
    process.put("k", b"old")
    process.compact()
    process.state("k", value=b"state", ttl=600)
    if spilled:
        process.state(*[f"r/{number:03}" for number in range(30)], value=b"s", ttl=600)
    process.fold()
    world.check()
    lives(process, world)
    root = process.root
    assert not any(record.key == "k" for record in root.eph.inline)
    assert process.get("k") is None


@pytest.mark.usefixtures("tiny_state")
@pytest.mark.parametrize("spilled", [False, True])
def test_an_entry_over_state_stays_and_its_deletion_too(world: World, spilled: bool) -> None:
    process = world.process()
    process.state("k", value=b"state", ttl=25 * DAY_S)
    if spilled:
        process.state(*[f"r/{number:03}" for number in range(30)], value=b"s", ttl=25 * DAY_S)
    process.fold()
    process.put("k", b"entry")
    process.compact()
    world.check()
    assert [record.key for record in process.root.eph.inline].count("k") == 0
    process.delete("k")
    process.compact()
    world.check()
    lives(process, world)


@pytest.mark.usefixtures("tiny_state")
def test_a_merge_that_does_not_look_at_the_state_lets_it_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard of the merge is what the test above rests on."""

    async def nothing(place: object, root: object) -> frozenset[str]:
        return frozenset()

    monkeypatch.setattr("swampstore.workers.merge.ephemeral_keys", nothing)
    with pytest.raises(AssertionError):
        test_an_entry_over_state_stays_and_its_deletion_too(world, True)


@pytest.mark.usefixtures("tiny_state")
def test_a_tombstone_dropped_without_a_look_lets_an_entry_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(place: object, refs: object, keys: list[str]) -> dict[str, list[object]]:
        return {key: [] for key in keys}

    monkeypatch.setattr(side_runs, "find_in_runs", nothing)
    with pytest.raises(AssertionError):
        test_state_over_an_entry_never_lets_it_come_back(world, False)


def test_a_late_older_put_does_not_come_through_expired_state(world: World) -> None:
    process, slow = world.process(), world.process()
    late = put_record("k", slow.writer.new_version(), Meta(size=1, at=Inline(b"l")))
    world.tick()
    process.state("k", value=b"state", ttl=10)
    process.fold()
    world.env.advance(EPHEMERAL_TIDY_MS / 1000 + 60)
    process.fold()
    slow.append([late])
    world.check()
    lives(process, world)
    assert process.get("k") is None


def test_without_the_line_it_would(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_runs, "tombstone_line_ms", lambda root: 1 << 62)
    with pytest.raises(AssertionError):
        test_a_late_older_put_does_not_come_through_expired_state(world)


@pytest.mark.usefixtures("tiny_state")
@pytest.mark.parametrize("how", ["forget", "delete"])
def test_deleted_state_stays_deleted(world: World, how: str) -> None:
    process = world.process()
    process.put("k", b"old")
    process.compact()
    process.state("k", *[f"r/{number:03}" for number in range(30)], value=b"s", ttl=25 * DAY_S)
    process.fold()
    entries = process.root.entries
    (process.forget if how == "forget" else process.delete)("k", "r/003")
    process.fold()
    assert process.root.entries == entries + (2 if how == "delete" else 0)
    world.check()
    lives(process, world)


# --- what cannot be read ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_state")
def test_a_lost_run_of_state_blocks_no_fold_and_costs_an_idle_namespace_nothing(world: World) -> None:
    process = world.process()
    process.state(*[f"run/{number:03}" for number in range(30)], value=b"x" * 20, ttl=60)
    process.fold()
    [lost, *_] = process.root.eph.runs
    run(world.store.inner.delete([f"ns/{lost.name}"]))
    other = world.process()
    other.put("k", b"1")
    other.state(*[f"run/{number:03}" for number in range(10)], value=b"y" * 60)
    other.state(*[f"run/{number:03}" for number in range(20, 30)], value=b"y" * 60)
    other.fold()
    assert 0 < len(other.root.eph.inline) < 20, "what belongs there waits in the root"
    assert len(other.root.eph.runs) > 1
    assert other.get("k") is not None
    other.merge()
    assert other.root.shards, "a merge drops no tombstone then, and goes on"
    world.env.advance(EPHEMERAL_TIDY_MS / 1000 + 100)
    other.fold()
    world.store.forget()
    late = world.process()
    late.fold()
    assert not world.store.writes()
    late.state(*[f"run/{number:03}" for number in range(10)], value=b"z" * 60)
    side_most = side_runs._MOST_INLINE_BYTES
    try:
        side_runs._MOST_INLINE_BYTES = 100
        with pytest.raises(Exception, match="is gone"):
            late.fold()
    finally:
        side_runs._MOST_INLINE_BYTES = side_most
