"""Audit topics of the blocking client. Its names and meaning are those of ``audit_aio``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from swampstore.client.audit import CoreTopic
from swampstore.env.blocking import each, run
from swampstore.protocols.audit import AuditAck
from swampstore.protocols.audit_changes import AuditChanges, AuditPosition
from swampstore.values.audit import AuditRecord


class AuditTopic:
    """Records of one topic: written once, never changed, found again by time. Made by ``namespace.audit(topic)``."""

    def __init__(self, core: CoreTopic) -> None:
        self._core = core

    @property
    def topic(self) -> str:
        return self._core.topic

    def record(self, data: object, *, ts: object = None, record_id: str | None = None) -> AuditRecord:
        """A record to be written with :meth:`write` or :meth:`write_many`, as often as need be: it stays one record."""
        return self._core.record(data, ts, record_id)

    def write(self, data: object, *, ts: object = None, record_id: str | None = None) -> AuditAck:
        """Write one record: a dict, dataclass, msgspec Struct or bytes, or what :meth:`record` made.

        One append, no lock, no index entry.

        ``ts`` is ms since the epoch or an aware ``datetime`` (default: now, by the store's time). Written again with the
        same ``record_id`` and ``ts`` it stays one record. When the store cannot be reached the record goes where the
        topic's ``when_down`` says; the ack says ``spooled``.

        Raises ``Misuse``, ``TooLarge``, ``SchemaMismatch``; ``SpoolFull`` and ``SpoolUnusable`` (policy ``spool``),
        ``NotDelivered`` (``fail``, or no spool), ``AmbiguousAppend`` (``block``): the ``records`` of these, written
        again, are the same records; and what the store refuses with.
        """
        return run(self._core.write_one(data, ts, record_id))

    def write_many(self, items: Iterable[object]) -> AuditAck:
        """Write many records (or what :meth:`record` made of them) in as few appends as hold them, in order."""
        return run(self._core.write(items))

    def read(
        self, *, since: object = None, until: object = None, after: AuditPosition | str | None = None
    ) -> Iterator[AuditRecord]:
        """The records from ``since`` to before ``until``, in order of time, each once, in bounded memory.

        With ``after`` those committed since that position instead (see :meth:`changes`), in the order of commits; of them
        those with a time from ``since`` to before ``until``.
        """
        return each(self._core.read(since, until, after))

    def changes(self, *, after: AuditPosition | str | None = None, limit: int | None = None) -> AuditChanges:
        """The next page of what was committed since ``after`` (default: ever), in that order, whatever time it bears.

        At most ``limit`` records (10,000) and some 16 MB; ``.more`` says that there are others. Pass ``.after`` (or
        ``str()`` of it) on to the next call: nothing is skipped. A record that was appended twice after an unknown outcome
        may be given twice, with one id.
        """
        return run(self._core.changes(after, limit))

    def head(self) -> AuditPosition:
        """The position behind everything committed so far: where to begin when only what comes matters."""
        return run(self._core.head())

    def follow(
        self, *, after: AuditPosition | str | None = None, seconds: float | None = None
    ) -> Iterator[AuditChanges]:
        """Pages as of :meth:`changes`, without end; ends after ``seconds`` without a new record.

        Nothing that is committed late is skipped. Keep ``.after`` of a page once its records are dealt with, to go on from
        there another time.
        """
        return each(self._core.follow(after, seconds))
