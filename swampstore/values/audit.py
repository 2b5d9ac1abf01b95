"""Audit records: what one is in the log and in an archive, and which archives there are.

A record has a topic, a time, an id and bytes. Its key is the library's own and sorts by topic and time:

    \\0audit\\0<topic>\\0<time>\\0<id>        time: ms since the epoch, moved up by 2^47, as 12 digits

The first of the 12 digits goes from 0 to n (24 values), the others are hexadecimal: enough for the years -2489 to 10889,
and so for every ``datetime``, in whatever zone.

An archive is a run of such records (:mod:`swampstore.values.run`). What the fold writes is *fresh*: all topics mixed, in
the order of folds. Sorted archives hold one topic and one *part* of time, a UTC day or one of the two edges; they are
named by the catalog, runs of records ``<part>\\0<topic>\\0<unique>`` with the reference as value.

Invariants:
- A record is one record however often it was appended. Of several under one key the one with the lowest version counts,
  the one written first: in the log, between log and archives, and among archives (:mod:`swampstore.values.join` agrees).
- ``fold`` is the root version that took the record in, ``lane`` and ``slot`` where it was appended; they never change
  afterwards. Everything folded up to a root version is in the archives that this root names, so
  ``(root version, unfolded slots seen)`` is a position from which nothing is ever skipped, however late its time.
- Times far from now share two parts, so that no clock and no writer makes more than ~400 parts of a topic.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from swampstore.errors import BadConfig, BadName, CorruptObject, Misuse, TooLarge
from swampstore.limits import AUDIT_FUTURE_DAYS, AUDIT_PAST_DAYS, AUDIT_RECORD_BYTES, AUDIT_TOPIC_BYTES, CLASS_RULES
from swampstore.values.entry import AUDIT, OPAQUE, Record
from swampstore.values.frame import UNREADABLE
from swampstore.values.keys import AUDIT_KEY, AUDIT_PREFIX
from swampstore.values.root import RunRef
from swampstore.values.version import VERSION_BYTES

DAY_MS = 86_400_000
PAST, FUTURE = "-", "~"
"""The parts at the edges; they sort before and behind every day."""
ID_CHARS = 64
SETTING = "audit"
"""The name in the root's settings."""
FIRST_MS, LAST_MS = -(1 << 47), (1 << 48) - 1
"""The times that a record may bear: years -2489 to 10889."""
_ZERO = 1 << 47
_LOW_BITS = 44
"""Of a time, behind the first digit."""
_FIT = "dicts by text, lists, text, numbers, times, dataclasses, msgspec Structs; or bytes"
_FIRST_DIGITS = "0123456789abcdefghijklmn"
_EPOCH = datetime.date(1970, 1, 1).toordinal()


class AuditValue(msgspec.Struct, frozen=True, array_like=True):
    """The value of an audit record. ``kind`` is ``b`` for bytes, ``m`` for msgpack; see the module for the rest."""

    data: bytes
    kind: str = "b"
    fold: int = 0
    lane: str = ""
    slot: int = 0


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a topic as callers see it. ``ts`` is ms since the epoch; ``data`` what was written.

    Made before it is written (``topic.record(...)``), it may be written again and again: it stays one record.
    """

    topic: str
    id: str
    ts: int
    data: object


class AuditFile(msgspec.Struct, frozen=True, array_like=True):
    """A sorted archive, as the catalog has it. Times are those of its first and last record (ms), folds likewise."""

    name: str
    size: int
    index_at: int
    count: int
    digest: bytes
    sum: int
    first_ms: int
    last_ms: int
    first_fold: int
    last_fold: int


encode_value = msgspec.msgpack.Encoder().encode
_decode_value = msgspec.msgpack.Decoder(AuditValue).decode
_decode_file = msgspec.msgpack.Decoder(AuditFile).decode
_encode_data = msgspec.msgpack.Encoder(order="deterministic").encode


# --- topics, times, keys ---------------------------------------------------------------------------------------------


def check_topic(topic: object) -> str:
    """``topic`` itself if it may name one: text of 1 to 256 bytes without control characters. Raises ``BadName``."""
    if isinstance(topic, str) and topic and topic.isprintable():
        try:
            if len(topic.encode()) <= AUDIT_TOPIC_BYTES:
                return topic
        except UnicodeEncodeError:
            pass
    raise BadName(
        f"bad topic {str(topic)[:100]!r}",
        hint=f"a topic is 1 to {AUDIT_TOPIC_BYTES} bytes of printable text: decisions",
    )


def check_time(ts: object) -> int:
    """``ts`` in ms since the epoch, from that or from an aware ``datetime``. Raises ``Misuse``."""
    if isinstance(ts, datetime.datetime):
        if ts.utcoffset() is None:
            raise Misuse(f"{ts!r} has no time zone", hint="use datetime.now(datetime.UTC), or ms since the epoch")
        ts = (ts - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(milliseconds=1)
    if type(ts) is not int:
        raise Misuse(f"a time of {ts!r}", hint="times are whole ms since the epoch, or datetimes with a time zone")
    if not FIRST_MS <= ts <= LAST_MS:
        raise Misuse(
            f"a time of {ts} ms is out of range",
            hint=f"times are ms since the epoch, from {FIRST_MS} (year -2489) to {LAST_MS} (year 10889)",
        )
    return ts


def check_id(name: object) -> str:
    """``name`` itself if it may be a record's id. Raises ``Misuse``."""
    if isinstance(name, str) and 0 < len(name) <= ID_CHARS and name.isascii() and name.isprintable():
        return name
    raise Misuse(f"an id of {name!r}", hint=f"an id is 1 to {ID_CHARS} printable ASCII characters")


