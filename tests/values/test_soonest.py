"""What the root tells of the blocks in which there is something to remove: never too late, however the blocks are cut."""

from __future__ import annotations

import random

import msgspec
import pytest

from swampstore.errors import CorruptObject
from swampstore.values import run as run_format
from swampstore.values.entry import Record
from swampstore.values.root import Root, RunRef, decode_root, encode_root
from swampstore.values.run import BlockInfo, RunBuilder, decode_rows, decode_run
from swampstore.values.soonest import SPOTS, UNSAID, Soonest, Spot, misfit, soonest
from swampstore.values.summary import ALWAYS, Summary, fact_of, summary_of
from tests.values.test_summary import record

NAME = "shard/" + "0" * 32
NAMES = [f"n{number:02}" for number in range(12)]


def some_records(dice: random.Random) -> list[Record]:
    records = []
    for name in NAMES:
        keep = dice.choice(("", "", "2", "50s", "20"))
        expiring = dice.random() < 0.15
        for ordinal in range(1, dice.randrange(2, 8)):
            expires = dice.randrange(10, 200_000) if expiring and dice.random() < 0.5 else 0
            created = dice.randrange(1, 100_000)
            records.append(record(name, ordinal, keep=keep, created=created, expires=expires))
    return sorted(records, key=lambda one: one.key)


def built(records: list[Record], monkeypatch: pytest.MonkeyPatch) -> tuple[RunRef, bytes, list[BlockInfo]]:
    monkeypatch.setattr(run_format, "BLOCK_RAW_BYTES", 500)
    builder = RunBuilder()
    for one in records:
        builder.add(one)
    ref, data = builder.finish(NAME)
    return ref, data, [info for info, _ in decode_run(ref, data, "x")]


@pytest.mark.parametrize("seed", range(30))
def test_no_block_that_a_gc_must_look_into_is_left_out(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    records = some_records(dice)
    ref, _, index = built(records, monkeypatch)
    assert len(index) > 4
    for now in (5, 1_000, 50_000, 100_000, 250_000):
        told = ref.soonest.at(now)
        if told is None:
            continue
        offsets = {spot.offset for spot in told}
        for info in index:
            if 0 < info.expires <= now:
                assert info.offset in offsets
        for name in NAMES[1:-1]:  # those at the ends of a run are not its own to tell
            mine = [one for one in records if (fact := fact_of(one)) is not None and fact.item.endswith(f"/{name}")]
            edge = summary_of(mine).head
            if edge is None or not edge.acts(now):
                continue
            at = [n for n, info in enumerate(index) if info.first <= mine[-1].key and mine[0].key <= info.last]
            assert {index[number].offset for number in at} <= offsets
            for number, key in ((at[0] - 1, index[at[0]].first), (at[-1] + 1, index[at[-1]].last)):
                if key in {mine[0].key, mine[-1].key} and 0 <= number < len(index):
                    assert index[number].offset in offsets, "an item at the end of its block is not seen to its end"


def test_it_is_not_always_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above passes over is the rare case."""
    told = 0
    for seed in range(30):
        ref, _, _ = built(some_records(random.Random(seed)), monkeypatch)
        told += bool(ref.soonest.at(1_000))
    assert told > 3


def test_a_spot_reads_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record("a", number, expires=1000 if number == 9 else 0) for number in range(1, 30)]
    records.sort(key=lambda one: one.key)
    ref, data, index = built([record("0", 1), *records, record("z", 1)], monkeypatch)
    spots = ref.soonest.at(1000)
    assert spots is not None
    keys = [key for spot in spots for key in decode_rows(spot, data[spot.offset : spot.offset + spot.size], "x").keys]
    assert records[-1].key in keys  # ordinal 9 sorts last
    assert ref.soonest.at(999) == ()
    assert not misfit(ref.soonest, index)


def test_what_is_told_of_items_among_each_others_versions_is_a_misfit() -> None:
    records = [record("a", 1, keep="5"), record("a/1/b", 1, keep="5"), record("z", 1)]
    infos = [BlockInfo(one.key, one.key, at, 1, 1, 0, 1, 0, 0, 0, summary_of([one])) for at, one in enumerate(records)]
    assert not misfit(UNSAID, infos)
    assert "each other" in misfit(soonest(infos[1:]), infos)


def test_what_earlier_programs_told_is_no_misfit() -> None:
    """One neighbour of an item that is due, however far its path reaches."""
    keys = [f"data/t/m/a/0/{number}" for number in range(3)]
    infos = [BlockInfo(key, key, at, 1, 1, 0, 1, 0, 0, 0) for at, key in enumerate(keys)]
    versions = [record("a", number, keep="1") for number in (1, 2)]
    infos.append(BlockInfo(versions[0].key, versions[1].key, 3, 1, 1, 0, 2, 0, 0, 0, summary_of(versions)))
    last = record("b", 1)
    infos.append(BlockInfo(last.key, last.key, 4, 1, 1, 0, 1, 0, 0, 0, summary_of([last])))
    told = soonest(infos)
    assert [spot.offset for spot in told.spots] == [0, 1, 2, 3, 4]
    assert not misfit(told, infos)
    assert not misfit(Soonest(told.spots[2:], 0), infos)
    assert misfit(Soonest(told.spots[:3], 0), infos)


def test_more_than_it_can_tell_is_said() -> None:
    index = [
        BlockInfo(f"{at:02}", f"{at:02}~", at * 10, 10, 20, 0, 1, 0, 0, expires=100 + at) for at in range(SPOTS + 2)
    ]
    told = soonest(index)
    assert len(told.spots) == SPOTS
    assert told.rest == 100 + SPOTS
    assert told.at(100) == told.spots[:1]
    assert told.at(100 + SPOTS - 1) == told.spots
    assert told.at(100 + SPOTS) is None
    assert soonest(index[:SPOTS]).at(10**15) == told.spots


def test_items_among_each_others_versions_are_not_told_of() -> None:
    records = [record("a", 1, keep="5"), record("a/1/b", 1, keep="5"), record("z", 1)]
    infos = [BlockInfo(one.key, one.key, at, 1, 1, 0, 1, 0, 0, 0, summary_of([one])) for at, one in enumerate(records)]
    assert soonest(infos) == UNSAID
    assert soonest(infos[1:]) != UNSAID


def test_roots_from_before_it_was_told_and_roots_that_claim_too_much() -> None:
    ref = RunRef("a", "b", NAME, 100, 50, 1, 0, b"d" * 32, 1, 7)
    raw = msgspec.msgpack.encode([getattr(ref, field) for field in ref.__struct_fields__[:-1]])
    assert msgspec.msgpack.decode(raw, type=RunRef).soonest == UNSAID
    assert UNSAID.at(ALWAYS) is None
    spots = tuple(Spot(0, 1, 1, 0, 1, 2, 5) for _ in range(65))
    for count, good in ((64, True), (65, False)):
        root = Root(1, b"n" * 12, shards=(msgspec.structs.replace(ref, soonest=Soonest(spots[:count], 0)),))
        if good:
            assert decode_root(encode_root(root), "r").shards[0].soonest.at(5) == spots[:count]
            continue
        with pytest.raises(CorruptObject):
            decode_root(encode_root(root), "r")


def test_a_block_that_says_nested_items_may_lie_in_it_is_not_told_of() -> None:
    info = BlockInfo("a", "b", 0, 1, 1, 0, 1, 0, 0, 0, Summary(2, 0, ALWAYS))
    assert soonest([info]) == UNSAID
    assert soonest([msgspec.structs.replace(info, summary=Summary(2, 0, ALWAYS + 1))]).rest == 0
