"""Records, deltas and entries: what the log and the manifest hold of a key.

A *record* is the unit of both: key, version, flags, expiry and an opaque value. A *delta* is a record on its way through
the log. The value of a put is an encoded :class:`Meta`; folding and merging compare keys and versions and never look
inside, except to learn which content a dropped record named.

Invariants: records of equal version have equal bytes; encoding is deterministic (same fields, same bytes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias
from zlib import crc32

import msgspec

from swampstore.errors import CorruptObject, FixTheCall
from swampstore.limits import META_BYTES
from swampstore.values.data import Datum, check_fields, id_key, item_path
from swampstore.values.frame import UNREADABLE
from swampstore.values.keys import AUDIT_KEY
from swampstore.values.version import VERSION_BYTES, put_of

TOMBSTONE = 1
"""Flag: the key is deleted as of this version; the value is a :class:`Gone`."""
HAS_BASE = 2
"""Flag: the value names the version it descends from (written by sync)."""
CONFLICT = 4
"""Flag: a kept loser of two puts that did not know of each other; its key holds a NUL."""

OPAQUE = 8
"""Flag: the value is not a :class:`Meta` but the library's own bytes (stream records, lock marks)."""

PENDING = 16
"""Flag: a version of the data model without an ordinal; the value is a :class:`Meta`. See :mod:`swampstore.values.data`."""

VERSIONED = 128
"""Flag: the value's :class:`Meta` has ``data``."""

_PLAIN = HAS_BASE | CONFLICT | VERSIONED
"""Flags with which a value is a :class:`Meta` and nothing else has to be looked at."""

EPHEMERAL = 32
"""Flag: runtime state. Kept beside the manifest, without versions, gone after its time; a put of it always expires."""

AUDIT = 64
"""Flag: an audit record (opaque). The fold moves it into the archive, never into the manifest."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One version of one key. ``expires`` is ms since the epoch, 0 = never."""

    key: str
    version: bytes
    flags: int
    expires: int
    value: bytes

    @property
    def gone(self) -> bool:
        return bool(self.flags & TOMBSTONE)


class Inline(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="i"):
    """The contents themselves."""

    data: bytes


class Blob(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="b"):
    """An object of its own: the unique part of ``<ns>/blob/<unique>``."""

    unique: str


class Packed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="p"):
    """``length`` bytes at ``offset`` of ``<ns>/pack/<unique>``."""

    unique: str
    offset: int
    length: int


class External(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="x"):
    """An object that another program wrote, by its name in the store. Never deleted by this one.

    ``store`` is the URL of the store it lies in when that is another one: listed, but not readable from here.
    """

    name: str
    store: str = ""


Location: TypeAlias = Inline | Blob | Packed | External


