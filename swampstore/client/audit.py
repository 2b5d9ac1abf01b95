"""One audit topic of a namespace: what both clients drive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from swampstore.client.core import CoreNamespace
from swampstore.protocols.archives import Archives, AuditChanges, AuditPosition
from swampstore.protocols.audit import AuditAck, AuditWriter
from swampstore.protocols.drafting import Drafted
from swampstore.protocols.settings import change_settings
from swampstore.protocols.writer import Ack
from swampstore.values.audit import SETTING, AuditRecord, check_retention, check_time
from swampstore.values.entry import Record


class CoreTopic:
    """See the faces. Raises ``BadName`` for a bad topic."""

    def __init__(self, core: CoreNamespace, topic: str) -> None:
        self._core = core
        self._writer = AuditWriter(core.place, core.writer, self._append, topic)
        self._archives = Archives(core.place, core.reader)

    @property
    def topic(self) -> str:
        return self._writer.topic

    def record(self, data: object, ts: object, record_id: str | None) -> AuditRecord:
        return self._writer.record(data, ts=ts, record_id=record_id)

    async def write(self, items: Iterable[object]) -> AuditAck:
        self._core.owner.check()
        return await self._writer.write(items)

    async def _append(self, records: Sequence[Record]) -> Ack:
        await self._core.prove()
        return await self._core.send(Drafted(list(records), uploaded=None))

    def read(self, since: object, until: object) -> AsyncIterator[AuditRecord]:
        """The records from ``since`` to before ``until``; ``None`` is open. Raises ``Misuse``."""
        self._core.owner.check()
        begin, end = (None if time is None else check_time(time) for time in (since, until))
        return self._archives.read(self.topic, begin, end)

    async def changes(self, after: AuditPosition | str | None) -> AuditChanges:
        self._core.owner.check()
        position = AuditPosition.parse(after) if isinstance(after, str) else after or AuditPosition()
        return await self._archives.changes(self.topic, position)


async def set_audit_retention(core: CoreNamespace, days: Mapping[str, float]) -> dict[str, float]:
    """Say how long records are kept, by topic. Raises ``BadName``, ``BadConfig``, ``StaleWrite``."""
    core.owner.check()
    checked = check_retention(days)
    await core.prove()

    def change(old: dict[str, Any]) -> dict[str, Any]:
        held = old.get(SETTING)
        return {**old, SETTING: {**(held if isinstance(held, dict) else {}), "retention": checked}}

    await change_settings(core.place, core.register, change)
    return checked
