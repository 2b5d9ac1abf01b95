"""Reading audit records: by topic and time over archives and the log, or from a position on.

Invariants:
- Read by time: every record acknowledged before the read began, each once, in order of time.
- Read from a position: what was folded since, and what is in the log unfolded and was not yet given. A record is found
  whatever time it bears, because a position is one in the order of folds and slots, not of times.
- What a compaction overtakes is read again from the root, a bounded number of times, going on where it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from swampstore.errors import Misuse, SnapshotExpired
from swampstore.limits import READ_RESTARTS
from swampstore.protocols.log import Broken, SegmentGone, fetch
from swampstore.protocols.place import Place
from swampstore.protocols.runs import RunGone, load_blocks, load_indexes
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.values.audit import (
    FUTURE,
    PAST,
    AuditFile,
    AuditRecord,
    catalog_parts,
    days_between,
    file_of,
    first_of,
    run_of,
    shown,
    topic_span,
    value_of,
)
from swampstore.values.entry import AUDIT, Record
from swampstore.values.root import Root, RunRef
from swampstore.values.run import BlockInfo

_CHUNK_BLOCKS = 8
_BEHIND = "\U0010ffff"

Block = tuple[RunRef, BlockInfo]


class AuditPosition(msgspec.Struct, frozen=True):
    """Between two records of a topic, in the order they were committed. ``str()`` of it may be kept; see :meth:`parse`.

    Everything folded up to root version ``fold`` has been given, and of the lanes in ``slots`` what lies up to there.
    """

    fold: int = 0
    slots: dict[str, int] = {}

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def parse(cls, text: str) -> AuditPosition:
        """The position that ``text`` (from ``str()``) names. Raises ``Misuse``."""
        try:
            return _decode_position(text)
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
            raise Misuse(
                f"no position of an audit topic: {text[:100]!r}", hint="pass on what a read returned"
            ) from error


_decode_position = msgspec.json.Decoder(AuditPosition).decode


class AuditChanges(msgspec.Struct, frozen=True):
    """The ``records`` committed since a position, in that order, and the position behind them."""

    records: list[AuditRecord]
    after: AuditPosition


class Archives:
    """The audit records of one namespace, for reading."""

    def __init__(self, place: Place, reader: SnapshotReader) -> None:
        self._place = place
        self._reader = reader

    # --- by time ------------------------------------------------------------------------------------------------

    async def read(self, topic: str, since: int | None, until: int | None) -> AsyncIterator[AuditRecord]:
        """The records of ``topic`` from ``since`` to before ``until`` (ms), in order of time; memory is bounded."""
        low, high = topic_span(topic, since, until)
        for last in range(READ_RESTARTS, 0, -1):
            snapshot = await self._reader.open()
            try:
                async for records in self._chunks(snapshot, topic, low, high):
                    for record in records:
                        low = record.key + "\0"
                        yield shown(record)
                return
            except RunGone as error:
                if last == 1:
                    raise SnapshotExpired(f"the archives moved on during every read: {error}") from error

    async def records(self, snapshot: Snapshot, topic: str) -> AsyncIterator[list[Record]]:
        """All records of ``topic`` in ``snapshot`` as they are stored, in key order, in chunks. Raises ``RunGone``."""
        low, high = topic_span(topic, None, None)
        async for records in self._chunks(snapshot, topic, low, high):
            yield records

    async def _chunks(self, snapshot: Snapshot, topic: str, low: str, high: str) -> AsyncIterator[list[Record]]:
        """The records in [low, high), in key order, cut at block boundaries."""
        loose = _loose(snapshot, low, high)
        refs = [one.run for one in snapshot.root.audit.fresh]
        refs += [run_of(topic, file) for file in await self._files(snapshot.root, topic, low, high)]
        blocks = await self._blocks(refs, low, high)
        ends = sorted({info.last for _, info in blocks})
        start = low
        for at in range(0, len(ends), _CHUNK_BLOCKS):
            end = ends[min(at + _CHUNK_BLOCKS, len(ends)) - 1] + "\0"
            wanted = [block for block in blocks if block[1].first < end and block[1].last >= start]
            yield _joined([*await load_blocks(self._place, wanted), loose], start, min(end, high))
            start = end
        yield _joined([loose], start, high)

    async def _blocks(self, refs: Sequence[RunRef], low: str, high: str) -> list[Block]:
        wanted = [ref for ref in refs if ref.first < high and ref.last >= low]
        indexes = await load_indexes(self._place, wanted)
        return [
            (ref, info)
            for ref, index in zip(wanted, indexes, strict=True)
            for info in index
            if info.first < high and info.last >= low
        ]

    async def _files(
        self, root: Root, topic: str, low: str = "", high: str = _BEHIND, *, since_fold: int = -1
    ) -> list[AuditFile]:
        """The sorted archives of ``topic`` that may hold keys in [low, high), taken in after ``since_fold``."""
        spans = [(PAST, PAST), days_between(low, high), (FUTURE, FUTURE)]
        found: list[AuditFile] = []
        seen: set[str] = set()
        for begin, end in spans:
            blocks = await self._blocks(root.audit.catalog, f"{begin}\0", f"{end}\1")
            for records in await load_blocks(self._place, blocks):
                for record in records:
                    if record.key in seen or catalog_parts(record.key)[1] != topic:
                        continue
                    seen.add(record.key)
                    file = file_of(record)
                    run = run_of(topic, file)
                    if run.first < high and run.last >= low and file.last_fold > since_fold:
                        found.append(file)
        return found

    # --- from a position ----------------------------------------------------------------------------------------

    async def changes(self, topic: str, after: AuditPosition) -> AuditChanges:
        """What was committed since ``after``. All of it is in memory at once: begin with a position, not at the beginning.

        Raises ``Misuse`` for a position that this namespace cannot have given.
        """
        for last in range(READ_RESTARTS, 0, -1):
            snapshot = await self._reader.open()
            if after.fold > snapshot.root.version:
                raise Misuse(
                    f"the position is of root version {after.fold}, the namespace is at {snapshot.root.version}",
                    hint="was the store restored from a backup? read by time, then go on from a new position",
                )
            try:
                return await self._since(snapshot, topic, after)
            except (RunGone, SegmentGone) as error:
                if last == 1:
                    raise SnapshotExpired(f"the log moved on during every read: {error}") from error
        raise AssertionError("unreachable")

    async def _since(self, snapshot: Snapshot, topic: str, after: AuditPosition) -> AuditChanges:
        root = snapshot.root
        low, high = topic_span(topic, None, None)
        refs = [one.run for one in root.audit.fresh if one.last_fold > after.fold]
        if root.audit.sorted > after.fold:
            refs += [run_of(topic, file) for file in await self._files(root, topic, since_fold=after.fold)]
        table: dict[str, Record] = {}
        blocks = await self._blocks(refs, low, high)
        for start in range(0, len(blocks), _CHUNK_BLOCKS):
            for records in await load_blocks(self._place, blocks[start : start + _CHUNK_BLOCKS]):
                _take(table, (record for record in records if _is_new(record, after)), low, high)
        _take(table, (record for record in root.audit.inline if _is_new(record, after)), low, high)
        found = sorted(table.values(), key=_order)
        fresh = [slot for slot in snapshot.slots if slot[1] > after.slots.get(slot[0], 0)]
        for segment in await fetch(self._place, fresh):
            if isinstance(segment, Broken):
                continue
            for record in segment.records:
                if record.flags & AUDIT and low <= record.key < high and record.key not in table:
                    table[record.key] = record
                    found.append(record)
        slots: dict[str, int] = {}
        for lane, slot in snapshot.slots:
            slots[lane] = max(slot, slots.get(lane, 0))
        return AuditChanges([shown(record) for record in found], AuditPosition(root.version, slots))


def _is_new(record: Record, after: AuditPosition) -> bool:
    value = value_of(record)
    return value.fold > after.fold and value.slot > after.slots.get(value.lane, 0)


def _order(record: Record) -> tuple[int, str, int, str]:
    value = value_of(record)
    return value.fold, value.lane, value.slot, record.key


def _loose(snapshot: Snapshot, low: str, high: str) -> list[Record]:
    """What no archive holds yet: inline in the root, or in the log."""
    inline = [record for record in snapshot.root.audit.inline if low <= record.key < high]
    late = [record for key, record in snapshot.overlay.items() if record.flags & AUDIT and low <= key < high]
    return inline + late


def _take(table: dict[str, Record], records: Iterable[Record], low: str, high: str) -> None:
    for record in records:
        if low <= record.key < high:
            held = table.get(record.key)
            table[record.key] = record if held is None else first_of(held, record)


def _joined(layers: Iterable[Sequence[Record]], low: str, high: str) -> list[Record]:
    """The records of all layers in [low, high), each once, in key order."""
    table: dict[str, Record] = {}
    for records in layers:
        _take(table, records, low, high)
    return [table[key] for key in sorted(table)]
