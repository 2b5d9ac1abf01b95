"""One pass over what a gc has to look into: joined records in key order, block by block, in bounded memory.

Level 0 and the log are seen whole; of the shards only what :mod:`~swampstore.workers.gc.candidates` chooses, read by
:mod:`~swampstore.workers.gc.reading`.

Invariants: every record that is handed out has won over every other record of its key in the layers read; what was passed
over, or handed out in part, stands in ``unread`` before anything behind it is handed out.
"""

from __future__ import annotations

import bisect
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from swampstore.errors import SnapshotExpired
from swampstore.protocols.place import Place
from swampstore.protocols.runs import RunGone
from swampstore.protocols.snapshot import Snapshot
from swampstore.values.block import EMPTY
from swampstore.values.entry import Record
from swampstore.values.join import join_into
from swampstore.values.keys import INTERNAL, LAST_SUFFIX
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, decode_block, decode_rows
from swampstore.workers.gc.candidates import Unread, chosen, item_touched
from swampstore.workers.gc.pick import picked
from swampstore.workers.gc.reading import Piece, ShardReader
from swampstore.workers.run_reader import RunReader, StoredBlock


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
        self._shards = ShardReader(place, now_ms)
        self._level0_read = 0
        self.unread = Unread()

    @property
    def runs_read(self) -> int:
        return self._level0_read + self._shards.runs_read

    async def chunks(self) -> AsyncIterator[list[Record]]:
        """Winning records in key order, tombstones and internal keys included. Raises ``SnapshotExpired``.

        Of a block that lies in a shard just what :mod:`~swampstore.workers.gc.pick` leaves of it.
        """
        try:
            upper = await self._open_upper()
            shards = self._root.shards
            numbers, self._items, alone = chosen(shards, self._items, self._now)
            wanted = set(numbers)
            names = {shards[number].name for number in alone}
            reader = self._shards.pieces([shards[number] for number in numbers], self._items, names)
            for number, ref in enumerate(shards):
                if number not in wanted:
                    self.unread.add(ref.first, ref.last)
                    continue
                for chunk in self._of_shard(ref, await anext(reader), upper):
                    yield chunk
            rest = upper.take(LAST_SUFFIX)
            if rest:
                yield _sorted(rest)
        except RunGone as error:
            raise SnapshotExpired(f"this snapshot is too old: {error}", hint="try again") from error

    def _of_shard(self, ref: RunRef, pieces: Sequence[Piece], upper: Upper) -> Iterator[list[Record]]:
        """The records of a shard and what lies above them."""
        name = self._place.full(ref.name)
        end, last = 0, ref.first
        for info, stored in pieces:
            if stored is None:
                assert isinstance(info, BlockInfo)
                rows, low, high = EMPTY, info.first, info.last
            else:
                rows = decode_rows(info, stored, name)
                low, high = rows.keys[0], rows.keys[-1]
            if info.offset > end:
                self.unread.add(last, low)  # blocks that the root did not tell of
            before = upper.take(low)
            if before:
                yield _sorted(before)
            end, last = info.offset + info.size, high
            if stored is None:
                self.unread.add(low, high)
                continue
            above = upper.take(high + INTERNAL)
            yield _joined(picked(rows, above, self._items, self._now).records(), above)
        if end < ref.index_at:
            self.unread.add(last, ref.last)

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
        self._level0_read += len(runs)
        return Upper(runs, self._overlay)

    def _note(self, records: Iterable[Record]) -> None:
        self._items.update(item for record in records if (item := item_touched(record)) is not None)


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
