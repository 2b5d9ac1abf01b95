"""One pass over what a gc has to look into: joined records in key order, block by block, in bounded memory.

Level 0 and the log are seen whole; of the shards only what :mod:`~swampstore.workers.gc.candidates` chooses. A shard is
one request: all of it, or, when its index is known already, the stretch from the first to the last block chosen. Large
ones are two: the index comes first.

Invariants: every record that is handed out has won over every other record of its key in the layers read; what was passed
over stands in ``unread`` before anything behind it is handed out.
"""

from __future__ import annotations

import bisect
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import NamedTuple

from swampstore.errors import SnapshotExpired
from swampstore.limits import MIB
from swampstore.protocols.place import Place
from swampstore.protocols.runs import INDEX_WEIGHT, RunGone, load_indexes, run_body
from swampstore.protocols.snapshot import Snapshot
from swampstore.stores.base import Get
from swampstore.values.entry import Record
from swampstore.values.join import join_into
from swampstore.values.keys import INTERNAL, LAST_SUFFIX
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, decode_block, decode_run, index_span
from swampstore.workers.gc.candidates import Unread, chosen, item_touched
from swampstore.workers.run_reader import RunReader, StoredBlock

_READ_BYTES = 32 * MIB
"""Stored bytes of shards read side by side (always at least one shard)."""
_WHOLE_BYTES = 8 * MIB
"""A shard larger than this takes longer to come than a request does: its index is read first."""
_RUNS_AT_ONCE = 64


class Upper:
    """Everything above the shards, handed out in key order: level-0 runs block by block, then inline and the log."""

    def __init__(self, runs: Sequence[tuple[str, list[StoredBlock]]], overlay: dict[str, Record]) -> None:
        self._cursors = [_Cursor(name, blocks) for name, blocks in runs]
        self._overlay = overlay
        self._keys = sorted(overlay)
        self._at = 0

    def take(self, upper: str) -> dict[str, Record]:
        """Join and hand out every record below ``upper`` that was not handed out before."""
        table: dict[str, Record] = {}
        for cursor in self._cursors:
            join_into(table, cursor.take(upper))
        end = bisect.bisect_left(self._keys, upper, lo=self._at)
        join_into(table, (self._overlay[key] for key in self._keys[self._at : end]))
        self._at = end
        return table


class _Cursor:
    """The position in one level-0 run."""

    def __init__(self, name: str, blocks: list[StoredBlock]) -> None:
        self._name = name
        self._blocks = blocks[::-1]
        self._held: list[Record] = []
        self._at = 0

    def take(self, upper: str) -> list[Record]:
        out: list[Record] = []
        while True:
            cut = bisect.bisect_left(self._held, upper, lo=self._at, key=_key)
            out += self._held[self._at : cut]
            self._at = cut
            if cut < len(self._held) or not self._blocks or self._blocks[-1][0].first >= upper:
                return out
            info, stored = self._blocks.pop()
            self._held, self._at = decode_block(info, stored, self._name), 0


