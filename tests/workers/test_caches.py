"""Caches: their bounds, and that nobody depends on what they happen to hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.limits import LANE_MEMORY_SLOTS
from swampstore.protocols.cache import ByteCache
from swampstore.protocols.commit import CommitLane
from swampstore.protocols.runs import load_indexes
from tests.workers.world import World

IDLE_S = 60.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def idle_cache(clock: Clock, most: int = 100) -> ByteCache[str, str]:
    return ByteCache(most, idle_s=IDLE_S, now=clock)


def test_the_least_recently_used_goes_first() -> None:
    cache = ByteCache[str, str](100)
    for key in "abcd":
        cache.put(key, key.upper(), 25)
    assert cache.get("a") == "A"
    cache.put("e", "E", 25)
    assert [cache.get(key) for key in "abcde"] == ["A", None, "C", "D", "E"]
    assert cache.bytes == 100


def test_an_item_put_again_weighs_once_and_a_heavy_one_is_not_kept() -> None:
    cache = ByteCache[str, str](100)
    cache.put("a", "A", 10)
    cache.put("a", "B", 20)
    cache.put("b", "B", 26)
    assert (cache.get("a"), cache.get("b"), cache.bytes) == ("B", None, 20)


def test_what_nobody_used_for_a_while_is_forgotten() -> None:
    clock = Clock()
    cache = idle_cache(clock)
    cache.put("used", "U", 10)
    cache.put("left", "L", 10)
    clock.now = IDLE_S
    assert cache.get("used") == "U"
    clock.now = IDLE_S + 1
    cache.put("new", "N", 10)
    assert (cache.get("left"), cache.bytes) == (None, 20)
    clock.now = 2 * IDLE_S + 1.5
    assert cache.get("new") == "N", "it is as good as ever while it is there"
    assert (cache.get("used"), cache.bytes) == (None, 10)


@pytest.mark.usefixtures("tiny")
def test_an_index_that_is_pushed_out_during_a_read_is_not_taken_for_an_empty_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = world.process()
    process.put_all({f"k/{at:05}": b"v" * 30 for at in range(3000)})
    process.compact()
    shards = process.root.shards
    whole = run(load_indexes(process.place, shards))
    place = world.process().place
    run(load_indexes(place, shards[:1]))
    many = place.store.many

    async def others_read_much(requests: Sequence[Any]) -> Any:
        place.caches.indexes.clear()
        return await many(requests)

    monkeypatch.setattr(place.store, "many", others_read_much)
    assert run(load_indexes(place, shards)) == whole


@pytest.mark.usefixtures("tiny")
def test_a_lane_remembers_a_bounded_number_of_slots(world: World) -> None:
    process = world.process()
    lane = CommitLane(process.place, process.register, process.reader, "s00")
    for slot in range(1, LANE_MEMORY_SLOTS + 10):
        lane._keep(slot, (), ())
    assert len(lane._known) == LANE_MEMORY_SLOTS
    assert min(lane._known) == 10
