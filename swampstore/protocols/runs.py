"""Reading runs (level-0 objects and shards): the block index, then the blocks asked for, through bounded caches."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence

from swampstore.errors import MissingObject, NotFound, SwampError
from swampstore.protocols.place import Place
from swampstore.stores.base import Get, Got, Outcome
from swampstore.values.block import Block
from swampstore.values.entry import Record
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, block_for, decode_index, decode_rows, index_span

_BLOCK_WEIGHT = 2
"""Decoded size of a block in memory, as a multiple of its encoded size."""
INDEX_WEIGHT = 6
"""The same of a block index."""
_BLOCKS_PER_ROUND = 64
"""Blocks that many look-ups hold at once; each is up to a few MB decoded."""


class RunGone(MissingObject):
    """A run named by a root is not there: the root has moved on, or the store has lost it."""

    code = "run-gone"


def run_body(answer: Outcome, name: str) -> bytes:
    """The bytes in the answer to a read of a run. Raises ``RunGone``, or what the read raised."""
    if isinstance(answer, NotFound):
        raise RunGone(f"{name} is gone", name=name, hint="restore it from a backup of the store") from answer
    if isinstance(answer, SwampError):
        raise answer
    assert isinstance(answer, Got)
    return answer.body


async def load_indexes(place: Place, refs: Sequence[RunRef]) -> list[list[BlockInfo]]:
    """The block indexes of ``refs``, in order; those not cached are read side by side, one ranged read each."""
    # Held from here on: what others read meanwhile may push an index out of the cache.
    found = {ref.name: index for ref in refs if (index := place.caches.indexes.get(ref.name)) is not None}
    missing = [ref for ref in refs if ref.name not in found]
    if missing:
        answers = await place.store.many([Get(place.full(ref.name), span=index_span(ref)) for ref in missing])
        for ref, answer in zip(missing, answers, strict=True):
            name = place.full(ref.name)
            index = decode_index(run_body(answer, name), name)
            found[ref.name] = index
            place.caches.indexes.put(ref.name, index, index_span(ref)[1] * INDEX_WEIGHT)
    return [found[ref.name] for ref in refs]


async def load_blocks(place: Place, wanted: Sequence[tuple[RunRef, BlockInfo]]) -> list[list[Record]]:
    """The records of each block, in order; see :func:`load_rows`."""
    return [rows.records() for rows in await load_rows(place, wanted)]


async def load_rows(place: Place, wanted: Sequence[tuple[RunRef, BlockInfo]]) -> list[Block]:
    """Each block as columns, in order. Neighbouring blocks of a run travel in one ranged read."""
    return list(await read_rows(place, wanted))


async def read_rows(
    place: Place, wanted: Sequence[tuple[RunRef, BlockInfo]], keep: Callable[[BlockInfo], bool] = lambda _: True
) -> Iterator[Block]:
    """The same, read now and decoded when their turn comes: who takes in many holds one of them at a time.

    Those that are to ``keep`` stay in the cache.
    """
    held = [place.caches.blocks.get((ref.name, info.offset)) for ref, info in wanted]
    spans = _spans([pair for pair, rows in zip(wanted, held, strict=True) if rows is None])
    stored: dict[tuple[str, int], bytes] = {}
    if spans:
        answers = await place.store.many(
            [Get(place.full(ref.name), span=(blocks[0].offset, sum(b.size for b in blocks))) for ref, blocks in spans]
        )
        for (ref, blocks), answer in zip(spans, answers, strict=True):
            body, start = run_body(answer, place.full(ref.name)), blocks[0].offset
            for info in blocks:
                at = info.offset - start
                stored[ref.name, info.offset] = body[at : at + info.size]
    return (
        rows if rows is not None else _decoded(place, ref, info, stored[ref.name, info.offset], keep=keep(info))
        for (ref, info), rows in zip(wanted, held, strict=True)
    )


def _decoded(place: Place, ref: RunRef, info: BlockInfo, stored: bytes, *, keep: bool) -> Block:
    rows = decode_rows(info, stored, place.full(ref.name))
    if keep:
        place.caches.blocks.put((ref.name, info.offset), rows, info.raw_size * _BLOCK_WEIGHT)
    return rows


def _spans(wanted: Sequence[tuple[RunRef, BlockInfo]]) -> list[tuple[RunRef, list[BlockInfo]]]:
    """Group blocks that lie side by side in one run."""
    spans: list[tuple[RunRef, list[BlockInfo]]] = []
    for ref, info in wanted:
        if spans:
            last_ref, blocks = spans[-1]
            if last_ref.name == ref.name and blocks[-1].offset + blocks[-1].size == info.offset:
                blocks.append(info)
                continue
        spans.append((ref, [info]))
    return spans


async def find_in_runs(place: Place, refs: Sequence[RunRef], keys: Sequence[str]) -> dict[str, list[Record]]:
    """Every record of each of ``keys`` (sorted) in those of ``refs`` whose range covers it.

    One round for the indexes and one for the blocks, however many keys; more when they lie in very many blocks.
    """
    meeting = covering(refs, keys)
    found: dict[str, list[Record]] = {key: [] for key in keys}
    wanted: dict[tuple[str, int], tuple[RunRef, BlockInfo]] = {}
    asked: dict[tuple[str, int], list[str]] = {}
    for ref, index in zip(meeting, await load_indexes(place, meeting), strict=True):
        for key in _between(keys, ref.first, ref.last):
            info = block_for(index, key)
            if info is not None:
                wanted[ref.name, info.offset] = (ref, info)
                asked.setdefault((ref.name, info.offset), []).append(key)
    places = list(wanted)
    for start in range(0, len(places), _BLOCKS_PER_ROUND):
        part = places[start : start + _BLOCKS_PER_ROUND]
        for at, rows in zip(part, await load_rows(place, [wanted[at] for at in part]), strict=True):
            for key in asked[at]:
                record = rows.find(key)
                if record is not None:
                    found[key].append(record)
    return found


def covering(refs: Iterable[RunRef], keys: Sequence[str]) -> list[RunRef]:
    """Those of ``refs`` in whose range one of ``keys`` (sorted) lies."""
    return [ref for ref in refs if _between(keys, ref.first, ref.last)]


def find_cached(place: Place, refs: Sequence[RunRef], key: str) -> list[Record] | None:
    """Every record of ``key`` in ``refs``, from the caches alone; ``None`` when that takes a read of the store."""
    found: list[Record] = []
    for ref in refs:
        if not ref.first <= key <= ref.last:
            continue
        index = place.caches.indexes.get(ref.name)
        if index is None:
            return None
        info = block_for(index, key)
        if info is None:
            continue
        rows = place.caches.blocks.get((ref.name, info.offset))
        if rows is None:
            return None
        record = rows.find(key)
        if record is not None:
            found.append(record)
    return found


def _between(keys: Sequence[str], low: str, high: str) -> Sequence[str]:
    return keys[bisect.bisect_left(keys, low) : bisect.bisect_right(keys, high)]
