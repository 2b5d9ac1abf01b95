"""How versions get their ordinals: in fold order, once, for ever, whatever happens around the fold.

1  several puts in one fold, several folds, several items
2  the same put appended twice: in one fold, in two, after a merge; the guard off
3  removed before it has a number, after it, and after it by somebody who does not know the number
4  puts that bring their own ordinal; two that collide
5  sums and counts of contents; a lost race; a run that is gone; hostile records
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.errors import CorruptObject
from swampstore.limits import CONTENT_GRACE_MS, DATA_ORDINAL
from swampstore.protocols.runs import RunGone
from swampstore.values.data import decode_ordinal, head_key, id_key, meta_path, raw_path
from swampstore.values.entry import OPAQUE, PENDING, Packed, Record, check_value, meta_of, tombstone
from swampstore.values.join import conflict_of
from swampstore.values.metadata import parse_metadata
from swampstore.values.version import just_above, refined
from swampstore.workers import numbering
from tests.data.support import (
    Numbers,
    datum,
    found,
    given,
    item,
    latest,
    manifest,
    ordinals,
    pending,
    put,
    root_of,
)
from tests.workers.world import Process, World

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def process(world: World) -> Process:
    return world.process()


def head(world: World, name: str = "state") -> int:
    key = head_key(item(name))
    return decode_ordinal(manifest(world)[key].value, key)


def remove(process: Process, version: bytes, name: str = "state") -> None:
    process.append([tombstone(id_key(item(name), version), just_above(version), base=version)])


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard off: a fold that looks nothing up."""

    async def nothing(_place: Any, _refs: Any, keys: Sequence[str]) -> dict[str, list[Record]]:
        return {key: [] for key in keys}

    monkeypatch.setattr(numbering, "find_in_runs", nothing)


# --- 1 ---------------------------------------------------------------------------------------------------------------


def test_pending_until_a_fold_then_numbered_by_id(world: World, process: Process) -> None:
    ids = [put(process, "state", bytes([n])) for n in range(3)]
    put(process, "other")
    assert ordinals(process) == [None, None, None]
    process.fold()
    assert ordinals(process) == [3, 2, 1]
    assert ordinals(process, "other") == [1]
    assert [version.entry.version for version in found(process).versions] == ids[::-1]
    assert (head(world), head(world, "other")) == (3, 1)


def test_the_metadata_beside_it_says_the_same(world: World, process: Process) -> None:
    version = put(process, "state", b"abc")
    process.fold()
    entry = run(run(process.reader.open()).get(meta_path(item(), 1)))
    assert entry is not None
    assert entry.version == version
    said = parse_metadata(entry.meta.at.data, "x", version=1)  # type: ignore[union-attr]
    held = latest(process)
    assert held is not None
    assert (said.name, said.size, said.tags) == (held.name, held.size, held.tags)
    assert (said.sha256, said.created_ms) == (bytes.fromhex(held.sha256), held.created)


def test_later_folds_count_on_through_spills_and_merges(world: World, process: Process) -> None:
    numbers, ids = Numbers(), []
    for turn in range(12):
        ids += [(item("abc"[n % 3]), put(process, "abc"[n % 3])) for n in range(4)]
        process.fold()
        if turn % 3 == 2:
            process.merge(full=turn % 2 == 0)
        numbers.look(manifest(world))
    assert len(root_of(world).shards) > 1
    numbers.check_whole(ids)


def test_a_late_lane_gets_the_next_number_though_its_id_is_lower(world: World) -> None:
    early, late = world.process(), world.process()
    record = pending(early)
    world.tick(1)
    put(late)
    late.fold()
    early.append([record])
    assert latest(late).pending  # type: ignore[union-attr]
    late.fold()
    assert [(v.ordinal, v.entry.version == record.version) for v in found(late).versions] == [(2, True), (1, False)]
    assert latest(late).ordinal == 2  # type: ignore[union-attr]


def test_an_expired_version_is_numbered_and_seen_by_nobody(world: World, process: Process) -> None:
    process.append([pending(process, expires=1)])
    put(process)
    assert ordinals(process) == [None]
    process.fold()
    assert ordinals(process) == [2]


# --- 2 ---------------------------------------------------------------------------------------------------------------


def test_the_same_put_twice_in_one_fold_is_one_version(world: World, process: Process) -> None:
    record = pending(process)
    process.append([record])
    world.process().append([record])
    process.fold()
    assert ordinals(process) == [1]


@pytest.mark.parametrize("merged", [False, True], ids=["inline or level 0", "in shards"])
def test_the_same_put_in_a_later_fold_is_nothing(world: World, process: Process, merged: bool) -> None:
    numbers = Numbers()
    record = pending(process)
    process.append([record])
    put(process, "state")
    process.fold()
    if merged:
        process.merge()
    numbers.look(manifest(world))
    world.process().append([record])
    assert ordinals(world.process()) == [2, 1]
    world.process().fold()
    numbers.look(manifest(world))
    process.compact()
    numbers.look(manifest(world))
    assert ordinals(process) == [2, 1]


