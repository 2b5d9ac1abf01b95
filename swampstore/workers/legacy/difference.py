"""What a source has and a namespace has not: both walked in key order.

Invariant: an entry that was written in the namespace by others after the source's file stays: the newest wins, as in a
sync.
"""

from __future__ import annotations

from collections.abc import Container

from swampstore.values.entry import Entry, External
from swampstore.workers.legacy.locating import Located
from swampstore.workers.legacy.origin import Origin
from swampstore.workers.legacy.report import ImportReport
from swampstore.workers.target import Target


async def difference(
    target: Target,
    origin: Origin,
    located: dict[str, Located],
    unusable: Container[str],
    report: ImportReport,
    *,
    copy: bool,
) -> list[Located]:
    """Those of ``located`` that the namespace is to take, in key order; the others leave it and are counted.

    ``unusable`` are rels that the source lists and that were reported.
    """
    async for chunk in (await target.snapshot()).scan():
        for entry in chunk:
            item = located.get(entry.key)
            if item is None:
                report.vanished += entry.key not in unusable
            elif _holds(entry, item, origin, copy=copy) or _newer(entry, item):
                report.newer_here += not _same(entry, item)
                report.unchanged += 1
                report.bytes += item.size
                del located[entry.key]
    return [located[key] for key in sorted(located)]


def _holds(entry: Entry, item: Located, origin: Origin, *, copy: bool) -> bool:
    """Whether the entry already is what an import of ``item`` would make of it."""
    meta = entry.meta
    if not _same(entry, item) or (meta.unverified and not item.unverified):
        return False
    return not isinstance(meta.at, External) or (not copy and meta.at == origin.location(item.name))


def _same(entry: Entry, item: Located) -> bool:
    meta = entry.meta
    known = item.sha256 is None or meta.sha256 == item.sha256
    return known and meta.size == item.size and meta.modified == item.modified


def _newer(entry: Entry, item: Located) -> bool:
    """Whether somebody wrote the entry after the source's file; what an import made refers to it, or has its time."""
    meta = entry.meta
    return not isinstance(meta.at, External) and (meta.modified or meta.created) > item.modified
