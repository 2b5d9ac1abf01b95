"""The merge against a dict: random histories, ranges of shards, what is read and written."""

from __future__ import annotations

import random

import pytest

from swampstore.env.blocking import run
from swampstore.values.block import Block
from swampstore.values.entry import Inline, Meta, content_of, put_record, record_sum, tombstone
from swampstore.values.join import conflict_key
from swampstore.values.root import Root
from swampstore.values.run import build_run
from swampstore.values.version import make_version
from swampstore.workers import level0, merge, shards, weave
from swampstore.workers.run_reader import RunReader
from swampstore.workers.shards import bounds
from tests.workers.world import DAY_S, Process, World, packed

pytestmark = pytest.mark.usefixtures("tiny")


def fill(process: Process, count: int, *, step: int = 10, value: bytes = b"v" * 30) -> None:
    process.put_all({f"k/{number * step:06}": value + b"%d" % number for number in range(count)})
    process.compact()


def manifest_packs(process: Process) -> dict[str, int]:
    """How many records of the manifest name each pack, counted by reading all of it."""
    root = process.root
    counts: dict[str, int] = {}
    records = list(root.inline)
    refs = (*root.level0, *root.shards)
    reader = RunReader(process.place, refs)
    for ref in refs:
        for info, stored in run(reader.next()):
            records += weave.decode_rows(info, stored, ref.name).records()
    for record in records:
        name = content_of(record)
        if name is not None and name.startswith("pack/"):
            counts[name[5:]] = counts.get(name[5:], 0) + 1
    return counts


@pytest.mark.parametrize("seed", range(25))
def test_random_histories_equal_the_model(seed: int) -> None:
    dice = random.Random(seed)
    world = World(seed)
    processes = [world.process() for _ in range(3)]
    keys = [f"{'abc'[number % 3]}/{number:03}" for number in range(150)]
    packs = [processes[0].upload("pack") for _ in range(4)]
    for _ in range(60):
        process = dice.choice(processes)
        match dice.choice(["put", "put", "many", "delete", "fold", "merge", "full", "pack"]):
            case "put":
                process.put(dice.choice(keys), dice.randbytes(dice.randrange(60)))
            case "many":
                process.put_all({key: dice.randbytes(40) for key in dice.sample(keys, 25)})
            case "delete":
                process.delete(*dice.sample(keys, 4))
            case "pack":
                process.put(dice.choice(keys), b"", at=packed(dice.choice(packs)))
            case "fold":
                process.fold()
            case "merge":
                process.merge(full=False)
            case "full":
                process.compact()
        if dice.random() < 0.2:
            assert world.found() == world.model
    processes[0].compact()
    world.check()
    root = processes[0].root
    assert not root.inline
    assert not root.level0
    assert dict(root.packs) == manifest_packs(processes[0])
    assert len(root.shards) > 1


def test_first_merge_makes_shards_of_the_target_size(world: World) -> None:
    process = world.process()
    fill(process, 400)
    sizes = [ref.size for ref in process.root.shards]
    assert len(sizes) > 3
    assert all(300 < size < 3000 for size in sizes), sizes
    world.check()