def audit_key(topic: str, ts: int, name: str) -> str:
    """The key of a record; with an empty ``name`` a key before every record of that topic and time.

    Raises ``Misuse`` for a time out of range: no reader could decode such a key.
    """
    high, low = divmod(check_time(ts) + _ZERO, 1 << _LOW_BITS)
    return f"{AUDIT_PREFIX}{topic}\0{_FIRST_DIGITS[high]}{low:011x}\0{name}"


def key_parts(key: str) -> tuple[str, int, str]:
    """``(topic, ms, id)`` of a key. Raises ``CorruptObject``."""
    found = AUDIT_KEY.fullmatch(key)
    if found is None:
        raise CorruptObject(f"{key!r} is no key of an audit record", name=key)
    return found[1], _time_of(found), found[3]


def _time_of(key: re.Match[str]) -> int:
    digits = key[2]
    return (_FIRST_DIGITS.index(digits[0]) << _LOW_BITS | int(digits[1:], 16)) - _ZERO


def topic_span(topic: str, since: int | None, until: int | None) -> tuple[str, str]:
    """``[low, high)``: the keys of a topic's records from ``since`` to before ``until``."""
    end = f"{AUDIT_PREFIX}{topic}\1"
    first, last = FIRST_MS if since is None else since, LAST_MS + 1 if until is None else until
    low, high = (end if at > LAST_MS else audit_key(topic, max(at, FIRST_MS), "") for at in (first, last))
    return low, high


def part_of(ts: int, now_ms: int) -> str:
    """The part of time that a record of ``ts`` sorted at ``now_ms`` belongs to."""
    day, today = ts // DAY_MS, now_ms // DAY_MS
    if day < today - AUDIT_PAST_DAYS:
        return PAST
    if day > today + AUDIT_FUTURE_DAYS:
        return FUTURE
    return datetime.date.fromordinal(_EPOCH + day).isoformat()


def days_between(low: str, high: str) -> tuple[str, str]:
    """The first and the last day, the edges apart, that may hold records with keys in [low, high)."""
    begin, end = (AUDIT_KEY.match(key + "x") for key in (low, high))
    return _day(begin, "0"), _day(end, "9999-12-31")


def _day(found: re.Match[str] | None, otherwise: str) -> str:
    if found is None:
        return otherwise
    day = _time_of(found) // DAY_MS + _EPOCH
    return datetime.date.fromordinal(min(max(day, 1), datetime.date.max.toordinal())).isoformat()


def check_retention(rules: Mapping[str, float]) -> dict[str, float]:
    """Days by topic (``*``: every other one), as they go into the settings. Raises ``BadName``, ``BadConfig``."""
    if not isinstance(rules, Mapping):
        raise BadConfig(f"a retention of {rules!r}", hint='days by topic, such as {"decisions": 400, "*": 30}')
    for topic, days in rules.items():
        check_topic(topic)
        if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days < 1e6:
            raise BadConfig(f"a retention of {days!r}", hint="the number of days that records of the topic are kept")
    if len(rules) > CLASS_RULES:
        raise BadConfig(f"{len(rules)} topics with a retention, at most {CLASS_RULES} fit")
    return dict(rules)


BLOCKS, PARQUET = "blocks", "parquet"
FORMATS = (BLOCKS, PARQUET)
"""What sorted archives may be: the library's own compressed blocks, or Parquet files."""


def check_format(form: object) -> str:
    """``form`` itself if it is one of :data:`FORMATS`. Raises ``BadConfig``."""
    if form not in FORMATS:
        raise BadConfig(f"an archive format of {form!r}", hint=f"one of {', '.join(FORMATS)}")
    return str(form)


def format_of(settings: Mapping[str, Any]) -> str:
    """What sorts write in this namespace. What cannot be read means the library's own."""
    held = settings.get(SETTING)
    form = held.get("format") if isinstance(held, dict) else None
    return form if form in FORMATS else BLOCKS


