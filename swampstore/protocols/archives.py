"""Reading audit records by topic and time over archives and the log (from a position on: ``audit_changes``).

Invariants:
- Every record acknowledged before the read began, each once, in order of time.
- What a compaction overtakes is read again from the root, a bounded number of times, going on where it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from swampstore.errors import SnapshotExpired
from swampstore.limits import READ_RESTARTS
from swampstore.protocols.archive_runs import Block, load_archive_blocks, load_archive_indexes
from swampstore.protocols.audit_changes import AuditChanges, AuditPosition, changes
from swampstore.protocols.place import Place
from swampstore.protocols.runs import RunGone
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
)
from swampstore.values.audit_parquet import is_parquet
from swampstore.values.entry import AUDIT, Record
from swampstore.values.root import Root, RunRef

_CHUNK_BLOCKS = 8
_BEHIND = "\U0010ffff"


class Archives:
    """The audit records of one namespace, for reading."""

    def __init__(self, place: Place, reader: SnapshotReader) -> None:
        self.place = place
        self._reader = reader

    async def open(self) -> Snapshot:
        """What the namespace holds now."""
        return await self._reader.open()

    # --- by time ------------------------------------------------------------------------------------------------

    async def read(self, topic: str, since: int | None, until: int | None) -> AsyncIterator[AuditRecord]:
        """The records of ``topic`` from ``since`` to before ``until`` (ms), in order of time; memory is bounded."""
        low, high = topic_span(topic, since, until)
        for last in range(READ_RESTARTS, 0, -1):
            snapshot = await self.open()
            try:
                async for records in self.chunks(snapshot, topic, low, high):
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
        async for records in self.chunks(snapshot, topic, low, high):
            yield records

    async def chunks(
        self, snapshot: Snapshot, topic: str, low: str, high: str, *, parquet: bool = True
    ) -> AsyncIterator[list[Record]]:
        """The records in [low, high), in key order, cut at block boundaries; with or without those in Parquet files.

        Raises ``RunGone``.
        """
        loose = _loose(snapshot, low, high)
        refs = [one.run for one in snapshot.root.audit.fresh]
        refs += [run_of(topic, file) for file in await self.files(snapshot.root, topic, low, high)]
        if not parquet:
            refs = [ref for ref in refs if not is_parquet(ref.name)]
        blocks = await self.blocks(refs, low, high)
        ends = sorted({info.last for _, info in blocks})
        start = low
        for at in range(0, len(ends), _CHUNK_BLOCKS):
            end = ends[min(at + _CHUNK_BLOCKS, len(ends)) - 1] + "\0"
            wanted = [block for block in blocks if block[1].first < end and block[1].last >= start]
            yield _joined([*await self.load(wanted), loose], start, min(end, high))
            start = end
        yield _joined([loose], start, high)

    async def load(self, blocks: Sequence[Block]) -> list[list[Record]]:
        """The records of each block."""
        return await load_archive_blocks(self.place, blocks)

    async def parquet_files(self, snapshot: Snapshot, topic: str, low: str, high: str) -> list[RunRef]:
        """The Parquet archives that may hold records of ``topic`` with keys in [low, high)."""
        refs = [one.run for one in snapshot.root.audit.fresh]
        refs += [run_of(topic, file) for file in await self.files(snapshot.root, topic, low, high)]
        return [ref for ref in refs if is_parquet(ref.name)]

    async def blocks(self, refs: Sequence[RunRef], low: str, high: str) -> list[Block]:
        """The blocks of ``refs`` that may hold keys in [low, high)."""
        wanted = [ref for ref in refs if ref.first < high and ref.last >= low]
        indexes = await load_archive_indexes(self.place, wanted)
        return [
            (ref, info)
            for ref, index in zip(wanted, indexes, strict=True)
            for info in index
            if info.first < high and info.last >= low
        ]

    async def files(
        self, root: Root, topic: str, low: str = "", high: str = _BEHIND, *, since_fold: int = -1
    ) -> list[AuditFile]:
        """The sorted archives of ``topic`` that may hold keys in [low, high), taken in after ``since_fold``."""
        spans = [(PAST, PAST), days_between(low, high), (FUTURE, FUTURE)]
        found: list[AuditFile] = []
        seen: set[str] = set()
        for begin, end in spans:
            blocks = await self.blocks(root.audit.catalog, f"{begin}\0", f"{end}\1")
            for records in await self.load(blocks):
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

    async def changes(self, topic: str, after: AuditPosition, *, limit: int | None = None) -> AuditChanges:
        """See :func:`swampstore.protocols.audit_changes.changes`."""
        return await changes(self, topic, after, limit)


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
