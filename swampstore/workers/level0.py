"""Level 0 as a merge sees it: every record that waits above the shards, joined, in key order, a range at a time.

Records stay columns (:mod:`swampstore.values.block`) all the way: only those that meet another of their key are looked at.

Invariants:
- Every record of every run and of the inline part is handed out or dropped exactly once; the sums of both are kept.
- Memory is bounded by the range asked for plus a read-ahead per run, not by the size of level 0.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from swampstore.errors import CorruptObject
from swampstore.limits import MIB
from swampstore.protocols.place import Place
from swampstore.protocols.runs import load_indexes, run_body
from swampstore.stores.base import Get
from swampstore.values.block import EMPTY, Block, join_blocks
from swampstore.values.entry import Record, record_sums
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, decode_rows
from swampstore.workers.tally import Tally

READ_AHEAD_BYTES = 4 * MIB
READ_BYTES = 32 * MIB
END = "\U0010ffff" * 1024
"""Above every key."""


class Ledger:
    """What a merge loses and makes on its way, for the check of sums and for the counts of contents."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.made_sum = 0
        self.dropped_sum = 0
        self.dropped = 0
        self.tombstones = 0

    def join(self, held: Block, more: Block) -> Block:
        """The joint of two blocks; what is lost and made is accounted for."""
        joint = join_blocks(held, more)
        if joint.made:
            self.tally.added(joint.made)
            self.made_sum += record_sums(joint.made)
        if joint.dropped:
            self.tally.dropped(joint.dropped)
            self.dropped_sum += record_sums(joint.dropped)
            self.dropped += len(joint.dropped)
        return joint.block

    def bury(self, tombstones: Block) -> None:
        """Tombstones that nothing needs any more leave the manifest."""
        self.dropped_sum += tombstones.sum
        self.tombstones += len(tombstones)


class _Cursor:
    """The position in one run."""

    def __init__(self, ref: RunRef, blocks: Sequence[BlockInfo], name: str) -> None:
        self.ref = ref
        self.blocks = blocks
        self._name = name
        self._at = 0
        self._stored: dict[int, bytes] = {}
        self._held = EMPTY
        self._pos = 0

    def wants(self, upper: str) -> tuple[int, list[BlockInfo]] | None:
        """The first block number and the blocks to read before records below ``upper`` can be taken."""
        start = self._at
        while start in self._stored:
            start += 1
        if start == len(self.blocks) or self.blocks[start].first >= upper:
            return None
        wanted: list[BlockInfo] = []
        size = 0
        for info in self.blocks[start:]:
            if size >= READ_AHEAD_BYTES and (info.first >= upper or size >= READ_BYTES):
                break
            wanted.append(info)
            size += info.size
        return start, wanted

    def feed(self, start: int, blocks: Sequence[BlockInfo], body: bytes) -> None:
        base = blocks[0].offset
        for number, info in enumerate(blocks, start):
            self._stored[number] = body[info.offset - base : info.offset - base + info.size]

    def take(self, upper: str) -> Block:
        """The records below ``upper`` that were not taken yet, as far as they have been read."""
        parts: list[Block] = []
        while True:
            if self._pos < len(self._held):
                cut = bisect.bisect_left(self._held.keys, upper, lo=self._pos)
                parts.append(self._held.cut(self._pos, cut))
                self._pos = cut
                if cut < len(self._held):
                    break
            if self._at not in self._stored or self.blocks[self._at].first >= upper:
                break
            self._held = decode_rows(self.blocks[self._at], self._stored.pop(self._at), self._name)
            self._pos = 0
            self._at += 1
        return Block.joined(parts) if parts else EMPTY


class Level0:
    """A cursor over level 0. ``inline`` is the part of the root's inline records that the merge takes along."""

    def __init__(
        self, place: Place, refs: Sequence[RunRef], indexes: Sequence[Sequence[BlockInfo]], inline: Sequence[Record]
    ) -> None:
        self._place = place
        self._cursors = [_Cursor(ref, index, place.full(ref.name)) for ref, index in zip(refs, indexes, strict=True)]
        self.inline = Block.of(inline)
        self._inline_pos = 0
        self._returned = EMPTY

    @classmethod
    async def open(cls, place: Place, refs: Sequence[RunRef], inline: Sequence[Record]) -> Level0:
        """Read the block indexes. Raises ``RunGone`` or ``CorruptObject``."""
        indexes = await load_indexes(place, refs)
        for ref, index in zip(refs, indexes, strict=True):
            if sum(info.sum for info in index) != ref.sum or sum(info.count for info in index) != ref.count:
                name = place.full(ref.name)
                raise CorruptObject(f"{name}: its index does not hold what the root says", name=name)
        return cls(place, refs, indexes, sorted(inline, key=_key))

    @property
    def blocks(self) -> list[tuple[RunRef, BlockInfo]]:
        """Every block of every run."""
        return [(cursor.ref, info) for cursor in self._cursors for info in cursor.blocks]

    def stops(self, low: str, high: str, step: int) -> list[str]:
        """Keys that cut the open range into parts of about ``step`` blocks that lie wholly inside it."""
        firsts: list[str] = []
        for cursor in self._cursors:
            at = bisect.bisect_right(cursor.blocks, low, key=_first)
            while at < len(cursor.blocks) and cursor.blocks[at].last < high:
                firsts.append(cursor.blocks[at].first)
                at += 1
        firsts.sort()
        return firsts[step::step]

    async def take(self, upper: str, ledger: Ledger) -> Block:
        """Join and hand out every record below ``upper`` that was not handed out before."""
        cut = bisect.bisect_left(self._returned.keys, upper)
        rows, self._returned = self._returned.cut(0, cut), self._returned.cut(cut, len(self._returned))
        start = self._inline_pos
        self._inline_pos = bisect.bisect_left(self.inline.keys, upper, lo=start)
        rows = ledger.join(rows, self.inline.cut(start, self._inline_pos))
        while wanted := [(cursor, ask) for cursor in self._cursors if (ask := cursor.wants(upper)) is not None]:
            await self._read(wanted)
            for cursor in self._cursors:
                rows = ledger.join(rows, cursor.take(upper))
        for cursor in self._cursors:
            rows = ledger.join(rows, cursor.take(upper))
        return self.give_back(rows, upper, ledger)

    def give_back(self, rows: Block, upper: str, ledger: Ledger) -> Block:
        """What lies below ``upper``; what a join made above it (conflict entries) is kept for the next range."""
        if not rows or rows.keys[-1] < upper:
            return rows
        cut = bisect.bisect_left(rows.keys, upper)
        self._returned = ledger.join(self._returned, rows.cut(cut, len(rows)))
        return rows.cut(0, cut)

    @property
    def empty(self) -> bool:
        """Whether nothing that was given back is left."""
        return not self._returned

    async def _read(self, wanted: Sequence[tuple[_Cursor, tuple[int, list[BlockInfo]]]]) -> None:
        answers = await self._place.store.many(
            [
                Get(self._place.full(cursor.ref.name), span=(blocks[0].offset, sum(info.size for info in blocks)))
                for cursor, (_, blocks) in wanted
            ]
        )
        for (cursor, (start, blocks)), answer in zip(wanted, answers, strict=True):
            cursor.feed(start, blocks, run_body(answer, self._place.full(cursor.ref.name)))


def _key(record: Record) -> str:
    return record.key


def _first(info: BlockInfo) -> str:
    return info.first
