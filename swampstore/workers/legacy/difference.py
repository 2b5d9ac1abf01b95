"""What a source has and a namespace has not: both walked in key order.

Invariants:
- An entry that was written in the namespace by others after the source's file stays: the newest wins, as in a sync.
- So does a deletion: what was deleted here since the source's file was written is not brought back unless asked for.
  The two files of a version go together: if either is deleted here, neither comes back.
"""

from __future__ import annotations

from collections.abc import Container

from swampstore.values.entry import EPHEMERAL, Entry, External, entry_of
from swampstore.values.version import version_ms
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
    revive: bool = False,
) -> list[Located]:
    """Those of ``located`` that the namespace is to take, in key order; the others leave it and are counted.

    ``unusable`` are rels that the source lists and that were reported; ``metadata`` says that ``metadata.yaml`` files are
    read; ``revive`` takes what was deleted here too.
    """
    held: dict[str, Located] = {}
    deleted: list[Located] = []
    async for records in (await target.snapshot()).records():
        for record in records:
            if record.gone:
                item = located.get(record.key)
                # The tombstone of one version has the time of that version: what was written later, it had not seen.
                if item is not None and not revive and item.modified <= version_ms(record.version):
                    deleted.append(item)
                continue
            if record.flags & EPHEMERAL:
                continue
            entry = entry_of(record)  # what has expired since is there too
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
    _leave_deleted(located, deleted, report)
    for key in [key for key, item in located.items() if item.version]:
        other = held.pop(other_file(key), None)
        if other is not None:  # what the one says changes the entry of the other
            report.unchanged -= 1
            report.bytes -= other.size
            located[other.key] = other
    return [located[key] for key in sorted(located)]


def _leave_deleted(located: dict[str, Located], deleted: list[Located], report: ImportReport) -> None:
    """Take what was deleted here, with the other files of the versions among it, out of ``located``."""
    for item in deleted:
        for key in (item.key, other_file(item.key)) if item.version else (item.key,):
            if located.pop(key, None) is not None:
                report.left_deleted(key)


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
