"""How versions get their ordinals: in fold order, once, for ever, whatever happens around the fold.

1  several puts in one fold, several folds, several items
2  the same put appended twice: in one fold, in two, after a merge; the guard off
3  removed before it has a number, after it, and after it by somebody who does not know the number
4  puts that bring their own ordinal; two that collide
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.limits import DATA_ORDINAL
from swampstore.values.data import decode_ordinal, head_key, id_key, meta_path, raw_path
from swampstore.values.entry import Record, meta_of, put_record, tombstone
from swampstore.values.join import conflict_of
from swampstore.values.metadata import parse_metadata
from swampstore.values.version import FROM_NOTHING, just_above
from swampstore.workers import numbering
from tests.data.support import Numbers, found, given, item, latest, manifest, ordinals, pending, put, root_of
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
    meta = msgspec.structs.replace(meta_of(record), base=FROM_NOTHING)
    return put_record(record.key, record.version, meta)
