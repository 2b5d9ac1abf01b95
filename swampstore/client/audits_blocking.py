"""Everything about audit records of a namespace, for the blocking client. Its twin is ``audits_aio``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from swampstore.env.blocking import run

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.audit_blocking import AuditTopic
    from swampstore.client.audit_delivery import WhenDown
    from swampstore.client.core import CoreNamespace
    from swampstore.workers.audit_drain import DrainReport
    from swampstore.workers.audit_spool import SpoolStatus


class Audits:
    """The part of a namespace that writes and finds audit records."""

    _core: CoreNamespace

    def audit(
        self, topic: str, *, schema: object = None, when_down: WhenDown = "spool", reach: float = 2.0
    ) -> AuditTopic:
        """The audit topic ``topic``: records that are written once and found again by time.

        ``schema`` is a type that every record written here must be (a msgspec Struct, a dataclass, a TypedDict; else
        ``SchemaMismatch``). ``when_down`` says what becomes of a record when the store cannot be reached within ``reach``
        seconds: ``"spool"`` keeps it on this machine and delivers it later, ``"fail"`` raises ``NotDelivered``,
        ``"block"`` waits as long as any other write. Raises ``BadName``, ``Misuse``.
        """
        from swampstore.client.audit import CoreTopic
        from swampstore.client.audit_blocking import AuditTopic

        return AuditTopic(CoreTopic(self._core, topic, schema=schema, when_down=when_down, reach=reach))

    def set_audit_retention(self, days: Mapping[str, float]) -> dict[str, float]:
        """Say for how many days audit records are kept, by topic (``"*"``: every other one), instead of what was said before.

        Compaction frees archives whose last record is older. Without a word records are kept for ever.
        """
        from swampstore.client.audit import set_audit_retention

        return run(set_audit_retention(self._core, days))

    def spool_status(self) -> SpoolStatus | None:
        """What waits on this machine for the store, how much and how long; ``None`` where there is no spool."""
        return self._core.delivery.status()

    def drain_spool(self, *, seconds: float | None = None) -> DrainReport:
        """Deliver now what waits on this machine, for at most about ``seconds``.

        Raises what the store raises (what was not acknowledged waits on), ``SpoolUnusable``.
        """
        return run(self._core.delivery.drain(seconds=seconds))
