"""Audit archives for reading, whatever they are: the library's own runs, or Parquet files. Both are read in two steps, the
index once and then the blocks (row groups) asked for, by ranged reads."""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.protocols.place import Place
from swampstore.protocols.runs import load_blocks, load_indexes, run_body
from swampstore.stores.base import Get
from swampstore.values.audit_parquet import ParquetIndex, decode_group, decode_tail, is_parquet
from swampstore.values.entry import Record
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo

Block = tuple[RunRef, BlockInfo]

_INDEX_WEIGHT = 3


async def load_archive_indexes(place: Place, refs: Sequence[RunRef]) -> list[list[BlockInfo]]:
    """The index of each of ``refs``, in order. Raises ``RunGone``, ``CorruptObject``, ``MissingExtra``."""
    runs = [ref for ref in refs if not is_parquet(ref.name)]
    found = dict(zip([ref.name for ref in runs], await load_indexes(place, runs), strict=True))
    found |= await _load_tails(place, [ref for ref in refs if is_parquet(ref.name)])
    return [found[ref.name] for ref in refs]


async def _load_tails(place: Place, refs: Sequence[RunRef]) -> dict[str, list[BlockInfo]]:
    held = {ref.name: place.caches.indexes.get(ref.name) for ref in refs}
    missing = [ref for ref in refs if held[ref.name] is None]
    spans = [(ref.index_at, ref.size - ref.index_at) for ref in missing]
    gets = [Get(place.full(ref.name), span=span) for ref, span in zip(missing, spans, strict=True)]
    for ref, answer in zip(missing, await place.store.many(gets) if gets else (), strict=True):
        name = place.full(ref.name)
        index = decode_tail(run_body(answer, name), ref.size, name)
        place.caches.indexes.put(ref.name, index, len(index.tail) * _INDEX_WEIGHT)
        held[ref.name] = index
    return {name: index for name, index in held.items() if index is not None}


async def load_archive_blocks(place: Place, blocks: Sequence[Block]) -> list[list[Record]]:
    """The records of each block, in order. Raises as :func:`load_archive_indexes`."""
    runs = [block for block in blocks if not is_parquet(block[0].name)]
    files = [block for block in blocks if is_parquet(block[0].name)]
    found = iter(await load_blocks(place, runs))
    groups = iter(await _load_groups(place, files))
    return [next(groups) if is_parquet(ref.name) else next(found) for ref, _ in blocks]


async def _load_groups(place: Place, blocks: Sequence[Block]) -> list[list[Record]]:
    if not blocks:
        return []
    tails = await _load_tails(place, list({ref.name: ref for ref, _ in blocks}.values()))
    gets = [Get(place.full(ref.name), span=(info.offset, info.size)) for ref, info in blocks]
    loaded: list[list[Record]] = []
    for (ref, info), answer in zip(blocks, await place.store.many(gets), strict=True):
        name, index = place.full(ref.name), tails[ref.name]
        assert isinstance(index, ParquetIndex)
        loaded.append(decode_group(index, info, run_body(answer, name), ref.size, name))
    return loaded
