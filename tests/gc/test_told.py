"""Where the root tells of the blocks in which there is something to remove, those are read, and looked at, and no more."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.errors import CorruptObject
from swampstore.stores.base import Got, NotModified
from swampstore.values import run as run_format
from swampstore.values.block import Block
from swampstore.values.data import meta_path, raw_path
from swampstore.values.entry import VERSIONED, Inline, Meta, Record, put_record
from swampstore.values.root import RunRef
from swampstore.values.soonest import Soonest, Spot
from swampstore.workers.gc import pick, reading
from swampstore.workers.gc.pick import picked
from tests.gc.support import ID, collect, datum, remove, slow_gc, version_records
from tests.workers.world import HookedStore, Process, World

NOW = 1_000


@pytest.fixture(autouse=True)
def always_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many have expired: the blocks here are small."""
    monkeypatch.setattr(pick, "_FEW", 0)


def spans_read(store: HookedStore, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int] | None]:
    """The parts of shards that are read from now on."""
    found: list[tuple[int, int] | None] = []
    inner = store.inner.get

    async def get(
        name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        if "/shard/" in name:
            found.append(span)
        return await inner(name, span=span, if_none_match=if_none_match)

    monkeypatch.setattr(store.inner, "get", get)
    return found


def filled(world: World, expiring: Sequence[int]) -> Process:
    """One shard of many blocks, in some of which a version has expired."""
    process = world.process()
    soon = process.place.clock.now_ms() + 1000
    for number in range(60):
        records = version_records(process, datum(f"n{number:03}", 1, keep="5"), size=30)
        if number in expiring:
            records += version_records(process, datum(f"n{number:03}", 2, keep="5"), expires=soon)
        process.append(records)
    process.compact()
    assert len(process.root.shards) == 1
    world.tick(2)
    return process


def told_of(process: Process) -> tuple[RunRef, tuple[Spot, ...]]:
    """Its one shard, and the blocks of it that the root tells of now."""
    (ref,) = process.root.shards
    told = ref.soonest.at(process.place.clock.now_ms())
    assert told
    return ref, told


# --- what is read ------------------------------------------------------------------------------------------------------


def test_of_a_shard_the_blocks_concerned_are_read_in_one_request(
    world: World, one_shard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, told = told_of(filled(world, (20, 24)))
    world.store.forget()
    spans = spans_read(world.store, monkeypatch)
    report, _ = collect(world.process())
    assert spans == [(told[0].offset, told[-1].offset + told[-1].size - told[0].offset)]
    assert spans[0] is not None
    assert spans[0][1] < ref.index_at / 3
    assert [verb for verb, _ in world.store.calls] == ["list", "get", "get", "put"]
    assert (report.expired, report.entries, report.runs_read) == (2, 4, 1)


def test_one_request_more_saves_the_widest_gap(world: World, one_shard: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_GAP_BYTES", 200)
    ref, told = told_of(filled(world, (10, 50)))
    world.store.forget()
    spans = spans_read(world.store, monkeypatch)
    report, _ = collect(world.process())
    assert len(spans) == 2
    assert [verb for verb, _ in world.store.calls] == ["list", "get", "get", "get", "put"]
    assert all(span is not None for span in spans)
    read = sum(span[1] for span in spans if span is not None)
    assert sum(spot.size for spot in told) <= read < ref.index_at / 2
    assert (report.expired, report.runs_read) == (2, 1)


def test_a_root_that_does_not_tell_has_the_whole_shard_read(
    world: World, one_shard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(world, (20, 24))
    monkeypatch.setattr(Soonest, "at", lambda self, now_ms: None)
    spans = spans_read(world.store, monkeypatch)
    report, _ = collect(world.process())
    assert spans == [None]
    assert report.expired == 2


@pytest.mark.parametrize(
    "change",
    [{"offset": -1}, {"size": 0}, {"size": 1 << 30}, {"offset": 1 << 30}, {"count": 0}],
    ids=lambda change: str(change),
)
def test_a_root_that_tells_of_blocks_outside_the_shard_is_named(
    change: dict[str, int], world: World, one_shard: None
) -> None:
    """The sizes stand in the root: none of them is believed before it is asked for."""
    process = filled(world, (20, 24))
    seen = run(process.register.read())
    (ref,) = seen.root.shards
    told = ref.soonest
    bad = Soonest(tuple(msgspec.structs.replace(spot, **change) for spot in told.spots), told.rest)
    shards = (msgspec.structs.replace(ref, soonest=bad),)
    run(process.register.publish(seen, msgspec.structs.replace(seen.root, shards=shards)))
    world.store.forget()
    with pytest.raises(CorruptObject, match=ref.name):
        collect(world.process())
    assert all("/shard/" not in name for _, name in world.store.calls)


def many_versions(process: Process, newest: int) -> None:
    """Of one item: the newest says that many are kept, each before it that one is."""
    for ordinal in (*range(101, 131), newest):
        keep = "1" if ordinal < newest else "200"
        process.append(version_records(process, datum("a", ordinal, keep=keep)))


@pytest.mark.parametrize(("newest", "beside"), [(999, "a!"), (1000, "a0")])
def test_an_item_that_goes_on_where_nothing_is_read_is_left_alone(
    newest: int, beside: str, world: World, one_shard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its versions all but the newest keep one only; what is read of it must not be judged by that."""
    monkeypatch.setattr(run_format, "BLOCK_RAW_BYTES", 2000)
    process = world.process()
    soon = process.place.clock.now_ms() + 1000
    many_versions(process, newest)
    meta = Meta(size=1, at=Inline(b"x"))
    process.append(version_records(process, datum("z", 1)))
    process.append([put_record(f"data/t/{ID}/{beside}", process.writer.new_version(), meta, expires=soon)])
    process.compact()
    world.tick(2)
    ref, told = told_of(process)
    assert sum(spot.size for spot in told) < ref.index_at / 2
    assert sum(spot.count for spot in told) > 6, "more than one version of it is read"
    expected = slow_gc(world.process())
    report, appended = collect(world.process())
    assert {record.key: record.version for record in appended} == expected
    assert (report.expired, report.superseded) == (1, 0)


@pytest.mark.parametrize(("newest", "beside"), [(999, "a!"), (1000, "a0")])
def test_an_item_that_goes_on_in_a_shard_that_is_not_read_is_left_alone(
    newest: int, beside: str, world: World, tiny: None
) -> None:
    """The same where what is passed over is the neighbour of the shard."""
    process = world.process()
    soon = process.place.clock.now_ms() + 1000
    many_versions(process, newest)
    meta = Meta(size=1, at=Inline(b"x"))
    process.append([put_record(f"data/t/{ID}/{beside}", process.writer.new_version(), meta, expires=soon)])
    process.compact()
    world.tick(2)
    assert len(process.root.shards) > 2
    expected = slow_gc(world.process())
    report, appended = collect(world.process())
    assert {record.key: record.version for record in appended} == expected
    assert report.runs_read < len(process.root.shards)
    assert (report.expired, report.superseded) == (1, 0)


def test_a_removal_above_the_shards_has_the_rule_of_the_version_before_applied(world: World, tiny: None) -> None:
    """Nothing in the shards says so: they keep everything as long as the newest version is there."""
    process = world.process()
    for ordinal in range(1, 4):
        process.append(version_records(process, datum("a", ordinal, keep="1")))
    newest = version_records(process, datum("a", 4, keep="200"))
    process.append(newest)
    process.compact()
    assert collect(world.process(), dry_run=True)[0].entries == 0
    process.append([remove(process, record) for record in newest])
    expected = slow_gc(world.process())
    report, appended = collect(world.process())
    assert {record.key: record.version for record in appended} == expected
    assert report.superseded == 2


# --- what is looked at -------------------------------------------------------------------------------------------------


def around(process: Process, records: list[Record]) -> Block:
    """A block of ``records`` between two items that are none of their business."""
    for name in ("0", "z"):
        records = records + version_records(process, datum(name, 1))
    return Block.of(sorted(records, key=lambda record: record.key))


def held(process: Process, ordinals: Sequence[int], keep: str, *, expires: int = 0) -> list[Record]:
    return [
        record
        for ordinal in ordinals
        for record in version_records(process, datum("a", ordinal, keep=keep), expires=expires)
    ]


def of_item(rows: Block) -> list[str]:
    return [key.removeprefix(f"data/t/{ID}/a/") for key in rows.keys if "/a/" in key]


def test_of_an_item_that_keeps_everything_nothing_is_looked_at(world: World) -> None:
    process = world.process()
    rows = around(process, held(process, range(1, 6), "5"))
    assert of_item(picked(rows, (), set(), NOW)) == []
    assert len(of_item(picked(rows, (), {f"data/t/{ID}/a"}, NOW))) == 10
    assert len(of_item(picked(around(process, held(process, range(1, 7), "5")), (), set(), NOW))) == 12
    assert len(of_item(picked(around(process, held(process, range(1, 3), "1h")), (), set(), NOW))) == 4


def test_an_expired_version_makes_room_for_the_rule_of_the_one_before(world: World) -> None:
    process = world.process()
    records = held(process, range(1, 5), "1") + held(process, [10], "20", expires=NOW)
    assert len(of_item(picked(around(process, records), (), set(), NOW))) == 10
    assert of_item(picked(around(process, records), (), set(), NOW - 1)) == []


def test_a_version_that_says_nothing_of_itself_does_not_speak_for_the_others(world: World) -> None:
    """No program makes one; where there is one, the version before it says what is kept."""
    process = world.process()
    records = held(process, range(1, 5), "1")
    meta = Meta(size=1, at=Inline(b"x"))
    newest = put_record(raw_path(f"data/t/{ID}/a", 9), process.writer.new_version(), meta)
    records.append(msgspec.structs.replace(newest, flags=newest.flags | VERSIONED))
    assert len(of_item(picked(around(process, records), (), set(), NOW))) == 9


def test_what_shares_its_key_with_something_above_is_looked_at(world: World) -> None:
    """Of the two the one below may be newer."""
    process = world.process()
    rows = around(process, held(process, range(1, 6), "5"))
    key = raw_path(f"data/t/{ID}/a", 3)
    assert of_item(picked(rows, {key, "nowhere"}, set(), NOW)) == ["3/raw"]


def test_metadata_beside_something_expired_is_looked_at(world: World) -> None:
    """Also beside what is no version by its flags: whoever removes it looks there."""
    process = world.process()
    meta = Meta(size=1, at=Inline(b"x"))
    item = f"data/t/{ID}/a"
    plain = put_record(raw_path(item, 1), process.writer.new_version(), meta, expires=NOW)
    beside = put_record(meta_path(item, 1), process.writer.new_version(), meta)
    assert of_item(picked(around(process, [plain, beside]), (), set(), NOW)) == ["1/metadata.yaml", "1/raw"]