class Scan:
    """One pass. ``unread`` grows while :meth:`chunks` is walked; ``runs_read`` counts the runs that were read."""

    def __init__(self, place: Place, snapshot: Snapshot, now_ms: int) -> None:
        self._place = place
        self._root = snapshot.root
        self._overlay = snapshot.overlay
        self._now = now_ms
        self._items: set[str] = set()
        self.unread = Unread()
        self.runs_read = 0

    async def chunks(self) -> AsyncIterator[list[Record]]:
        """Winning records in key order, tombstones and internal keys included. Raises ``SnapshotExpired``."""
        try:
            upper = await self._open_upper()
            shards = self._root.shards
            numbers, self._items = chosen(shards, self._items, self._now)
            wanted = set(numbers)
            reader = self._stored([shards[number] for number in numbers])
            for number, ref in enumerate(shards):
                if number not in wanted:
                    self.unread.add(ref.first, ref.last)
                    continue
                for info, records in await anext(reader):
                    before = upper.take(info.first)
                    if before:
                        yield _sorted(before)
                    if records is None:
                        self.unread.add(info.first, info.last)
                        continue
                    above = upper.take(info.last + INTERNAL)
                    yield _joined(decode_block(info, records, self._place.full(ref.name)), above)
            rest = upper.take(LAST_SUFFIX)
            if rest:
                yield _sorted(rest)
        except RunGone as error:
            raise SnapshotExpired(f"this snapshot is too old: {error}", hint="try again") from error

    async def _open_upper(self) -> Upper:
        """Read level 0 and note the items it may have to do with."""
        self._note(self._overlay.values())
        runs: list[tuple[str, list[StoredBlock]]] = []
        reader = RunReader(self._place, self._root.level0)
        for ref in self._root.level0:
            name, blocks = self._place.full(ref.name), await reader.next()
            runs.append((name, blocks))
            for info, stored in blocks:
                if info.summary.versions or info.tombstones:
                    self._note(decode_block(info, stored, name))
        self.runs_read += len(runs)
        return Upper(runs, self._overlay)

    def _note(self, records: Iterable[Record]) -> None:
        self._items.update(item for record in records if (item := item_touched(record)) is not None)

    async def _stored(self, refs: Sequence[RunRef]) -> AsyncIterator[list[tuple[BlockInfo, bytes | None]]]:
        """Every block of each shard with its stored bytes, ``None`` for one that need not be looked into."""
        for start in range(0, len(refs), _RUNS_AT_ONCE):
            part = refs[start : start + _RUNS_AT_ONCE]
            large = [ref for ref in part if ref.size > _WHOLE_BYTES]
            indexes = dict(zip((ref.name for ref in large), await load_indexes(self._place, large), strict=True))
            wanted = [self._wanted(ref, indexes.get(ref.name)) for ref in part]
            for together in _batches(wanted):
                async for blocks in self._read(together):
                    yield blocks

    def _wanted(self, ref: RunRef, index: list[BlockInfo] | None) -> _Wanted:
        """What to read of a shard: from the first to the last block chosen, all of it while its index is not known."""
        index = index or self._place.caches.indexes.get(ref.name)
        if index is None:
            return _Wanted(ref, None, frozenset(), None, ref.size)
        marked = self._marks(index)
        if not marked:
            return _Wanted(ref, index, marked, _NONE, 0)
        first, last = index[min(marked)], index[max(marked)]
        size = last.offset + last.size - first.offset
        return _Wanted(ref, index, marked, (first.offset, size), size)

    async def _read(self, together: Sequence[_Wanted]) -> AsyncIterator[list[tuple[BlockInfo, bytes | None]]]:
        """Those of one batch, side by side."""
        asked = [Get(self._place.full(one.ref.name), span=one.span) for one in together if one.span != _NONE]
        answers = iter(await self._place.store.many(asked) if asked else ())
        self.runs_read += len(asked)
        for ref, index, marked, span, _ in together:
            name = self._place.full(ref.name)
            body = run_body(next(answers), name) if span != _NONE else b""
            if index is None:
                index = [info for info, _ in decode_run(ref, body, name)]
                self._place.caches.indexes.put(ref.name, index, index_span(ref)[1] * INDEX_WEIGHT)
                marked = self._marks(index)
            base = span[0] if span else 0
            yield [
                (info, body[info.offset - base : info.offset - base + info.size] if at in marked else None)
                for at, info in enumerate(index)
            ]

    def _marks(self, index: Sequence[BlockInfo]) -> frozenset[int]:
        return frozenset(chosen(index, self._items, self._now)[0])


_NONE = (0, 0)


class _Wanted(NamedTuple):
    """What to read of one shard: ``span`` is ``None`` for all of it, :data:`_NONE` for nothing; ``size`` its bytes."""

    ref: RunRef
    blocks: list[BlockInfo] | None
    marked: frozenset[int]
    span: tuple[int, int] | None
    size: int


def _batches(wanted: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
    """In order, so many at once as their bytes allow (always at least one)."""
    batch: list[_Wanted] = []
    size = 0
    for one in wanted:
        if batch and size + one.size > _READ_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.size
    if batch:
        yield batch


def _joined(held: list[Record], above: dict[str, Record]) -> list[Record]:
    if not above:
        return held
    table = {record.key: record for record in held}
    join_into(table, above.values())
    return _sorted(table)


def _sorted(table: dict[str, Record]) -> list[Record]:
    return [table[key] for key in sorted(table)]


def _key(record: Record) -> str:
    return record.key
