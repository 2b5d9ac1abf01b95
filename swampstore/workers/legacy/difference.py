"""What a source has and a namespace has not: both walked in key order.

Invariant: an entry that was written in the namespace by others after the source's file stays: the newest wins, as in a
sync.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container

from swampstore.protocols.snapshot import Snapshot
from swampstore.values.entry import EPHEMERAL, Entry, External, entry_of
from swampstore.workers.legacy.locating import Located
from swampstore.workers.legacy.origin import Origin
from swampstore.workers.legacy.report import ImportReport
from swampstore.workers.legacy.versions import other_file
from swampstore.workers.target import Target


async def difference(
    target: Target,
    origin: Origin,
    located: dict[str, Located],
    unusable: Container[str],
    report: ImportReport,
    *,
    copy: bool,
    metadata: bool,
) -> list[Located]:
    """Those of ``located`` that the namespace is to take, in key order; the others leave it and are counted.

    ``unusable`` are rels that the source lists and that were reported; ``metadata`` says that ``metadata.yaml`` files are
    read.
    """
    held: dict[str, Located] = {}
    async for entry in _entries(await target.snapshot()):
        item = located.get(entry.key)
        if item is None:
            report.vanished += entry.key not in unusable
            continue
        holds = _holds(entry, item, origin, copy=copy, metadata=metadata)
        if holds or _newer(entry, item):
            report.newer_here += not _same(entry, item)
            if holds and item.version and metadata:
                held[entry.key] = item
            report.unchanged += 1
            report.bytes += item.size
            del located[entry.key]
    for key in [key for key, item in located.items() if item.version]:
        other = held.pop(other_file(key), None)
        if other is not None:  # what the one says changes the entry of the other
            report.unchanged -= 1
            report.bytes -= other.size
            located[other.key] = other
    return [located[key] for key in sorted(located)]


async def _entries(snapshot: Snapshot) -> AsyncIterator[Entry]:
    """What was put and not deleted; what has expired since is there too."""
    async for records in snapshot.records():
        for record in records:
            if not record.gone and not record.flags & EPHEMERAL:
                yield entry_of(record)


def _holds(entry: Entry, item: Located, origin: Origin, *, copy: bool, metadata: bool) -> bool:
    """Whether the entry already is what an import of ``item`` would make of it."""
    meta = entry.meta
    if not _same(entry, item) or (meta.unverified and not item.unverified):
        return False
    if metadata and meta.data is not None and not meta.data.data_id:
        return False  # only its path was known
    return not isinstance(meta.at, External) or (not copy and meta.at == origin.location(item.name))


def _same(entry: Entry, item: Located) -> bool:
    meta = entry.meta
    known = item.sha256 is None or meta.sha256 == item.sha256
    return known and meta.size == item.size and meta.modified == item.modified


def _newer(entry: Entry, item: Located) -> bool:
    """Whether somebody wrote the entry after the source's file; what an import made refers to it, or has its time."""
    meta = entry.meta
    return not isinstance(meta.at, External) and (meta.modified or meta.created) > item.modified