class Meta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the index knows of a put. ``sha256`` is 32 bytes, or ``None`` when never computed (see ``verified``)."""

    size: int = msgspec.field(name="s")
    at: Location = msgspec.field(name="l")
    sha256: bytes | None = msgspec.field(name="h", default=None)
    content_type: str = msgspec.field(name="t", default="")
    tags: dict[str, str] = msgspec.field(name="g", default_factory=dict)
    created: int = msgspec.field(name="c", default=0)
    modified: int = msgspec.field(name="m", default=0)
    mode: int = msgspec.field(name="x", default=0)
    lifetime: str = msgspec.field(name="L", default="")
    base: bytes | None = msgspec.field(name="b", default=None)
    unverified: bool = msgspec.field(name="u", default=False)
    data: Datum | None = msgspec.field(name="d", default=None)
    extra: dict[str, Any] = msgspec.field(name="e", default_factory=dict)


class _At(msgspec.Struct, frozen=True):
    """The part of a :class:`Meta` that says where the contents are: much cheaper to decode."""

    at: Location = msgspec.field(name="l")


class _Sketch(msgspec.Struct, frozen=True):
    """The parts of a :class:`Meta` that could hold very many objects, not decoded."""

    tags: msgspec.Raw = msgspec.field(name="g", default=msgspec.Raw())
    data: msgspec.Raw = msgspec.field(name="d", default=msgspec.Raw())
    extra: msgspec.Raw = msgspec.field(name="e", default=msgspec.Raw())


class Gone(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a tombstone says: the version it removes, when it removes one and not whatever was there."""

    base: bytes | None = msgspec.field(name="b", default=None)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A live key as callers see it. ``version`` is opaque: pass it back to say which one was seen.

    It is that of the put, also where the fold or a repack has said the same put again.
    """

    key: str
    version: bytes
    expires: int
    meta: Meta
    record_class: str = "indexed"

    @property
    def size(self) -> int:
        """Bytes of contents."""
        return self.meta.size

    @property
    def sha256(self) -> str:
        """Hexadecimal, or empty when the contents were never hashed."""
        return self.meta.sha256.hex() if self.meta.sha256 else ""

    @property
    def content_type(self) -> str:
        return self.meta.content_type

    @property
    def tags(self) -> dict[str, str]:
        return self.meta.tags

    def describe(self) -> dict[str, Any]:
        """The machine-readable form used by ``--json``."""
        meta = self.meta
        shown: dict[str, Any] = {
            "key": self.key,
            "version": self.version.hex(),
            "size": meta.size,
            "sha256": self.sha256,
        }
        optional = {
            "contentType": meta.content_type,
            "tags": meta.tags,
            "created": meta.created,
            "modified": meta.modified,
            "lifetime": meta.lifetime,
            "expires": self.expires,
            "unverified": meta.unverified,
            "class": self.record_class if self.record_class != "indexed" else "",
        }
        return shown | {name: value for name, value in optional.items() if value}


_encoder = msgspec.msgpack.Encoder(order="deterministic")
decode_meta = msgspec.msgpack.Decoder(Meta).decode
"""For values of at most ``META_BYTES`` alone; raises ``UNREADABLE``. Others: :func:`meta_of`."""
_decode_sketch = msgspec.msgpack.Decoder(_Sketch).decode
_decode_at = msgspec.msgpack.Decoder(_At).decode
_decode_gone = msgspec.msgpack.Decoder(Gone).decode


def put_record(key: str, version: bytes, meta: Meta, *, expires: int = 0) -> Record:
    flags = (HAS_BASE if meta.base is not None else 0) | (VERSIONED if meta.data is not None else 0)
    return Record(key, version, flags, expires, _encoder.encode(meta))


def with_meta(record: Record, version: bytes, meta: Meta) -> Record:
    """The put ``record`` said again as ``version``, with ``meta``."""
    return Record(record.key, version, record.flags, record.expires, _encoder.encode(meta))


def pending_record(item: str, version: bytes, meta: Meta, *, expires: int = 0) -> Record:
    """A version of the datum ``item`` that has no ordinal yet."""
    return Record(id_key(item, version), version, OPAQUE | PENDING, expires, _encoder.encode(meta))


def tombstone(key: str, version: bytes, *, base: bytes | None = None) -> Record:
    flags = TOMBSTONE | (HAS_BASE if base is not None else 0)
    return Record(key, version, flags, 0, _encoder.encode(Gone(base)))


def meta_of(record: Record) -> Meta:
    """The decoded value of a put. Raises ``CorruptObject`` (a checksum has passed: a writer's fault, not a disk's)."""
    try:
        if len(record.value) > META_BYTES:
            _check_large(record)
        return decode_meta(record.value)
    except UNREADABLE as error:
        raise CorruptObject(f"the entry of {record.key!r} cannot be read: {error}", name=record.key) from error


def _check_large(record: Record) -> None:
    """Contents may be large; fields that anything can stand in may not, before they are decoded."""
    sketch = _decode_sketch(record.value)
    for field in sketch.__struct_fields__:
        size = len(memoryview(getattr(sketch, field)))
        if size > META_BYTES:
            raise CorruptObject(f"the {field} of {record.key!r} are {size} bytes, limit {META_BYTES}", name=record.key)


def gone_of(record: Record) -> Gone:
    """The decoded value of a tombstone. Raises ``CorruptObject``."""
    try:
        return _decode_gone(record.value)
    except UNREADABLE as error:
        raise CorruptObject(f"the tombstone of {record.key!r} cannot be read: {error}", name=record.key) from error


def base_of(record: Record) -> bytes | None:
    """The version this record descends from, for records written by sync or gc."""
    if not record.flags & HAS_BASE:
        return None
    return gone_of(record).base if record.gone else meta_of(record).base


def entry_of(record: Record) -> Entry:
    meta = meta_of(record)
    if record.flags & EPHEMERAL:
        return Entry(record.key, put_of(record.version), record.expires, meta, "ephemeral")
    return Entry(record.key, put_of(record.version), record.expires, meta)


def content_of(record: Record) -> str | None:
    """``blob/<unique>`` or ``pack/<unique>`` when the record names a content object of this namespace, else ``None``."""
    if record.flags & TOMBSTONE or record.flags & (OPAQUE | PENDING) == OPAQUE:
        return None
    try:
        at = _decode_at(record.value).at
    except UNREADABLE as error:
        raise CorruptObject(f"the entry of {record.key!r} cannot be read: {error}", name=record.key) from error
    match at:
        case Blob(part):
            return f"blob/{part}"
        case Packed(part):
            return f"pack/{part}"
    return None


def check_value(record: Record) -> None:
    """Raise ``CorruptObject`` unless the value is what the flags say, so that no later look at it can fail."""
    if record.flags & (EPHEMERAL | AUDIT):
        _check_class(record)
    if record.flags & OPAQUE:
        if record.flags & (HAS_BASE | CONFLICT):
            raise CorruptObject(f"the record of {record.key!r} has flags that no writer sets", name=record.key)
        if record.flags & PENDING:
            _check_pending(record)
    elif record.gone:
        gone_of(record)
    else:
        meta_of(record)


def check_values(records: Sequence[Record]) -> None:
    """:func:`check_value` of many records: plain puts, which most are, in one short loop."""
    decode = decode_meta
    for record in records:
        if record.flags & ~_PLAIN or len(record.value) > META_BYTES:
            check_value(record)
            continue
        try:
            decode(record.value)
        except UNREADABLE as error:
            raise CorruptObject(f"the entry of {record.key!r} cannot be read: {error}", name=record.key) from error


def _check_pending(record: Record) -> None:
    """A pending record lies where its fields say, under its own version, and nothing in it stops the fold."""
    datum = meta_of(record).data
    problem = "it does not lie where its fields say"
    if (
        datum is not None
        and datum.ordinal == 0
        and not record.gone
        and len(record.version) == VERSION_BYTES
        and record.key == id_key(datum.item, record.version)
    ):
        try:
            item_path(datum.model, datum.name)
            check_fields(datum)
            return
        except FixTheCall as error:
            problem = str(error)
    raise CorruptObject(f"the pending version {record.key!r} cannot be used: {problem}", name=record.key)


def _check_class(record: Record) -> None:
    """Raise ``CorruptObject`` for flags and times that no writer of an ephemeral or audit record sets."""
    if record.flags & AUDIT:
        good = record.flags == AUDIT | OPAQUE and AUDIT_KEY.fullmatch(record.key) is not None
    else:
        good = record.gone or (record.flags == EPHEMERAL and record.expires > 0)
    if not good or record.flags & CONFLICT:
        raise CorruptObject(f"the record of {record.key!r} has flags that no writer sets", name=record.key)


def record_sum(record: Record) -> int:
    """A 32-bit fingerprint of key, version and value; sums of these are conserved by fold and merge."""
    return crc32(record.value, crc32(record.version, crc32(record.key.encode())))


def sum_of(keys: Iterable[str], versions: Iterable[bytes], values: Iterable[bytes]) -> int:
    """The sum of the :func:`record_sum` of many records, given as columns."""
    return sum(map(crc32, map(b"".join, zip(map(str.encode, keys), versions, values, strict=True))))


def record_sums(records: Sequence[Record]) -> int:
    """The sum of the :func:`record_sum` of many records."""
    return sum_of(
        [record.key for record in records], [record.version for record in records], [record.value for record in records]
    )