@pytest.mark.usefixtures("blind")
def test_without_the_look_up_it_would_be_numbered_twice(world: World, process: Process) -> None:
    numbers = Numbers()
    put(process)
    record = pending(process)
    process.append([record])
    process.compact()
    numbers.look(manifest(world))
    process.append([record])
    process.fold()
    with pytest.raises(AssertionError, match=r"was 2, is 1|is not that of its id"):
        numbers.look(manifest(world))


# --- 3 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["together", "removal first", "removal merged first"])
def test_what_was_removed_is_never_numbered(world: World, process: Process, order: str) -> None:
    record = pending(process)
    if order == "together":
        process.append([record])
    remove(process, record.version)
    assert ordinals(process) == []
    if order == "removal first":
        process.fold()
    if order == "removal merged first":
        process.compact()
    world.process().append([record])
    assert ordinals(process) == []
    process.compact()
    assert world.found() == {}
    put(process)
    process.fold()
    assert ordinals(process) == [1]


@pytest.mark.usefixtures("blind")
def test_without_the_look_up_it_would_come_back(world: World, process: Process) -> None:
    record = pending(process)
    remove(process, record.version)
    process.compact()
    process.append([record])
    process.compact()
    assert raw_path(item(), 1) in world.found()


@pytest.mark.parametrize("merged", [False, True], ids=["inline or level 0", "in shards"])
def test_removed_by_its_id_alone_after_it_was_numbered(world: World, process: Process, merged: bool) -> None:
    version = put(process)
    put(process)
    process.fold()
    if merged:
        process.merge()
    remove(process, version)
    assert ordinals(process) == [2]
    process.fold()
    assert set(world.found()) == {raw_path(item(), 2), meta_path(item(), 2)}
    process.compact()
    assert ordinals(process) == [2]
    put(process)
    process.fold()
    assert ordinals(process) == [3, 2]


