"""One audit topic of a namespace: what both clients drive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from swampstore.client.audit_delivery import Rule
from swampstore.client.core import CoreNamespace
from swampstore.errors import Misuse, SnapshotExpired
from swampstore.limits import AUDIT_REACH_S, READ_RESTARTS
from swampstore.protocols.archives import Archives
from swampstore.protocols.audit import AuditAck, AuditWriter
from swampstore.protocols.audit_changes import AuditChanges, AuditPosition, follow, head_of
from swampstore.protocols.audit_topics import TopicStatus, topics
from swampstore.protocols.runs import RunGone
from swampstore.protocols.settings import change_settings
from swampstore.protocols.writer import Ack
from swampstore.values.audit import (
    SETTING,
    AuditRecord,
    check_format,
    check_retention,
    check_time,
    check_topic,
    topic_span,
)
from swampstore.values.entry import Record


class CoreTopic:
    """See the faces. Raises ``BadName`` for a bad topic, ``Misuse`` for a policy or a schema that is none."""

    def __init__(
        self,
        core: CoreNamespace,
        topic: str,
        *,
        schema: object = None,
        when_down: object = "spool",
        reach: object = AUDIT_REACH_S,
    ) -> None:
        self._core = core
        self._rule = Rule.checked(when_down, reach)
        self._writer = AuditWriter(core.place, core.writer, self._append, topic, schema=schema)
        self._archives = Archives(core.place, core.reader)

    @property
    def topic(self) -> str:
        return self._writer.topic

    def record(self, data: object, ts: object, record_id: str | None) -> AuditRecord:
        return self._writer.record(data, ts=ts, record_id=record_id)

    async def write_one(self, data: object, ts: object, record_id: str | None) -> AuditAck:
        self._core.owner.check()
        return await self._writer.write_one(data, ts, record_id)

    async def write(self, items: Iterable[object]) -> AuditAck:
        self._core.owner.check()
        return await self._writer.write(items)

    async def _append(self, records: Sequence[Record]) -> Ack:
        return await self._core.delivery.send(records, self._rule)

    def read(self, since: object, until: object, after: AuditPosition | str | None) -> AsyncIterator[AuditRecord]:
        """The records from ``since`` to before ``until``; ``None`` is open. Raises ``Misuse``."""
        self._core.owner.check()
        begin, end = (None if time is None else check_time(time) for time in (since, until))
        if after is None:
            return self._archives.read(self.topic, begin, end)
        return self._committed(position_of(after), begin, end)

    async def _committed(
        self, after: AuditPosition, since: int | None, until: int | None
    ) -> AsyncIterator[AuditRecord]:
        more = True
        while more:
            page = await self._archives.changes(self.topic, after)
            for record in page.records:
                if (since is None or record.ts >= since) and (until is None or record.ts < until):
                    yield record
            after, more = page.after, page.more

    async def changes(self, after: AuditPosition | str | None, limit: int | None) -> AuditChanges:
        self._core.owner.check()
        return await self._archives.changes(self.topic, position_of(after), limit=limit)

    async def head(self) -> AuditPosition:
        self._core.owner.check()
        return head_of(await self._archives.open())

    async def follow(self, after: AuditPosition | str | None, seconds: float | None) -> AsyncIterator[AuditChanges]:
        self._core.owner.check()
        async for page in follow(self._archives, self.topic, position_of(after), seconds):
            yield page


def position_of(after: AuditPosition | str | None) -> AuditPosition:
    """The position that ``after`` (or its text) is, the beginning for ``None``. Raises ``Misuse``."""
    if after is None or isinstance(after, AuditPosition):
        return after or AuditPosition()
    if not isinstance(after, str):
        raise Misuse(f"after={after!r}", hint="a position, or the text of one: what changes() and follow() returned")
    return AuditPosition.parse(after)


async def set_audit_retention(core: CoreNamespace, days: Mapping[str, float]) -> dict[str, float]:
    """Say how long records are kept, by topic. Raises ``BadName``, ``BadConfig``, ``StaleWrite``."""
    checked = check_retention(days)
    await _set(core, "retention", checked)
    return checked


async def set_audit_format(core: CoreNamespace, form: str) -> str:
    """Say what sorted archives are to be. Raises ``BadConfig``, ``StaleWrite``."""
    checked = check_format(form)
    await _set(core, "format", checked)
    return checked


async def _set(core: CoreNamespace, name: str, value: object) -> None:
    core.owner.check()
    await core.prove()

    def change(old: dict[str, Any]) -> dict[str, Any]:
        held = old.get(SETTING)
        return {**old, SETTING: {**(held if isinstance(held, dict) else {}), name: value}}

    await change_settings(core.place, core.register, change)


async def audit_topics(core: CoreNamespace) -> list[TopicStatus]:
    """Raises ``SnapshotExpired`` when the archives moved on during every try."""
    core.owner.check()
    archives = Archives(core.place, core.reader)
    for last in range(READ_RESTARTS, 0, -1):
        try:
            return await topics(archives, await archives.open())
        except RunGone as error:
            if last == 1:
                raise SnapshotExpired(f"the archives moved on during every read: {error}") from error
    raise AssertionError("unreachable")


async def audit_files(core: CoreNamespace, topic: str, since: object, until: object) -> list[str]:
    """The names of Parquet archives in the store. Raises ``Misuse``, ``BadName``, ``SnapshotExpired``."""
    core.owner.check()
    archives = Archives(core.place, core.reader)
    begin, end = (None if time is None else check_time(time) for time in (since, until))
    low, high = topic_span(check_topic(topic), begin, end)
    for last in range(READ_RESTARTS, 0, -1):
        try:
            refs = await archives.parquet_files(await archives.open(), topic, low, high)
            return [core.place.full(ref.name) for ref in refs]
        except RunGone as error:
            if last == 1:
                raise SnapshotExpired(f"the archives moved on during every read: {error}") from error
    raise AssertionError("unreachable")
