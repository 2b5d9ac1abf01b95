"""Everything about audit records of a namespace, for the asyncio client. Its twin is ``audits_blocking``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.audit_aio import AsyncAuditTopic
    from swampstore.client.audit_delivery import WhenDown
    from swampstore.client.audit_sql import SqlAnswer
    from swampstore.client.core import CoreNamespace
    from swampstore.protocols.audit_topics import TopicStatus
    from swampstore.workers.audit_drain import DrainReport
    from swampstore.workers.audit_spool import SpoolStatus


class AsyncAudits:
    """The part of a namespace that writes and finds audit records."""

    _core: CoreNamespace

    def audit(
        self, topic: str, *, schema: object = None, when_down: WhenDown = "spool", reach: float = 2.0
    ) -> AsyncAuditTopic:
        """See :meth:`swampstore.client.audits_blocking.Audits.audit`."""
        from swampstore.client.audit import CoreTopic
        from swampstore.client.audit_aio import AsyncAuditTopic

        return AsyncAuditTopic(CoreTopic(self._core, topic, schema=schema, when_down=when_down, reach=reach))

    async def audit_topics(self) -> Sequence[TopicStatus]:
        """See :meth:`swampstore.client.audits_blocking.Audits.audit_topics`."""
        from swampstore.client.audit import audit_topics

        return await audit_topics(self._core)

    async def audit_sql(
        self, query: str, *, topics: Sequence[str] | None = None, since: object = None, until: object = None
    ) -> SqlAnswer:
        """See :meth:`swampstore.client.audits_blocking.Audits.audit_sql`. DuckDB works in this thread."""
        from swampstore.client.audit_sql import audit_sql

        return await audit_sql(self._core, query, topics=topics, since=since, until=until)

    async def audit_files(self, topic: str, *, since: object = None, until: object = None) -> Sequence[str]:
        """See :meth:`swampstore.client.audits_blocking.Audits.audit_files`."""
        from swampstore.client.audit import audit_files

        return await audit_files(self._core, topic, since, until)

    async def set_audit_retention(self, days: Mapping[str, float]) -> dict[str, float]:
        """See :meth:`swampstore.client.audits_blocking.Audits.set_audit_retention`."""
        from swampstore.client.audit import set_audit_retention

        return await set_audit_retention(self._core, days)

    async def set_audit_format(self, form: str) -> str:
        """See :meth:`swampstore.client.audits_blocking.Audits.set_audit_format`."""
        from swampstore.client.audit import set_audit_format

        return await set_audit_format(self._core, form)

    def spool_status(self) -> SpoolStatus | None:
        """See :meth:`swampstore.client.audits_blocking.Audits.spool_status`."""
        return self._core.delivery.status()

    async def drain_spool(self, *, seconds: float | None = None) -> DrainReport:
        """See :meth:`swampstore.client.audits_blocking.Audits.drain_spool`."""
        return await self._core.delivery.drain(seconds=seconds)
