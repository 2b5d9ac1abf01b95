"""All layers of a snapshot joined over a range of keys: level 0, shards, the ephemeral home, and what no run holds yet.

Invariants:
- What comes out is in rising key order, one record a key: the winner of all layers.
- No more than some blocks of each layer are held at once, however long the range; a range too long for the cache does not
  go through it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from swampstore.limits import BLOCK_CACHE_BYTES
from swampstore.protocols.place import Place
from swampstore.protocols.runs import load_indexes, read_rows
from swampstore.values.block import EMPTY, Block, join_blocks
from swampstore.values.entry import Record
from swampstore.values.join import last_conflict_key
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo

_FIRST_CHUNK_BLOCKS = 1
_CHUNK_BLOCKS = 16
_KEPT_RAW_BYTES = BLOCK_CACHE_BYTES // 8
"""What is longer is read past the cache: it would drive out what point reads need, and itself before it is read again."""


class _Piece(NamedTuple):
    """A block that a range meets. Blocks of one layer do not overlap; layers are joined in their order."""

    layer: int
    ref: RunRef
    info: BlockInfo


async def joined_range(
    place: Place,
    layers: Sequence[Sequence[RunRef]],
    recent: Callable[[str, str], Sequence[Record]],
    low: str,
    high: str,
) -> AsyncIterator[Block]:
    """Join ``layers`` over [low, high], cut at block boundaries of the runs; ``recent`` gives what none of them holds.

    Raises ``RunGone`` or ``CorruptObject``.
    """
    refs = [(n, ref) for n, layer in enumerate(layers) for ref in layer if ref.first <= high and ref.last >= low]
    indexes = await load_indexes(place, [ref for _, ref in refs])
    found = (
        _Piece(layer, ref, info)
        for (layer, ref), index in zip(refs, indexes, strict=True)
        for info in index
        if info.first <= high and info.last >= low
    )
    blocks = deque(sorted(found, key=lambda piece: piece.info.first))
    # Conflict entries that this very join makes belong to the chunk of their path, where what settled them lies.
    ends = sorted({last_conflict_key(piece.info.last) for piece in blocks})
    small = sum(piece.info.raw_size for piece in blocks) <= _KEPT_RAW_BYTES
    size, at, start = _FIRST_CHUNK_BLOCKS, 0, low
    near: list[_Piece] = []
    while at < len(ends):
        end = min(ends[min(at + size, len(ends)) - 1], high)
        near = [piece for piece in near if piece.info.last >= start]
        while blocks and blocks[0].info.first <= end:
            near.append(blocks.popleft())
        async for rows in _chunk(place, near, recent(start, end), start, end, keep=small):
            yield rows
        at += size
        size = min(size * 4, _CHUNK_BLOCKS)
        start = end + "\0"
    rest = recent(start, high)
    if rest:
        yield Block.of(rest)


async def _chunk(
    place: Place, near: Sequence[_Piece], recent: Sequence[Record], start: str, end: str, *, keep: bool
) -> AsyncIterator[Block]:
    """All winning records in [start, end]; ``near`` are the blocks that may hold some.

    Blocks that go on behind ``end`` stay in the cache, and with ``keep`` all of them.
    """
    pieces = sorted(near, key=lambda piece: piece.layer)
    wanted = [(piece.ref, piece.info) for piece in pieces]
    loaded = await read_rows(place, wanted, lambda info: keep or info.last > end)
    if not recent and pieces and pieces[0].layer == pieces[-1].layer:
        for rows in loaded:  # there is nothing to join them with
            yield rows.between(start, end)
        return
    layers: dict[int, list[Block]] = {}
    for piece, rows in zip(pieces, loaded, strict=True):
        layers.setdefault(piece.layer, []).append(rows.between(start, end))
    table = EMPTY
    for held in (*map(Block.joined, layers.values()), Block.of(recent)):
        table = join_blocks(table, held).block
    yield table
