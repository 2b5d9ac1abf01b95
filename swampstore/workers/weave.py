"""Level 0 woven into one shard: blocks that a change meets are decoded and joined, all others are copied as they are.

Invariants: what comes out is in rising key order; a block is decoded only if a change lies in its range, if it holds
tombstones that may have to go, or if it is joined with a small rest beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.errors import Inconsistent
from swampstore.limits import BLOCK_RAW_BYTES, MIB
from swampstore.values.block import EMPTY, Block
from swampstore.values.entry import TOMBSTONE, Record
from swampstore.values.join import conflict_of
from swampstore.values.run import BlockInfo, decode_rows
from swampstore.values.version import version_ms
from swampstore.workers.level0 import Ledger, Level0
from swampstore.workers.outputs import Outputs
from swampstore.workers.run_reader import StoredBlock

_WINDOW_BLOCKS = 32
"""Level-0 blocks joined at a time where no shard block lies between them."""
_GROUP_BYTES = 1 * MIB
_SMALL_BLOCK_BYTES = BLOCK_RAW_BYTES // 4
_GOOD_BYTES = BLOCK_RAW_BYTES * 3 // 4, BLOCK_RAW_BYTES * 3 // 2
"""What takes so much is written as one block: decoded, joined and encoded while it is in the processor's cache."""


class Burial:
    """Which tombstones may be dropped: those older than ``line_ms`` whose key no later level holds.

    ``kept`` are keys that lie in a part of level 0 that is not merged. A line of 0 or less drops nothing.
    """

    def __init__(self, line_ms: int, kept: frozenset[str]) -> None:
        self.line_ms = line_ms
        self._kept = kept

    def due(self, record: Record) -> bool:
        return record.gone and version_ms(record.version) < self.line_ms and record.key not in self._kept


class Weaver:
    """Weaves one shard after the other into ``outputs``."""

    def __init__(self, level0: Level0, outputs: Outputs, ledger: Ledger, burial: Burial) -> None:
        self._level0 = level0
        self._outputs = outputs
        self._ledger = ledger
        self._burial = burial
        self._pending: list[Block] = []
        self._pending_bytes = 0

    async def shard(self, blocks: Sequence[StoredBlock], upper: str, name: str) -> None:
        """Weave the changes below ``upper`` into the shard called ``name``, whose blocks these are."""
        if not blocks:
            await self._gap("", upper)
        for number, (info, stored) in enumerate(blocks):
            end = _bound(blocks[number + 1][0], info) if number + 1 < len(blocks) else upper
            stops = self._level0.stops(info.last, end, _WINDOW_BLOCKS)
            here = stops[0] if stops else end
            changes = await self._level0.take(here, self._ledger)
            if changes or self._must_decode(info):
                self._join(changes, decode_rows(info, stored, name), here, info.raw_size)
            else:
                self._flush()
                self._outputs.block(info, stored)
            if stops:
                await self._gap(here, end)
        if not self._level0.empty:
            raise Inconsistent(f"{name}: a conflict entry fell behind its shard; nothing was published")

    def finish(self) -> None:
        """No adjacent shard follows."""
        self._flush()

    async def _gap(self, low: str, upper: str) -> None:
        """Changes where the shard has nothing, a window at a time."""
        for stop in (*self._level0.stops(low, upper, _WINDOW_BLOCKS), upper):
            self._join(await self._level0.take(stop, self._ledger), EMPTY, stop, 0)
            await self._outputs.write()

    def _must_decode(self, info: BlockInfo) -> bool:
        beside_small = self._pending and min(info.raw_size, self._pending_bytes) < _SMALL_BLOCK_BYTES
        return bool(beside_small) or (info.tombstones > 0 and self._burial.line_ms > 0)

    def _join(self, changes: Block, held: Block, upper: str, held_bytes: int) -> None:
        """``held_bytes`` is what ``held`` takes."""
        rows = self._level0.give_back(self._ledger.join(held, changes), upper, self._ledger)
        size = held_bytes + changes.raw_bytes  # at most: what was replaced is counted as well
        if self._burial.line_ms > 0 and (due := rows.numbers(TOMBSTONE, self._burial.due)):
            self._ledger.bury(rows.pick(due))
            rows = rows.without(due)
            size = rows.raw_bytes
        if not rows:
            return
        if not self._pending and _GOOD_BYTES[0] <= size <= _GOOD_BYTES[1]:
            self._outputs.whole(rows)
        else:
            self._pending.append(rows)
            self._pending_bytes += size
            if self._pending_bytes >= _GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        rows, parts = Block.joined(self._pending), max(1, self._pending_bytes // _GROUP_BYTES)
        step = -(-len(rows) // parts)
        for start in range(0, len(rows), step):
            self._outputs.rows(rows.cut(start, start + step))
        self._pending, self._pending_bytes = [], 0


def _bound(following: BlockInfo, info: BlockInfo) -> str:
    """Where the range of ``info`` ends: a path and its conflict entries are joined in one go."""
    path = conflict_of(following.first)
    return path if path is not None and path > info.last else following.first
