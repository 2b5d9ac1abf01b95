"""The shards a gc has chosen, as stored blocks: what of each is read, and in which requests.

A shard is one request: the stretch from the first to the last block chosen, where the index is known already or the root
tells of them (:mod:`~swampstore.values.soonest`); else all of it. Large ones are two requests then: the index comes first.
All together may take one request more, which saves the widest gap between two blocks.

Invariants: every block that is chosen is handed out, in key order; of a whole shard the digest is checked, of any block its
own checksum where it is decoded.
"""

from __future__ import annotations

import bisect
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from swampstore.errors import CorruptObject
from swampstore.limits import KIB, MIB
from swampstore.protocols.place import Place
from swampstore.protocols.runs import INDEX_WEIGHT, load_indexes, run_body
from swampstore.stores.base import Get, Outcome
from swampstore.values.batches import batches
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, decode_run, index_span
from swampstore.values.soonest import Spot
from swampstore.workers.gc.candidates import chosen

_READ_BYTES = 32 * MIB
"""Stored bytes of shards read side by side (always at least one shard)."""
_WHOLE_BYTES = 8 * MIB
"""A shard larger than this takes longer to come than a request does: its index is read first."""
_GAP_BYTES = 256 * KIB
"""A gap between two blocks that is wider than this takes longer to come than a request costs."""
_RUNS_AT_ONCE = 64

Piece = tuple[BlockInfo | Spot, bytes | None]
"""A block and its stored bytes: ``None`` for one that need not be looked into."""


class ShardReader:
    """Reads shards for one gc at ``now_ms``. ``runs_read`` counts those of which anything was read."""

    def __init__(self, place: Place, now_ms: int) -> None:
        self._place = place
        self._now = now_ms
        self._spare = 1
        self.runs_read = 0

    async def pieces(
        self, refs: Sequence[RunRef], items: set[str], alone: Collection[str]
    ) -> AsyncIterator[list[Piece]]:
        """The blocks of each of ``refs``: of those named in ``alone`` maybe just spots, else every one.

        ``items`` are those that must be read whole.
        """
        for start in range(0, len(refs), _RUNS_AT_ONCE):
            part = refs[start : start + _RUNS_AT_ONCE]
            spots = [self._due(ref) if ref.name in alone else None for ref in part]
            large = [ref for ref, due in zip(part, spots, strict=True) if due is None and ref.size > _WHOLE_BYTES]
            indexes = dict(zip((ref.name for ref in large), await load_indexes(self._place, large), strict=True))
            wanted = [
                _Wanted(ref, due, due) if due is not None else self._wanted(ref, indexes.get(ref.name), items)
                for ref, due in zip(part, spots, strict=True)
            ]
            for together in batches(wanted, lambda one: one.size, _READ_BYTES):
                async for blocks in self._read(together, items):
                    yield blocks

    def _due(self, ref: RunRef) -> Sequence[Spot] | None:
        """The blocks whose time has come, if the root tells of them all and the index is not known."""
        spots = ref.soonest.at(self._now) if self._place.caches.indexes.get(ref.name) is None else None
        if spots and not all(0 <= spot.offset < _end(spot) <= ref.index_at and spot.count > 0 for spot in spots):
            raise CorruptObject(f"{ref.name}: the root tells of blocks outside of it", name=ref.name)
        return spots or None

    def _wanted(self, ref: RunRef, index: list[BlockInfo] | None, items: set[str]) -> _Wanted:
        index = index or self._place.caches.indexes.get(ref.name)
        return _Wanted(ref, index, self._marked(index, items) if index is not None else None)

    def _marked(self, index: Sequence[BlockInfo], items: set[str]) -> list[BlockInfo]:
        return [index[number] for number in chosen(index, items, self._now).numbers]

    async def _read(self, together: Sequence[_Wanted], items: set[str]) -> AsyncIterator[list[Piece]]:
        """Those of one batch, side by side."""
        cut = self._cut(together)
        spans = [one.spans(cut) for one in together]
        asked = [
            Get(self._place.full(one.ref.name), span=span)
            for one, several in zip(together, spans, strict=True)
            for span in several
        ]
        answers = iter(await self._place.store.many(asked) if asked else ())
        for one, several in zip(together, spans, strict=True):
            self.runs_read += bool(several)
            yield self._split(one, several, answers, items)

    def _split(
        self, one: _Wanted, spans: Sequence[_Span | None], answers: Iterator[Outcome], items: set[str]
    ) -> list[Piece]:
        name = self._place.full(one.ref.name)
        bodies = [((span or (0, 0))[0], run_body(next(answers), name)) for span in spans]
        known, marked = one.known, one.marked
        if known is None or marked is None:
            index = [info for info, _ in decode_run(one.ref, bodies[0][1], name)]
            self._place.caches.indexes.put(one.ref.name, index, index_span(one.ref)[1] * INDEX_WEIGHT)
            known, marked = index, self._marked(index, items)
        wanted = {info.offset for info in marked}
        return [(info, _stored(bodies, info) if info.offset in wanted else None) for info in known]

    def _cut(self, together: Sequence[_Wanted]) -> _Gap | None:
        """The gap that is left out; there is one for the whole gc."""
        gaps = [gap for one in together for gap in one.gaps() if gap.size > _GAP_BYTES] if self._spare else []
        if not gaps:
            return None
        self._spare -= 1
        return max(gaps, key=lambda gap: gap.size)


_Span = tuple[int, int]


class _Gap(NamedTuple):
    """Bytes between two blocks of a run that are of no interest."""

    name: str
    at: int
    size: int


class _Wanted(NamedTuple):
    """What to read of one shard: of the blocks ``known`` those ``marked``; all of it when there are none such."""

    ref: RunRef
    known: Sequence[BlockInfo | Spot] | None
    marked: Sequence[BlockInfo | Spot] | None

    @property
    def size(self) -> int:
        """How many bytes are read at most."""
        if self.marked is None:
            return self.ref.size
        return _end(self.marked[-1]) - self.marked[0].offset if self.marked else 0

    def gaps(self) -> list[_Gap]:
        """The gaps between blocks that are read."""
        marked = self.marked or ()
        return [_Gap(self.ref.name, _end(one), other.offset - _end(one)) for one, other in pairwise(marked)]

    def spans(self, cut: _Gap | None) -> list[_Span | None]:
        """What to ask for, a request each: ``None`` is all of it."""
        if self.marked is None:
            return [None]
        if not self.marked:
            return []
        first, end = self.marked[0].offset, _end(self.marked[-1])
        if cut is None or cut.name != self.ref.name:
            return [(first, end - first)]
        return [(first, cut.at - first), (cut.at + cut.size, end - cut.at - cut.size)]


def _end(info: BlockInfo | Spot) -> int:
    return info.offset + info.size


def _stored(bodies: Sequence[tuple[int, bytes]], info: BlockInfo | Spot) -> bytes:
    """The bytes of a block, from the one of ``bodies`` (with their offsets, rising) that holds it."""
    start, body = bodies[bisect.bisect_right(bodies, info.offset, key=lambda one: one[0]) - 1]
    return body[info.offset - start : info.offset - start + info.size]
