"""A segment: one slot of one lane, an immutable batch of deltas. Creating it is appending it.

Body of the frame (kind SEGMENT, format 1):

    4 bytes   length of the header, big-endian
    header    msgpack map, see :class:`SegmentHeader`
    records   msgpack array of records ``[key, version, flags, expires, value]``

Invariants: the bytes of a slot are fixed before its first attempt, and hold a write id nobody else draws, so "are these
my bytes?" is the answer to "did my write land?"; the header's lane and slot are those of the object's name; every value
of a decoded segment can be decoded (one record that cannot makes the segment broken, not the fold or a listing fail),
and no writer sends one that could not be.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from swampstore.errors import CorruptObject, Misuse, TooLarge
from swampstore.limits import KIB, SEGMENT_DELTAS, SEGMENT_HEADER_BYTES, SEGMENT_RAW_BYTES
from swampstore.values.bounds import check_count, check_versions
from swampstore.values.entry import Record, check_values
from swampstore.values.frame import UNREADABLE, Kind, pack, unpack

FORMAT = 1
WRITE_ID_BYTES = 8
_ARRAY32 = b"\xdd"
_PLAIN_HEADER_BYTES = 64 * KIB
"""Of a larger header the commits are counted before they are decoded."""


class Commit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One update in a segment of a shared lane: what it read or wrote, under which lock, with which ticket."""

    footprint: tuple[str, ...] = msgspec.field(name="f", default=())
    lock: str = msgspec.field(name="l", default="")
    ticket: int = msgspec.field(name="t", default=0)
    records: int = msgspec.field(name="n", default=0)


class SegmentHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """``time`` is the writer's estimate of the store's time in ms; ``closing`` says the lane ends here."""

    lane: str = msgspec.field(name="l")
    slot: int = msgspec.field(name="s")
    write_id: bytes = msgspec.field(name="i")
    time: int = msgspec.field(name="t")
    closing: bool = msgspec.field(name="c", default=False)
    commits: tuple[Commit, ...] = msgspec.field(name="k", default=())


class _Sketch(msgspec.Struct, frozen=True):
    """A header whose commits are not decoded yet."""

    commits: msgspec.Raw = msgspec.field(name="k", default=msgspec.Raw(b"\x90"))


class Segment(msgspec.Struct, frozen=True):
    header: SegmentHeader
    records: tuple[Record, ...]
    stored_bytes: int


_encode_header = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_sketch = msgspec.msgpack.Decoder(_Sketch).decode
_decode_header = msgspec.msgpack.Decoder(SegmentHeader).decode
_encode = msgspec.msgpack.Encoder().encode
_decode_records = msgspec.msgpack.Decoder(tuple[Record, ...]).decode


def encode_records(records: Sequence[Record]) -> bytes:
    """The records one behind the other, to be joined with others of a batch by :func:`encode_segment`."""
    return bytes(view_records(records))


def view_records(records: Sequence[Record]) -> memoryview:
    """The same bytes in a view, which saves a copy."""
    count = len(records)
    array_head = 1 if count < 16 else 3 if count < 1 << 16 else 5
    return memoryview(_encode(records))[array_head:]


def encode_readable(records: Sequence[Record]) -> bytes:
    """What :func:`encode_records` makes. Raises ``Misuse`` unless readers take every record.

    They would refuse with it all records of other callers in the same segment or frame, after they were acknowledged.
    So whatever comes from outside is decoded once before it is sent.
    """
    try:
        body = encode_records(records)
        found = _decode_records(b"".join((_ARRAY32, len(records).to_bytes(4), body)))
        check_versions(found, "the append")
        check_values(found)
    except (*UNREADABLE, CorruptObject, TypeError, ValueError, OverflowError) as error:
        raise Misuse(f"a record that no reader could decode: {error}", hint="nothing was written") from error
    return body


def encode_segment(header: SegmentHeader, count: int, *parts: bytes | memoryview) -> bytes:
    """The object of one slot, from ``count`` records encoded by :func:`encode_records`. Raises ``TooLarge``."""
    size = sum(map(len, parts))
    if count > SEGMENT_DELTAS or size > SEGMENT_RAW_BYTES - 64 * 1024:
        raise TooLarge(f"{count} deltas of {size} bytes do not fit into one segment")
    head = _encode_header(header)
    if len(head) > SEGMENT_HEADER_BYTES or 4 + len(head) + 5 + size > SEGMENT_RAW_BYTES:
        raise TooLarge(f"a header of {len(head)} bytes and {size} of records do not fit into one segment")
    return pack(Kind.SEGMENT, FORMAT, b"".join((len(head).to_bytes(4), head, _ARRAY32, count.to_bytes(4), *parts)))


def decode_segment(data: bytes, name: str, lane: str, slot: int) -> Segment:
    """The segment in ``data``, read from object ``name`` of ``lane``/``slot``.

    Raises ``CorruptObject`` or ``UnknownFormat``, naming the object, and nothing else.
    """
    _, raw = unpack(Kind.SEGMENT, FORMAT, data, name, SEGMENT_RAW_BYTES)
    split = 4 + int.from_bytes(raw[:4])
    if split > 4 + SEGMENT_HEADER_BYTES:
        raise CorruptObject(f"{name}: claims a header of {split - 4} bytes, limit {SEGMENT_HEADER_BYTES}", name=name)
    view = memoryview(raw)
    check_count(view[split:], SEGMENT_DELTAS, "deltas", name)
    try:
        if split > _PLAIN_HEADER_BYTES:
            check_count(_decode_sketch(view[4:split]).commits, SEGMENT_DELTAS, "commits", name)
        header = _decode_header(view[4:split])
        records = _decode_records(view[split:])
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    if (header.lane, header.slot) != (lane, slot):
        raise CorruptObject(f"{name}: holds slot {header.slot} of lane {header.lane}", name=name)
    try:
        check_versions(records, name)
        check_values(records)
    except CorruptObject as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    return Segment(header, records, len(data))
