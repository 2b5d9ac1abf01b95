"""Audit records in the world of the background half: a list as the model, in the order they were acknowledged."""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.env.blocking import each, run
from swampstore.protocols.archives import Archives
from swampstore.protocols.audit import AuditAck, AuditWriter
from swampstore.protocols.audit_changes import AuditChanges, AuditPosition
from swampstore.values.audit import AuditRecord
from tests.workers import world as base

DAY_S = base.DAY_S
DAY_MS = 86_400_000
Crash = base.Crash


class Process(base.Process):
    """One process that writes and reads audit records. ``world.written`` follows."""

    def audit(self, *data: object, topic: str = "t", ts: int | None = None) -> AuditAck:
        self._world.tick()
        writer = self.topic(topic)
        return self.write([writer.record(item, ts=ts) for item in data])

    def write(self, records: Sequence[AuditRecord]) -> AuditAck:
        ack = run(self.topic(records[0].topic).write(records))
        assert isinstance(self._world, World)
        self._world.written += [record for record in records if record not in self._world.written]
        return ack

    def topic(self, topic: str) -> AuditWriter:
        return AuditWriter(self.place, self.writer, self.writer.append, topic)

    @property
    def archives(self) -> Archives:
        return Archives(self.place, self.reader)

    def found(self, topic: str = "t", since: int | None = None, until: int | None = None) -> list[AuditRecord]:
        return list(each(self.archives.read(topic, since, until)))

    def changes(self, after: AuditPosition | None = None, topic: str = "t", limit: int | None = None) -> AuditChanges:
        return run(self.archives.changes(topic, after or AuditPosition(), limit=limit))

    def sort(self) -> None:
        report = run(self.compactor.round(stay=False, insist=True, full=True))
        assert report.archive is None or not report.archive.raced


class World(base.World):
    """``written`` are all records there are."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.written: list[AuditRecord] = []

    def process(self, env: object = None) -> Process:
        return Process(self)

    def of(self, topic: str, since: int | None = None, until: int | None = None) -> list[AuditRecord]:
        """What a read must find, in its order."""
        inside = [
            record
            for record in self.written
            if record.topic == topic and (since is None or record.ts >= since) and (until is None or record.ts < until)
        ]
        return sorted(inside, key=lambda record: (record.ts, record.id))

    def check(self) -> None:
        process = self.process()
        for topic in {record.topic for record in self.written}:
            assert process.found(topic) == self.of(topic)