def test_removed_by_somebody_who_knows_the_number_costs_no_look_up(
    world: World, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(process)
    process.compact()
    asked: list[str] = []

    async def counting(_place: Any, _refs: Any, keys: Sequence[str]) -> dict[str, list[Record]]:
        asked.extend(keys)
        return {key: [] for key in keys}

    monkeypatch.setattr(numbering, "find_in_runs", counting)
    gone = just_above(version)
    keys = [raw_path(item(), 1), meta_path(item(), 1), id_key(item(), version)]
    process.append([tombstone(key, gone, base=version) for key in keys])
    process.fold()
    assert asked == []
    assert world.found() == {}
    remove(process, version)
    process.fold()
    assert asked == [id_key(item(), version)]


# --- 4 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [False, True], ids=["in one fold", "in the next fold"])
def test_a_put_that_brings_its_ordinal_raises_the_head(world: World, process: Process, later: bool) -> None:
    process.append([given(process, "state", 41), given(process, "state", 7)])
    assert latest(process).ordinal == 41  # type: ignore[union-attr]
    if later:
        process.compact()
    put(process)
    assert latest(process).pending  # type: ignore[union-attr]
    process.fold()
    assert ordinals(process) == [42, 41, 7]
    assert head(world) == 42
    process.append([given(process, "state", 12)])
    process.compact()
    assert head(world) == 42


def test_an_ordinal_beyond_the_limit_does_not_raise_it(world: World, process: Process) -> None:
    process.append([given(process, "state", DATA_ORDINAL + 1), given(process, "state", DATA_ORDINAL)])
    put(process)
    process.fold()
    assert head(world) == DATA_ORDINAL + 1


def test_a_collision_keeps_both(world: World, process: Process) -> None:
    """A synced put of a number that the fold gave meanwhile: the loser is kept beside it."""
    mine = put(process, "state", b"mine")
    process.fold()
    record = given(process, "state", 1, b"theirs")
    process.append([put_from_nothing(record)])
    process.compact()
    kept = [record for key, record in manifest(world).items() if conflict_of(key) == raw_path(item(), 1)]
    assert [record.version for record in kept] == [mine]
    assert latest(process).size == 6  # type: ignore[union-attr]


def test_a_plain_entry_in_the_way_is_kept_too(world: World, process: Process) -> None:
    plain = process.put(raw_path(item(), 1), b"whoever put it there")
    process.compact()
    assert found(process).versions == []
    put(process)
    process.compact()
    kept = [record for key, record in manifest(world).items() if conflict_of(key) == raw_path(item(), 1)]
    assert [record.version for record in kept] == [plain]
    assert ordinals(process) == [1]


def put_from_nothing(record: Record) -> Record:
    from swampstore.values.entry import put_record
    from swampstore.values.version import FROM_NOTHING

    meta = msgspec.structs.replace(meta_of(record), base=FROM_NOTHING)
    return put_record(record.key, record.version, meta)


# --- 5 ---------------------------------------------------------------------------------------------------------------


def test_contents_stay_named_from_pending_to_removed(world: World, process: Process) -> None:
    """A pack is counted once, by whatever record names it; after the removal it is garbage, and goes."""
    part = process.upload("pack", b"0123456789")
    at = Packed(part, 0, 5)
    record = pending(process, "state", b"01234", at=at)
    process.append([record])
    run(process.compactor.sweep_once(insist=True))
    process.fold()
    assert root_of(world).packs == {part: 1}
    world.process().append([record])
    process.compact()
    assert root_of(world).packs == {part: 1}
    assert root_of(world).garbage == () or all(part not in item.name for item in root_of(world).garbage)
    remove(process, record.version)
    process.compact()
    assert root_of(world).packs == {}
    assert f"pack/{part}" in {item.name for item in root_of(world).garbage}
    world.tick(CONTENT_GRACE_MS / 1000 + 60)
    run(process.compactor.sweep_once(insist=True))
    assert f"ns/pack/{part}" not in world.store.names()


def test_a_sweep_spares_what_only_a_pending_version_names(world: World, process: Process) -> None:
    part = process.upload("pack", b"01234")
    process.put("k")
    process.fold()
    process.append([pending(process, "state", b"01234", at=Packed(part, 0, 5))])
    world.tick(3 * 24 * 3600)
    run(process.compactor.sweep_once(insist=True))
    assert f"ns/pack/{part}" in world.store.names()


def test_sums_are_checked(world: World, process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    put(process)
    monkeypatch.setattr(numbering, "already_settled", lambda asked, known: [])
    real = numbering.join_counted
    monkeypatch.setattr(numbering, "join_counted", lambda table, made: (real(table, made)[0][1:], []))
    with pytest.raises(AssertionError, match="conserve"):
        process.fold()
    assert root_of(world).version == 0


def test_a_run_that_is_gone_stops_the_fold(world: World, process: Process) -> None:
    put(process)
    process.compact()
    version = root_of(world).version
    name = f"ns/{root_of(world).shards[0].name}"
    body = world.store.raw(name)
    run(world.store.inner.delete([name]))
    put(process)
    with pytest.raises(RunGone):
        world.process().fold()
    assert root_of(world).version == version
    from swampstore.stores.base import Overwrite

    run(world.store.inner.put(name, body, Overwrite()))
    world.process().fold()
    assert ordinals(process) == [2, 1]


def test_a_run_swept_meanwhile_starts_the_fold_again(world: World, process: Process) -> None:
    put(process)
    process.compact()
    put(process)
    slow, fast = world.process(), world.process()
    run(slow.register.read())
    old = f"ns/{root_of(world).shards[0].name}"
    done = []

    def once(verb: str, name: str) -> None:
        if verb == "get" and name == old and not done:
            done.append(name)
            put(fast, "other")
            fast.compact()
            run(world.store.inner.delete([old]))

    world.store.before = once
    slow.fold()
    assert done
    assert ordinals(process) == [2, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"key": "data/aws/ec2/web/other\0data\0" + "00" * 24},
        {"version": refined(b"v" * 24)},
        {"flags": PENDING | OPAQUE | 1},
        {"value": b"\x80"},
    ],
    ids=["another item's key", "a refined version", "gone", "no fields"],
)
def test_pending_records_that_contradict_themselves_are_broken(process: Process, change: dict[str, Any]) -> None:
    with pytest.raises(CorruptObject):
        check_value(msgspec.structs.replace(pending(process), **change))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a/b"},
        {"name": ".."},
        {"model_type": "../../etc"},
        {"model_id": ""},
        {"ordinal": 3},
        {"keep": "²"},
        {"owner": {"a": {1: "a"}}},
        {"extra": {"a": b"bytes"}},
        {"extra": {"a": [[[[[[[[[[[[[[[[[[[["too deep"]]]]]]]]]]]]]]]]]]]]}},
    ],
    ids=str,
)
def test_fields_that_would_stop_the_fold_never_reach_it(process: Process, fields: dict[str, Any]) -> None:
    bad = msgspec.structs.replace(datum(), **fields)
    meta = msgspec.structs.replace(meta_of(pending(process)), data=bad)
    version = process.writer.new_version()
    value = msgspec.msgpack.encode(meta)
    with pytest.raises(CorruptObject):
        check_value(Record(id_key(bad.item, version), version, OPAQUE | PENDING, 0, value))
