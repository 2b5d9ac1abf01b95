"""Which audit topics a namespace has, and how much is in each: from the catalog, and from what is not sorted yet."""

from __future__ import annotations

import msgspec

from swampstore.protocols.archives import Archives
from swampstore.protocols.snapshot import Snapshot
from swampstore.values.audit import catalog_parts, file_of, key_parts
from swampstore.values.entry import AUDIT, Record
from swampstore.values.keys import AUDIT_PREFIX
from swampstore.values.root import RunRef

_BLOCKS = 16
_BEHIND = "\U0010ffff"


class TopicStatus(msgspec.Struct):
    """One topic. ``records`` counts all copies there are; ``waiting`` those of them that are not sorted by time yet.

    ``first`` and ``last`` are the times (ms) of its first and last record, ``files`` and ``bytes`` sorted archives.
    """

    topic: str
    records: int = 0
    waiting: int = 0
    files: int = 0
    bytes: int = 0
    first: int = 0
    last: int = 0

    def saw(self, first: int, last: int) -> None:
        """Widen the span of time. To be called before the records are counted."""
        self.first = min(self.first, first) if self.records else first
        self.last = max(self.last, last) if self.records else last


async def topics(archives: Archives, snapshot: Snapshot) -> list[TopicStatus]:
    """All topics in ``snapshot``, by name. Reads the catalog and the archives that wait to be sorted. Raises ``RunGone``."""
    found: dict[str, TopicStatus] = {}
    audit = snapshot.root.audit

    def count(record: Record) -> None:
        topic, ts, _ = key_parts(record.key)
        one = found.setdefault(topic, TopicStatus(topic))
        one.saw(ts, ts)
        one.records += 1
        one.waiting += 1

    for record in audit.inline:
        count(record)
    for record in snapshot.overlay.values():
        if record.flags & AUDIT:
            count(record)
    for records in await _records(archives, [one.run for one in audit.fresh], AUDIT_PREFIX):
        for record in records:
            count(record)
    for records in await _records(archives, audit.catalog, ""):
        for record in records:
            topic, file = catalog_parts(record.key)[1], file_of(record)
            one = found.setdefault(topic, TopicStatus(topic))
            one.saw(file.first_ms, file.last_ms)
            one.records += file.count
            one.files += 1
            one.bytes += file.size
    return [found[topic] for topic in sorted(found)]


async def _records(archives: Archives, refs: list[RunRef] | tuple[RunRef, ...], low: str) -> list[list[Record]]:
    blocks = await archives.blocks(refs, low, _BEHIND)
    loaded: list[list[Record]] = []
    for start in range(0, len(blocks), _BLOCKS):
        loaded += await archives.load(blocks[start : start + _BLOCKS])
    return loaded
