"""What is touched: a merge decodes the blocks that a change meets and copies all others; a scan reads its blocks."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.protocols import runs
from swampstore.protocols.cache import ByteCache
from swampstore.protocols.runs import load_indexes
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, block_for
from swampstore.workers import weave
from tests.workers.world import Process, World

pytestmark = pytest.mark.usefixtures("tiny")
CHANGED = [f"k/{at:05}" for at in (3, 404, 405, 1200, 1201, 2222, 2999)]


def fill(world: World) -> Process:
    process = world.process()
    process.put_all({f"k/{at:05}": b"v" * 30 + b"%d" % at for at in range(3000)})
    process.compact()
    assert len(process.root.shards) > 3
    return process


def all_blocks(process: Process) -> list[tuple[RunRef, BlockInfo]]:
    shards = process.root.shards
    indexes = run(load_indexes(process.place, shards))
    return [(ref, info) for ref, index in zip(shards, indexes, strict=True) for info in index]


def counting(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[tuple[str, int]]:
    """Which blocks ``module`` decodes: object and offset."""
    seen: list[tuple[str, int]] = []
    inner = module.decode_rows

    def decode_rows(info: BlockInfo, stored: bytes, name: str) -> Any:
        seen.append((name, info.offset))
        return inner(info, stored, name)

    monkeypatch.setattr(module, "decode_rows", decode_rows)
    return seen


def test_a_merge_of_seven_changes_decodes_their_blocks_and_copies_all_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = fill(world)
    before = all_blocks(process)
    bodies = {ref.name: world.store.raw(f"ns/{ref.name}") for ref in process.root.shards}
    concerned = {
        (f"ns/{ref.name}", info.offset)
        for ref, info in before
        if any(info.first <= key <= info.last for key in CHANGED)
    }
    seen = counting(monkeypatch, weave)
    process.put_all(dict.fromkeys(CHANGED, b"changed"))
    process.compact()
    # Beside them at most a small neighbour each, so that no small rest stays behind.
    assert concerned <= set(seen)
    assert len(seen) <= 2 * len(concerned)
    assert len(seen) * 8 < len(before)
    written = b"".join(world.store.raw(f"ns/{ref.name}") for ref in process.root.shards)
    for ref, info in before:
        if (f"ns/{ref.name}", info.offset) not in seen:
            assert bodies[ref.name][info.offset : info.offset + info.size] in written
    world.check()


def test_a_merge_reads_and_writes_only_the_shards_of_its_changes(world: World) -> None:
    process = fill(world)
    old = process.root.shards
    touched = [ref for ref in old if any(ref.first <= key <= ref.last for key in CHANGED)]
    assert len(touched) < len(old) / 2
    process.put_all(dict.fromkeys(CHANGED, b"changed"))
    process.fold()
    report = run(process.compactor.merge_once(full=True, insist=True))
    kept = {ref.name for ref in old} & {ref.name for ref in process.root.shards}
    beside = len(old) - len(kept) - len(touched)  # small ones that were joined with a neighbour
    assert 0 <= beside <= len(touched)
    assert report.shards_read == len(touched) + beside
    assert report.bytes_written <= 2 * sum(ref.size for ref in old if ref.name not in kept)


def test_a_prefix_scan_reads_its_blocks_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world)
    reader = world.process()
    seen = counting(monkeypatch, runs)
    snapshot = run(reader.reader.open())

    async def scan(prefix: str) -> list[str]:
        return [entry.key async for chunk in snapshot.scan(prefix) for entry in chunk]

    assert run(scan("k/012")) == [f"k/{at:05}" for at in range(1200, 1300)]
    wanted = {
        (f"ns/{ref.name}", info.offset)
        for ref, info in all_blocks(reader)
        if info.first <= "k/012~" and info.last >= "k/012"
    }
    assert set(seen) == wanted
    assert len(seen) == len(wanted) < 30
    run(scan("k/012"))
    assert len(seen) == len(wanted)
    assert run(snapshot.get("k/01250")) is not None
    assert len(seen) == len(wanted)


def test_a_warm_look_up_asks_the_store_nothing(world: World) -> None:
    fill(world)
    reader = world.process()
    snapshot = run(reader.reader.open())
    assert run(snapshot.get("k/00700")) is not None
    world.store.forget()
    assert run(snapshot.get("k/00700")) is not None
    assert run(snapshot.get("k/00700x")) is None
    assert world.store.calls == []
    reader.place.caches.blocks.clear()
    assert run(snapshot.get("k/00700")) is not None
    assert len(world.store.calls) == 1  # the index is still there
    reader.place.caches.indexes.clear()
    reader.place.caches.blocks.clear()
    assert run(snapshot.get("k/00700")) is not None
    assert len(world.store.calls) == 3


def test_the_cache_of_blocks_is_bounded(world: World) -> None:
    fill(world)
    reader = world.process()
    reader.place.caches.blocks = ByteCache(20_000)
    snapshot = run(reader.reader.open())

    async def scan() -> int:
        return sum([len(chunk) async for chunk in snapshot.scan()])

    assert run(scan()) == 3000
    assert 0 < reader.place.caches.blocks.bytes <= 20_000


def test_a_block_that_holds_no_key_of_a_look_up_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = fill(world)
    blocks = all_blocks(process)
    gaps = [(a.last, b.first) for (_, a), (_, b) in itertools.pairwise(blocks)]
    reader = world.process()
    seen = counting(monkeypatch, runs)
    snapshot = run(reader.reader.open())
    for last, first in gaps[:5]:
        assert run(snapshot.get(last + "x")) is None
        assert last + "x" < first
    assert seen == []
    assert block_for([info for _, info in blocks], gaps[0][0] + "x") is None
