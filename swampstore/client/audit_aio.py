"""Audit topics of the asyncio client. Its names and meaning are those of ``audit_blocking``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from swampstore.client.audit import CoreTopic
from swampstore.protocols.audit import AuditAck
from swampstore.protocols.audit_changes import AuditChanges, AuditPosition
from swampstore.values.audit import AuditRecord


class AsyncAuditTopic:
    """Records of one topic. Made by ``namespace.audit(topic)``."""

    def __init__(self, core: CoreTopic) -> None:
        self._core = core

    @property
    def topic(self) -> str:
        return self._core.topic

    def record(self, data: object, *, ts: object = None, record_id: str | None = None) -> AuditRecord:
        """See :meth:`swampstore.client.audit_blocking.AuditTopic.record`."""
        return self._core.record(data, ts, record_id)

    async def write(self, data: object, *, ts: object = None, record_id: str | None = None) -> AuditAck:
        """See :meth:`swampstore.client.audit_blocking.AuditTopic.write`."""
        return await self._core.write_one(data, ts, record_id)

    async def write_many(self, items: Iterable[object]) -> AuditAck:
        """See :meth:`swampstore.client.audit_blocking.AuditTopic.write_many`."""
        return await self._core.write(items)

    def read(
        self, *, since: object = None, until: object = None, after: AuditPosition | str | None = None
    ) -> AsyncIterator[AuditRecord]:
        """See :meth:`swampstore.client.audit_blocking.AuditTopic.read`."""
        return self._core.read(since, until, after)

    async def changes(self, *, after: AuditPosition | str | None = None, limit: int | None = None) -> AuditChanges:
        """See :meth:`swampstore.client.audit_blocking.AuditTopic.changes`."""
        return await self._core.changes(after, limit)

    async def head(self) -> AuditPosition:
        """See :meth:`swampstore.client.audit_blocking.AuditTopic.head`."""
        return await self._core.head()

    def follow(
        self, *, after: AuditPosition | str | None = None, seconds: float | None = None
    ) -> AsyncIterator[AuditChanges]:
        """See :meth:`swampstore.client.audit_blocking.AuditTopic.follow`."""
        return self._core.follow(after, seconds)
