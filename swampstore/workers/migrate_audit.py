"""The audit records of a migration: those of every topic that the destination has not, by topic, time and id.

Invariants: a record is the same record wherever it is, so bringing it over twice leaves one; nothing is brought over that
the namespace's retention would take away at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from swampstore.errors import SnapshotExpired
from swampstore.protocols.archives import Archives
from swampstore.protocols.audit_topics import topics
from swampstore.protocols.runs import RunGone
from swampstore.protocols.snapshot import Snapshot
from swampstore.values.audit import key_parts, retention_of, stamped
from swampstore.values.entry import Record
from swampstore.workers.ground import Ground, paired


class AuditDifference:
    """What ``snapshot`` of ``source`` has and ``target`` has not."""

    def __init__(self, source: Ground, target: Ground, snapshot: Snapshot) -> None:
        self._target = target
        self._snapshot = snapshot
        self._mine = Archives(source.place, source.reader)
        self._its = Archives(target.place, target.reader)
        self._keep = retention_of(snapshot.root.settings)

    async def missing(self) -> AsyncIterator[list[Record]]:
        """The records to bring over, ready to be appended. Raises ``SnapshotExpired``: run it again."""
        there = await self._target.reader.open()
        try:
            for topic in [one.topic for one in await topics(self._mine, self._snapshot)]:
                pairs = paired(self._mine.records(self._snapshot, topic), self._its.records(there, topic))
                async for chunk in pairs:
                    found = [stamped(mine, 0, "", 0) for _, mine, its in chunk if mine is not None and its is None]
                    kept = [record for record in found if self._lives(topic, record)]
                    if kept:
                        yield kept
        except RunGone as error:
            raise SnapshotExpired(f"the archives moved on meanwhile: {error}", hint="run it again") from error

    def _lives(self, topic: str, record: Record) -> bool:
        """Whether no retention takes the record away."""
        keep = self._keep.get(topic, self._keep.get("*"))
        return keep is None or key_parts(record.key)[1] > self._target.place.clock.now_ms() - keep
