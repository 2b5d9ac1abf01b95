"""Writing audit records: one append, no lock, no read, acknowledged when durable.

Invariants:
- What readers would refuse, or the topic's schema, is refused before anything is sent, whoever made the record.
- A record's id and time are fixed before the first attempt; appended again (by this call after an unknown outcome, or by
  its caller), it stays one record. An error after which nobody knows where records are carries them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from swampstore.errors import AmbiguousAppend, Misuse, NotDelivered, SpoolFull, SpoolUnusable
from swampstore.limits import BATCH_BYTES, SEGMENT_DELTAS
from swampstore.protocols.place import Place
from swampstore.protocols.writer import Ack, Writer
from swampstore.values.audit import AuditRecord, audit_record, check_id, check_time, check_topic, encode_data
from swampstore.values.audit_schema import Schema
from swampstore.values.entry import Record

_ID_DICE = 8
_BATCH_BYTES = BATCH_BYTES // 2
_BATCH = SEGMENT_DELTAS // 2
_OVERHEAD = 48

WRITE_AGAIN = (
    "write error.records again, or the same data with the ts and record_id they have: each stays one record, even if "
    "this write lands after all"
)

Append = Callable[[Sequence[Record]], Awaitable[Ack]]


class AuditAck(Ack, frozen=True):
    """An acknowledged write of audit records: their ids, in order. ``lane`` and ``slot`` are those of the last append.

    ``spooled``: they (or the last of them) wait on this machine for the store, and are delivered when it is back; until
    then readers do not see them. ``durable`` then says whether this machine's disk has them for sure.
    """

    ids: tuple[str, ...] = ()


class AuditWriter:
    """Writes records of one topic. ``append`` is how the namespace appends, ``schema`` what every record must be.

    Raises ``BadName`` for a bad topic, ``Misuse`` for a schema that is none.
    """

    def __init__(self, place: Place, writer: Writer, append: Append, topic: str, *, schema: object = None) -> None:
        self._place = place
        self._writer = writer
        self._append = append
        self.topic = check_topic(topic)
        self._schema = None if schema is None else Schema(schema)

    def record(self, data: object, *, ts: object = None, record_id: str | None = None) -> AuditRecord:
        """A record, not yet written. A ``record_id`` of the caller's own names one record only together with its ``ts``.

        What is a record already is given back.
        """
        made = self._made(data, ts, record_id)
        if self._schema is not None:
            self._schema.check(encode_data(made.data), self.topic)
        return made

    def _made(self, data: object, ts: object = None, record_id: str | None = None) -> AuditRecord:
        if isinstance(data, AuditRecord):
            if ts is not None or record_id is not None:
                raise Misuse(
                    "a record has its id and time already", hint="leave ts and record_id out, or pass its .data"
                )
            if data.topic != self.topic:
                raise Misuse(
                    f"a record of topic {data.topic!r}, not {self.topic!r}",
                    hint="write it with its own topic, or pass its .data",
                )
            return msgspec.structs.replace(data, id=check_id(data.id), ts=check_time(data.ts))
        if record_id is not None and ts is None:
            raise Misuse(
                "a record_id without a time", hint="give both: the same record is the same id at the same time"
            )
        return AuditRecord(
            topic=self.topic,
            id=self._new_id() if record_id is None else check_id(record_id),
            ts=self._place.clock.now_ms() if ts is None else check_time(ts),
            data=data,
        )

    def _new_id(self) -> str:
        """Unique; those of one process sort in the order they were made."""
        return f"{self._place.clock.stamp():016x}{self._place.env.random_bytes(_ID_DICE).hex()}"

    async def write(self, items: Iterable[object]) -> AuditAck:
        """Write records, made by :meth:`record` or to be made now. Very many travel in several appends, in order.

        Raises ``Misuse`` (nothing to write, not serialisable), ``TooLarge``, ``SchemaMismatch``, and what ``append`` raises.
        """
        if isinstance(items, str | bytes | bytearray | memoryview | Mapping) or not isinstance(items, Iterable):
            raise Misuse(f"many records of type {type(items).__name__}", hint="pass a list of records; one: write(...)")
        return await self._write([self._made(item) for item in items])

    async def write_one(self, data: object, ts: object, record_id: str | None) -> AuditAck:
        """Write one record: what :meth:`record` would make of it."""
        return await self._write([self._made(data, ts, record_id)])

    async def _write(self, made: Sequence[AuditRecord]) -> AuditAck:
        if not made:
            raise Misuse("there is nothing to write", hint="pass at least one record")
        records = [self._stored(item) for item in made]
        acks = [await self._again(batch, made) for batch in _batches(records)]
        fields = msgspec.structs.asdict(acks[-1]) | {
            "versions": tuple(record.version for record in records),
            "durable": all(ack.durable for ack in acks),
            "spooled": any(ack.spooled for ack in acks),
        }
        return AuditAck(**fields, ids=tuple(item.id for item in made))

    def _stored(self, item: AuditRecord) -> Record:
        value = encode_data(item.data)
        if self._schema is not None:
            self._schema.check(value, self.topic)
        return audit_record(item, self._writer.new_version(), value)

    async def _again(self, batch: Sequence[Record], made: Sequence[AuditRecord]) -> Ack:
        """Append, and once more when the outcome stayed unknown: the same records in another lane are the same records."""
        try:
            try:
                return await self._append(batch)
            except AmbiguousAppend:
                return await self._append(batch)
        except (NotDelivered, SpoolFull, SpoolUnusable) as error:
            error.records = tuple(made)
            raise
        except AmbiguousAppend as error:  # which callers of one group share
            mine = AmbiguousAppend(
                str(error), lane=error.lane, slot=error.slot, write_id=error.write_id, hint=WRITE_AGAIN
            )
            mine.records = tuple(made)
            raise mine from error


def _batches(records: Sequence[Record]) -> Iterable[Sequence[Record]]:
    start = size = 0
    for at, record in enumerate(records):
        weight = len(record.key) + len(record.value) + _OVERHEAD
        if at > start and (size + weight > _BATCH_BYTES or at - start >= _BATCH):
            yield records[start:at]
            start, size = at, 0
        size += weight
    yield records[start:]
