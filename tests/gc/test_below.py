"""Items with other things below their path: plain keys before the first version, in between and behind, and other items.

What lies there may fill whole blocks and shards that hold no version and are not due. A gc removes what brute force says
all the same, also where the root tells of too few of them, as roots written before do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from swampstore.values import run as run_format
from swampstore.values import soonest as soonest_module
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.run import BlockInfo
from swampstore.values.soonest import Soonest, due_times
from swampstore.workers import outputs, shards
from swampstore.workers.gc import pick, reading
from swampstore.workers.gc.collect import Collector
from tests.gc.support import ID, collect, datum, slow_gc, version_records
from tests.workers.world import Process, World

Patch = pytest.MonkeyPatch


def as_written(monkeypatch: Patch) -> None:
    """The root tells of all that may hold a key of an item that is due."""


def narrow(monkeypatch: Patch) -> None:
    """It tells of the blocks with versions alone, which is less than any program has told."""

    def times(index: Sequence[BlockInfo], *, whole: bool) -> list[int] | None:
        return due_times(index, whole=False)

    monkeypatch.setattr(soonest_module, "due_times", times)


def silent(monkeypatch: Patch) -> None:
    """It tells nothing: shards are read whole, or by their index."""
    monkeypatch.setattr(Soonest, "at", lambda self, now_ms: None)


def by_index(monkeypatch: Patch) -> None:
    silent(monkeypatch)
    monkeypatch.setattr(reading, "_WHOLE_BYTES", 0)


TOLD = (as_written, narrow, silent, by_index)


def plain(process: Process, key: str, *, expires: int = 0) -> None:
    process.append([put_record(key, process.writer.new_version(), Meta(size=0, at=Inline(b"")), expires=expires)])


def versions(process: Process, name: str, count: int, *, id_: str = ID) -> None:
    for ordinal in range(1, count + 1):
        process.append(version_records(process, datum(name, ordinal, keep="3", id_=id_)))


def agrees(world: World) -> int:
    """A gc removes exactly what brute force finds; how many requests for shards it made."""
    expected = slow_gc(world.process())
    dry, _ = collect(world.process(), dry_run=True)
    gc = world.process()
    world.store.forget()
    report, appended = collect(gc)
    asked = sum(verb == "get" and "/shard/" in name for verb, name in world.store.calls)
    assert {record.key: record.version for record in appended} == expected
    assert dry.entries == report.entries == len(expected)
    return asked


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("folder", ["0", "1", "3-", "~"])
def test_plain_keys_that_fill_blocks_below_an_item(
    folder: str, told: Callable[[Patch], None], world: World, one_shard: None, monkeypatch: Patch
) -> None:
    told(monkeypatch)
    process = world.process()
    for number in range(16):
        plain(process, f"data/t/{ID}/a/{folder}/f{number:03}")
    versions(process, "a", 5)
    for number in range(20):  # so that the item is at neither end of its shard, and a part of it
        versions(process, f"A{number}", 1)
        versions(process, f"z{number}", 1)
    process.compact()
    (ref,) = process.root.shards
    assert len(slow_gc(world.process())) == 4
    asked = agrees(world)
    if told is as_written:
        spots = ref.soonest.at(process.place.clock.now_ms())
        assert spots
        assert sum(spot.size for spot in spots) < ref.index_at / 3
        assert asked == 1
    if told is narrow and folder != "3-":
        assert asked > 1


def test_without_a_second_look_they_stay_where_too_little_was_told(
    world: World, one_shard: None, monkeypatch: Patch
) -> None:
    narrow(monkeypatch)
    monkeypatch.setattr(Collector, "_going", lambda self, item: set())
    with pytest.raises(AssertionError):
        test_plain_keys_that_fill_blocks_below_an_item("0", narrow, world, one_shard, monkeypatch)


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("count", [40, 100])
def test_another_item_below_one_before_its_first_version(
    count: int, told: Callable[[Patch], None], world: World, tiny: None, monkeypatch: Patch
) -> None:
    """No summary names the item behind it, between the two ends of a shard: nobody knows to read the shard before."""
    told(monkeypatch)
    process = world.process()
    for number in range(count):
        plain(process, f"data/t/{ID}/a/0/b/+{number:03}")
    versions(process, "b", 1, id_=f"{ID}/a/0")
    versions(process, "a", 4)
    versions(process, "z", 1)
    process.compact()
    assert len(process.root.shards) > 1
    assert len(slow_gc(world.process())) == 2
    agrees(world)


ITEMS = (("x", "a"), ("x", "a-"), ("x", "b"), ("x/a", "1"), ("x/a/0", "b"), ("x/b/!", "c"))


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(100, 400))
def test_exactly_what_brute_force_finds_often(seed: int, world: World, tiny: None, monkeypatch: Patch) -> None:
    test_exactly_what_brute_force_finds(seed, world, tiny, monkeypatch)


@pytest.mark.parametrize("seed", range(9))
def test_exactly_what_brute_force_finds(seed: int, world: World, tiny: None, monkeypatch: Patch) -> None:
    dice = random.Random(seed)
    TOLD[max(seed % 6 - 2, 0)](monkeypatch)
    monkeypatch.setattr(pick, "_FEW", dice.choice((0, 8)))
    monkeypatch.setattr(run_format, "BLOCK_RAW_BYTES", dice.choice((600, 1500)))
    most = dice.choice((2000, 1 << 20))
    for module in (shards, outputs):
        monkeypatch.setattr(module, "SHARD_TARGET_MAX_BYTES", most)
    monkeypatch.setattr(shards, "SHARD_TARGET_MIN_BYTES", most // 2)
    process, removed = world.process(), 0
    versions(process, "!", 1, id_="x")
    versions(process, "z", 1, id_="x")
    acting = dice.sample(ITEMS, 2)
    for _ in range(4):
        for _ in range(10):
            _something(dice, process, acting)
        process.compact()
        world.tick(dice.choice((1.0, 60.0, 3600.0)))
        removed += len(slow_gc(world.process()))
        agrees(world)
        assert not slow_gc(world.process())
    assert removed


def _something(dice: random.Random, process: Process, acting: Sequence[tuple[str, str]]) -> None:
    """A few versions, or many plain keys below the path of an item; some of either expire."""
    id_, name = dice.choice((*ITEMS, *acting))
    soon = process.place.clock.now_ms() + 30_000
    if dice.random() < 0.5:
        place = dice.choice(("!", "0", "0/b/1", "1", "1/raw", "2/z", "5!", "7", "~"))
        for number in dice.sample(range(900), dice.randrange(1, 30)):
            expires = soon if dice.random() < 0.01 else 0
            plain(process, f"data/t/{id_}/{name}/{place}/{number}", expires=expires)
        return
    keep = dice.choice(("1", "2", "3", "30m")) if (id_, name) in acting else "50"
    for ordinal in dice.sample(range(1, 30), dice.randrange(1, 5)):
        held = datum(name, ordinal, keep=keep, id_=id_)
        expires = soon if dice.random() < 0.05 else 0
        process.append(version_records(process, held, expires=expires, metadata=dice.random() < 0.9))
