"""From what a caller asks for (deltas) to what is appended (records): contents uploaded, versions drawn.

Invariants: nothing is sent before every delta is checked; contents are in the store before a record names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from swampstore.errors import Misuse, TooLarge
from swampstore.limits import (
    BATCH_BYTES,
    CONTENT_CARRY_AGE_S,
    CONTENT_UPLOAD_AGE_S,
    INLINE_CONTENT_BYTES,
    SEGMENT_DELTAS,
)
from swampstore.protocols.contents import Uploaded, upload
from swampstore.protocols.place import Place
from swampstore.protocols.writer import Writer
from swampstore.stores.base import Body, Source
from swampstore.values.classes import as_ephemeral
from swampstore.values.deltas import Delete, Delta, Index, Put, Relabel, check_delta
from swampstore.values.entry import Meta, Record, put_record, tombstone
from swampstore.values.join import conflict_of
from swampstore.values.keys import check_key, plain_text
from swampstore.values.version import just_above

_SPLIT = "split it into several calls"


class Drafted(msgspec.Struct, frozen=True):
    """Records ready to be appended. ``uploaded`` is when the oldest upload among them began (steady clock, s), ``carried``
    when the oldest read of a location that is taken over."""

    records: list[Record]
    uploaded: float | None
    carried: float | None = None

    def check_age(self, boot: float) -> None:
        """Raise ``Misuse`` when contents were uploaded, or their location read, too long ago to be named now: they may be
        swept."""
        if self.carried is not None and boot - self.carried > CONTENT_CARRY_AGE_S:
            raise Misuse("the entry was read more than an hour ago", hint="read it again")
        if self.uploaded is not None and boot - self.uploaded > CONTENT_UPLOAD_AGE_S:
            raise Misuse("the contents were uploaded more than 12 hours ago", hint="write them again")


def check_deltas(deltas: Sequence[Delta]) -> dict[str, Body]:
    """The contents to upload, by the delta's number. Raises ``BadKey``, ``TooLarge``, ``BadConfig``, ``Misuse``."""
    if len(deltas) > SEGMENT_DELTAS:
        raise TooLarge(f"{len(deltas)} deltas in one atomic batch, limit {SEGMENT_DELTAS}", hint=_SPLIT)
    bodies: dict[str, Body] = {}
    inline = 0
    for number, delta in enumerate(deltas):
        check_delta(delta)
        if not _settles_conflict(delta):
            check_key(delta.key)
        if isinstance(delta, Put):
            body = bodies[str(number)] = _body(delta.data)
            inline += len(body) if isinstance(body, bytes) and len(body) <= INLINE_CONTENT_BYTES else 0
    if inline > BATCH_BYTES:
        raise TooLarge(f"{inline} bytes of small contents in one atomic batch, limit {BATCH_BYTES}", hint=_SPLIT)
    return bodies


def _settles_conflict(delta: Delta) -> bool:
    """Whether this removes a conflict entry that has been written beside its path (its key is the library's own)."""
    if not isinstance(delta, Delete) or delta.base is None or not isinstance(delta.key, str):
        return False
    return conflict_of(delta.key) is not None


async def draft_records(place: Place, writer: Writer, deltas: Sequence[Delta], bodies: Mapping[str, Body]) -> Drafted:
    """Upload ``bodies`` (from :func:`check_deltas`) and make the records of ``deltas``, in order."""
    placed = await upload(place, bodies) if bodies else {}
    records = [_record(place, writer, delta, placed.get(str(number))) for number, delta in enumerate(deltas)]
    return Drafted(
        records,
        uploaded=min((item.boot for item in placed.values()), default=None),
        carried=min((delta.read for delta in deltas if isinstance(delta, Relabel)), default=None),
    )


def _record(place: Place, writer: Writer, delta: Delta, placed: Uploaded | None) -> Record:
    key = plain_text(delta.key)
    match delta:
        case Put() if placed is not None:
            meta = Meta(
                size=placed.size,
                at=placed.at,
                sha256=placed.sha256,
                content_type=plain_text(delta.content_type),
                tags={plain_text(name): plain_text(value) for name, value in delta.tags.items()},
                created=delta.created or place.clock.now_ms(),
                modified=delta.modified,
                mode=delta.mode,
                lifetime=delta.lifetime,
                base=delta.base,
                data=delta.datum,
            )
            expires = delta.expires or (place.clock.now_ms() + round(delta.ttl * 1000) if delta.ttl else 0)
            return _classed(put_record(key, writer.new_version(), meta, expires=expires), delta.record_class)
        case Index() | Relabel():
            return put_record(key, writer.new_version(), delta.meta, expires=delta.expires)
        case _:
            assert isinstance(delta, Delete)
            version = just_above(delta.base) if delta.base is not None else writer.new_version()
            return _classed(tombstone(key, version, base=delta.base), delta.record_class)


def _classed(record: Record, name: str) -> Record:
    """``record`` in the class asked for; runtime state gets its default time, and never more than the longest."""
    return as_ephemeral(record) if name == "ephemeral" else record


def _body(data: object) -> Body:
    """Contents as bytes or a source. Raises ``Misuse`` for anything else."""
    if isinstance(data, bytes):
        return data if type(data) is bytes else bytes(memoryview(data))
    if isinstance(data, str):
        try:
            return str.encode(data)
        except UnicodeEncodeError as error:
            raise Misuse(f"the text cannot be stored as UTF-8: {error}", hint="pass bytes") from error
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if hasattr(data, "chunks") and hasattr(data, "size"):
        source: Source = data
        return source
    raise Misuse(
        f"contents of type {type(data).__name__}",
        hint="pass bytes, text, or swampstore.FileSource(path) for a file",
    )
