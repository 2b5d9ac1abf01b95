"""Everything about audit records of a namespace, for the blocking client. Its twin is ``audits_aio``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from swampstore.env.blocking import run

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.audit_blocking import AuditTopic
    from swampstore.client.audit_delivery import WhenDown
    from swampstore.client.audit_sql import SqlAnswer
    from swampstore.client.core import CoreNamespace
    from swampstore.protocols.audit_topics import TopicStatus
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

    def audit_topics(self) -> Sequence[TopicStatus]:
        """The topics that have records, by name, with their counts, sizes and spans of time."""
        from swampstore.client.audit import audit_topics

        return run(audit_topics(self._core))

    def audit_sql(
        self, query: str, *, topics: Sequence[str] | None = None, since: object = None, until: object = None
    ) -> SqlAnswer:
        """The answer of DuckDB to ``query`` over the view ``audit``: topic, ts (UTC), id, record (JSON text) and more.

        Everything acknowledged is in it, archived or not; of all topics and times, or of those given. Needs the extra
        ``sql``. Raises ``Misuse`` for a query that DuckDB refuses, ``MissingExtra``.
        """
        from swampstore.client.audit_sql import audit_sql

        return run(audit_sql(self._core, query, topics=topics, since=since, until=until))

    def audit_files(self, topic: str, *, since: object = None, until: object = None) -> Sequence[str]:
        """The names of the Parquet archives that may hold records of ``topic`` from ``since`` to before ``until``.

        For programs that read them in place: a folder may hold replaced files for an hour, this list never does.
        """
        from swampstore.client.audit import audit_files

        return run(audit_files(self._core, topic, since, until))

    def set_audit_retention(self, days: Mapping[str, float]) -> dict[str, float]:
        """Say for how many days audit records are kept, by topic (``"*"``: every other one), instead of what was said before.

        Compaction frees archives whose last record is older. Without a word records are kept for ever.
        """
        from swampstore.client.audit import set_audit_retention

        return run(set_audit_retention(self._core, days))

    def set_audit_format(self, form: str) -> str:
        """Say what the archives of audit records are to be from now on: ``"blocks"`` (the library's own, the default) or
        ``"parquet"``, which other programs read in place and which needs the extra ``parquet`` to write and to read.

        Archives that are there stay as they are, until they are small enough to be rewritten with others.
        """
        from swampstore.client.audit import set_audit_format

        return run(set_audit_format(self._core, form))

    def spool_status(self) -> SpoolStatus | None:
        """What waits on this machine for the store, how much and how long; ``None`` where there is no spool."""
        return self._core.delivery.status()

    def drain_spool(self, *, seconds: float | None = None) -> DrainReport:
        """Deliver now what waits on this machine, for at most about ``seconds``.

        Raises what the store raises (what was not acknowledged waits on), ``SpoolUnusable``.
        """
        return run(self._core.delivery.drain(seconds=seconds))
