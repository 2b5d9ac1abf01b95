"""Everything about audit records of a namespace, for the asyncio client. Its twin is ``audits_blocking``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.audit_aio import AsyncAuditTopic
    from swampstore.client.audit_delivery import WhenDown
    from swampstore.client.core import CoreNamespace
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

    async def set_audit_retention(self, days: Mapping[str, float]) -> dict[str, float]:
        """See :meth:`swampstore.client.audits_blocking.Audits.set_audit_retention`."""
        from swampstore.client.audit import set_audit_retention

        return await set_audit_retention(self._core, days)

    def spool_status(self) -> SpoolStatus | None:
        """See :meth:`swampstore.client.audits_blocking.Audits.spool_status`."""
        return self._core.delivery.status()

    async def drain_spool(self, *, seconds: float | None = None) -> DrainReport:
        """See :meth:`swampstore.client.audits_blocking.Audits.drain_spool`."""
        return await self._core.delivery.drain(seconds=seconds)