def test_only_touched_shards_are_rewritten(world: World) -> None:
    process = world.process()
    fill(process, 400)
    before = process.root.shards
    middle = before[len(before) // 2]
    world.store.forget()
    process.put(middle.first, b"changed")
    process.compact()
    after = process.root.shards
    assert {ref.name for ref in before} - {ref.name for ref in after} == {middle.name}
    fresh = [ref for ref in after if ref not in before]
    assert world.store.writes()["shard"] == len(fresh) <= 2
    assert (fresh[0].first, fresh[-1].last) == (middle.first, middle.last)
    read = {name for verb, name in world.store.calls if verb == "get" and "/shard/" in name}
    assert read == {f"ns/{middle.name}"}
    world.check()


def test_a_spread_out_run_rewrites_only_where_its_keys_are(world: World) -> None:
    """One block of level 0 spans all shards, but its two keys are in the first and the last."""
    process = world.process()
    fill(process, 400)
    before = process.root.shards
    process.put_all({before[0].first: b"a" * 300, before[-1].last: b"z" * 300})
    process.compact()
    kept = {ref.name for ref in before} & {ref.name for ref in process.root.shards}
    assert kept == {ref.name for ref in before[1:-1]}
    world.check()


def test_only_blocks_that_a_change_meets_are_decoded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.process()
    fill(process, 400)
    decoded: list[str] = []
    inner = weave.decode_rows

    def counting(info, stored, name):  # type: ignore[no-untyped-def]
        decoded.append(info.first)
        return inner(info, stored, name)

    monkeypatch.setattr(weave, "decode_rows", counting)
    process.put("k/000055", b"new")
    process.compact()
    assert len(decoded) == 1
    world.check()


def test_keys_outside_all_ranges_go_to_the_nearest_shard(world: World) -> None:
    process = world.process()
    fill(process, 200)
    shards_before = process.root.shards
    between = shards_before[0].last + "x"
    process.put_all({"a": b"first", "z": b"last", between: b"gap"})
    process.compact()
    after = process.root.shards
    assert after[0].first == "a"
    assert after[-1].last == "z"
    world.check()


def test_a_shard_that_grows_is_split_and_one_that_shrinks_is_joined(world: World) -> None:
    process = world.process()
    fill(process, 200)
    many = len(process.root.shards)
    first = process.root.shards[0]
    process.put_all({f"{first.first}/{number:04}": world.env.random_bytes(40) for number in range(200)})
    process.compact()
    assert len(process.root.shards) > many + 1
    world.check()
    process.delete(*[key for key in world.model if key not in ("k/000000", "k/001990")])
    process.compact()
    for _ in range(5):
        _aged(world, process, 1)
    for _ in range(8):
        process.put_all({"k/000000": b"once more", "k/001990": b"once more"})
        process.compact()
    assert len(process.root.shards) < 4, [ref.count for ref in process.root.shards]
    world.check()


def test_small_changes_do_not_leave_small_blocks(world: World) -> None:
    process = world.process()
    fill(process, 300)
    dice = random.Random(5)
    for _ in range(40):
        process.put(f"k/{dice.randrange(3000):06}", dice.randbytes(30))
        process.compact()
    refs = process.root.shards
    reader = RunReader(process.place, refs)
    blocks = [info for _ in refs for info, _ in run(reader.next())]
    assert sum(info.raw_size for info in blocks) / len(blocks) > 250
    world.check()


def test_only_level0_is_merged_without_full(world: World) -> None:
    process = world.process()
    fill(process, 50)
    process.put_all({f"k/{number:06}": b"n" * 40 for number in range(0, 200, 10)})
    process.fold()
    process.put("inline", b"1")
    process.fold()
    assert process.root.level0
    inline = process.root.inline
    process.merge(full=False)
    assert process.root.inline == inline
    assert not process.root.level0
    world.check()


def test_merging_nothing_costs_one_read(world: World) -> None:
    process = world.process()
    fill(process, 10)
    world.store.forget()
    process.merge()
    assert world.store.calls == [("get", "ns/root")]


# --- tombstones ------------------------------------------------------------------------------------------------------


def _aged(world: World, process: Process, days: float) -> None:
    """Let days pass and the retire floor rise: a round after the time."""
    world.env.advance(days * DAY_S)
    process.put("k/000020", b"%d" % world.env.wall)
    run(process.compactor.round(stay=False, insist=True, full=True))


def _tombstones(root: Root) -> int:
    return sum(ref.tombstones for ref in (*root.level0, *root.shards)) + sum(record.gone for record in root.inline)


def test_tombstones_go_when_no_older_put_can_arrive(world: World) -> None:
    process = world.process()
    fill(process, 30)
    process.delete("k/000000", "k/000010")
    process.compact()
    assert _tombstones(process.root) == 2
    for _ in range(3):
        _aged(world, process, 0.9)
        assert _tombstones(process.root) == 2
    _aged(world, process, 1)
    _aged(world, process, 1)
    assert _tombstones(process.root) == 0
    world.check()


def test_a_tombstone_stays_while_level0_below_it_holds_its_key(world: World) -> None:
    """An inline put that is older than the tombstone and not part of this merge would come back."""
    kept = frozenset({"a"})
    burial = weave.Burial(10**13, kept)
    version = make_version(1 << 20, b"w" * 12, 1)
    assert not burial.due(tombstone("a", version))
    assert burial.due(tombstone("b", version))
    assert not burial.due(put_record("b", version, Meta(size=0, at=Inline(b""))))
    assert not weave.Burial(0, frozenset()).due(tombstone("b", version))


def test_the_tombstone_line_is_below_every_writer_with_a_watermark(world: World) -> None:
    process = world.process()
    fill(process, 3)
    old = process.root
    [lane] = old.watermarks
    born = int(lane[1:13], 16)
    floor = born + int(10 * DAY_S * 1000)
    assert merge.tombstone_line_ms(Root(9, b"n", watermarks=old.watermarks, retire_floor=floor)) == born - 172_800_000
    assert merge.tombstone_line_ms(Root(9, b"n", retire_floor=floor)) == floor - 172_800_000


# --- conflict entries ------------------------------------------------------------------------------------------------


def _conflicts(world: World) -> set[str]:
    async def collect() -> set[str]:
        snapshot = await world.process().reader.open()
        return {record.key async for records in snapshot.conflicts() for record in records}

    return run(collect())


def test_losers_of_puts_that_did_not_know_each_other_are_kept(world: World) -> None:
    process, other = world.process(), world.process()
    fill(process, 100)
    base = process.put("k/000500", b"base")
    process.compact()
    theirs = other.put("k/000500", b"theirs")
    process.compact()
    process.put("k/000500", b"mine", base=base)
    process.compact()
    assert _conflicts(world) == {conflict_key("k/000500", theirs)}
    world.check()


@pytest.mark.parametrize("at", range(0, 1000, 50))
def test_conflict_entries_stay_behind_their_path(world: World, at: int) -> None:
    """Wherever the path lies in its block or shard, many conflict entries keep the order of the run."""
    process = world.process()
    fill(process, 100)
    key = f"k/{at:06}"
    base = process.put(key, b"base")
    process.compact()
    kept = set()
    for number in range(12):
        kept.add(conflict_key(key, process.put(key, b"theirs %d" % number)))
        process.compact()
        process.put(key, b"mine %d" % number, base=base)
        process.compact()
    assert kept <= _conflicts(world)
    world.check()


def test_a_shard_that_begins_with_a_conflict_entry_takes_its_path_too() -> None:
    version = make_version(1, b"w" * 12, 1)
    records = [[put_record(key, version, Meta(size=0, at=Inline(b""))) for key in keys] for keys in (
        ["a", "b"], [conflict_key("c", version), "d"],
    )]  # fmt: skip
    refs = [build_run(f"shard/{number}", part)[0] for number, part in enumerate(records)]
    assert bounds(refs) == ["a", "c"]
    refs = [build_run("shard/x", [*records[0], put_record("c", version, Meta(size=0, at=Inline(b"")))])[0], refs[1]]
    assert bounds(refs) == ["a", conflict_key("c", version)]


# --- conservation ----------------------------------------------------------------------------------------------------


def _tamper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of this program: one record is lost between reading and writing."""
    inner = level0.decode_rows
    monkeypatch.setattr(level0, "decode_rows", lambda *args: inner(*args).without([0]))


def test_a_merge_that_loses_a_record_publishes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.process()
    process.put_all({f"k/{number}": b"v" * 40 for number in range(30)})
    process.fold()
    version = process.root.version
    _tamper(monkeypatch)
    with pytest.raises(AssertionError, match="conserve"):
        process.merge()
    assert process.root.version == version
    monkeypatch.undo()
    world.check()


def test_without_the_sum_check_it_would_be_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.process()
    process.put_all({f"k/{number}": b"v" * 40 for number in range(30)})
    process.fold()
    _tamper(monkeypatch)
    monkeypatch.setattr(merge, "check_sums", lambda *args: None)
    process.merge()
    assert world.found() != world.model


def test_a_record_with_other_bytes_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.process()
    process.put_all({f"k/{number}": b"v" * 40 for number in range(30)})
    process.fold()
    inner = level0.decode_rows

    def flipped(*args):  # type: ignore[no-untyped-def]
        first, *rest = inner(*args).records()
        other = put_record(first.key, first.version, Meta(size=1, at=Inline(b"x")))
        assert record_sum(other) != record_sum(first)
        return Block.of([other, *rest])

    monkeypatch.setattr(level0, "decode_rows", flipped)
    with pytest.raises(AssertionError, match="conserve"):
        process.merge()


def test_planning_joins_a_small_result_with_its_smaller_neighbour() -> None:
    assert shards._small_neighbour([900, 10, 700], 1, 2, 1000) == {2}
    assert shards._small_neighbour([995, 10, 995], 1, 2, 1000) == set()
    assert shards._small_neighbour([100, 500, 100], 1, 2, 1000) == set()
    assert shards._small_neighbour([10], 0, 1, 1000) == set()