def retention_of(settings: Mapping[str, Any]) -> dict[str, int]:
    """How long records are kept, in ms, by topic (``*``: every other one). What cannot be read keeps for ever."""
    held = settings.get(SETTING)
    rules = held.get("retention") if isinstance(held, dict) else None
    if not isinstance(rules, dict):
        return {}
    return {
        topic: int(days * DAY_MS)
        for topic, days in rules.items()
        if isinstance(days, int | float) and not isinstance(days, bool) and days > 0
    }


# --- records ---------------------------------------------------------------------------------------------------------


def encode_data(data: object) -> AuditValue:
    """What a caller wrote, as a value. Raises ``Misuse`` for what cannot be serialised, ``TooLarge``."""
    if isinstance(data, bytes | bytearray | memoryview):
        value = AuditValue(bytes(data))
    else:
        try:
            value = AuditValue(_encode_data(data), "m")
        except (TypeError, ValueError, OverflowError, UnicodeEncodeError, RecursionError) as error:
            why = "the names in a dict are text, all of them" if "`order`" in str(error) else error
            raise Misuse(f"an audit record that cannot be serialised: {why}", hint=_FIT) from error
    if len(value.data) > AUDIT_RECORD_BYTES:
        raise TooLarge(
            f"an audit record of {len(value.data)} bytes, limit {AUDIT_RECORD_BYTES}",
            hint="put the contents under a key and write the key",
        )
    return value


def audit_record(record: AuditRecord, version: bytes, value: AuditValue | None = None) -> Record:
    """The record of the log; ``value`` is what :func:`encode_data` made of its data, if that is known.

    Raises ``BadName``, ``Misuse`` and ``TooLarge`` for what readers would refuse.
    """
    key = audit_key(check_topic(record.topic), record.ts, check_id(record.id))
    return Record(key, version, AUDIT | OPAQUE, 0, encode_value(value or encode_data(record.data)))


def value_of(record: Record) -> AuditValue:
    """The decoded value. What no writer of this library wrote is kept and shown as the bytes it is: one such record
    must not hide the others of its topic."""
    try:
        return _decode_value(record.value)
    except UNREADABLE:
        return AuditValue(record.value)


def stamped(record: Record, fold: int, lane: str, slot: int) -> Record:
    """``record`` with where it came from, as it goes into an archive."""
    full = msgspec.structs.replace(value_of(record), fold=fold, lane=lane, slot=slot)
    return msgspec.structs.replace(record, value=encode_value(full))


def shown(record: Record) -> AuditRecord:
    """``record`` as callers see it."""
    topic, ts, name = key_parts(record.key)
    value = value_of(record)
    data: object = value.data
    if value.kind == "m" and len(value.data) <= AUDIT_RECORD_BYTES:  # no writer wrote more
        try:
            data = msgspec.msgpack.decode(value.data)
        except UNREADABLE:
            data = value.data
    return AuditRecord(topic=topic, id=name, ts=ts, data=data)


def first_of(a: Record, b: Record) -> Record:
    """Of two records of one key the one that was written first, wherever it lies: what is on record never changes.

    Copies of one write differ in where they were folded: the first of them (not folded counts as last).
    """
    if a.version != b.version:
        return a if a.version < b.version else b
    return b if _age(b) < _age(a) else a


def _age(record: Record) -> tuple[float, str, int, bytes]:
    value = value_of(record)
    return value.fold or float("inf"), value.lane, value.slot, value.data


# --- the catalog ------------------------------------------------------------------------------------------------------


def catalog_key(part: str, topic: str, name: str) -> str:
    return f"{part}\0{topic}\0{name}"


def catalog_parts(key: str) -> tuple[str, str]:
    """``(part, topic)`` of a key of the catalog. Raises ``CorruptObject``."""
    parts = key.split("\0", 2)
    if len(parts) != 3:
        raise CorruptObject(f"{key[:200]!r} is no key of the audit catalog", name=key)
    return parts[0], parts[1]


def catalog_record(part: str, topic: str, file: AuditFile) -> Record:
    """The record of the catalog for a sorted archive."""
    return Record(catalog_key(part, topic, file.name), bytes(VERSION_BYTES), OPAQUE, 0, msgspec.msgpack.encode(file))


def file_of(record: Record) -> AuditFile:
    """The archive that a record of the catalog names. Raises ``CorruptObject``."""
    try:
        return _decode_file(record.value)
    except UNREADABLE as error:
        raise CorruptObject(f"the catalog's {record.key!r} cannot be read: {error}", name=record.key) from error


def run_of(topic: str, file: AuditFile) -> RunRef:
    """The reference by which the archive is read like any run; its bounds are those of the times it holds."""
    low, high = topic_span(topic, file.first_ms, file.last_ms + 1)
    return RunRef(low, high, file.name, file.size, file.index_at, file.count, 0, file.digest, file.sum, 0)
