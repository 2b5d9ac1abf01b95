"""A lane as one file: a header, then frames one behind the other, then zeros up to the size fixed in advance.

    offset  size  header                              offset  size  frame
    0       4     magic "SWML"                        0       4     CRC-32 of the rest, begun with salt ^ offset
    4       1     format, 1 and up                    4       4     length of the records
    5       3     0                                   8       2     number of records
    8       12    writer id                           10      2     flags: bit 0 = the lane ends here
    20      8     birth of the file, store's ms       12      ...   records, as in a segment
    28      4     CRC-32 of bytes 0..27

All numbers are big-endian. ``salt`` is the CRC-32 of the lane's name, ``offset`` the place of the frame in the file; the
watermark of the lane is the offset behind the last folded frame.

Invariants:
- A frame is good only in its own lane and at its own offset: bytes that are stale, moved or copied never decode.
- A frame holds whole atomic batches. The frames of a lane end at the first that is not good; nothing behind it counts,
  whatever lies there, and no reader ever goes past it.
- A newer format is ``UnknownFormat``, told from damage by the checksum; no more is decoded than the limits allow.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from itertools import accumulate

import msgspec

from swampstore.errors import CorruptObject, UnknownFormat
from swampstore.limits import LANE_FRAME_BYTES, SEGMENT_DELTAS
from swampstore.values.entry import Record, check_value, meta_of
from swampstore.values.frame import UNREADABLE
from swampstore.values.names import lane_writer, writer_lane
from swampstore.values.version import VERSION_BYTES, check_version

MAGIC = b"SWML"
FORMAT = 1
CLOSING = 1
_HEADER = struct.Struct(">4sB3x12sQ")
HEADER_BYTES = _HEADER.size + 4
_HEAD = struct.Struct(">IHH")
_FRAME = struct.Struct(">IIHH")
FRAME_HEAD_BYTES = _FRAME.size
WHOLE_FRAME_BYTES = FRAME_HEAD_BYTES + LANE_FRAME_BYTES
"""No frame takes more: whoever reads so much from a frame's offset has the whole of it."""
_ARRAY32 = b"\xdd"
_RECORD = b"\x95"
"""How every record begins: an array of five."""

_decode_records = msgspec.msgpack.Decoder(tuple[Record, ...]).decode


class LaneHeader(msgspec.Struct, frozen=True):
    """``born`` is the file's birth by the store's time, in ms."""

    lane: str
    born: int


class BrokenFrame(msgspec.Struct, frozen=True):
    """A frame whose checksum holds and whose records cannot be read: its writer was at fault. It is passed over."""

    start: int
    end: int
    reason: str


class Frames(msgspec.Struct, frozen=True):
    """What good frames hold. ``end`` is the offset behind the last of them, ``count`` their number.

    ``closed``: the last one says that the lane ends there. ``cut``: a frame may go on behind the bytes that were given:
    read on from ``end``. ``ends`` are the offsets behind each frame, ``upto`` how many of the records lie before it.
    """

    records: tuple[Record, ...]
    end: int
    count: int
    ends: array[int]
    upto: array[int]
    closed: bool = False
    cut: bool = False
    broken: tuple[BrokenFrame, ...] = ()


def lane_salt(lane: str) -> int:
    """What binds frames to their lane (see :func:`encode_frame`)."""
    return zlib.crc32(lane.encode())


def encode_header(header: LaneHeader) -> bytes:
    """The first bytes of a lane file."""
    writer = lane_writer(header.lane)
    assert writer is not None
    head = _HEADER.pack(MAGIC, FORMAT, writer, header.born)
    return head + zlib.crc32(head).to_bytes(4)


def decode_header(data: bytes, name: str) -> LaneHeader:
    """The header of the lane file ``name``, from its first bytes. Raises ``CorruptObject`` or ``UnknownFormat``."""
    if len(data) < HEADER_BYTES:
        raise CorruptObject(f"{name}: {len(data)} bytes, too short for a lane file", name=name)
    head = data[: _HEADER.size]
    magic, form, writer, born = _HEADER.unpack(head)
    if magic != MAGIC or zlib.crc32(head) != int.from_bytes(data[_HEADER.size : HEADER_BYTES]):
        raise CorruptObject(f"{name}: not the header of a lane file", name=name)
    if form > FORMAT:
        raise UnknownFormat(
            f"{name}: lane file format {form} is newer than this program knows ({FORMAT})",
            name=name,
            hint="upgrade swampstore on this machine; nothing was changed",
        )
    if form < 1:
        raise CorruptObject(f"{name}: lane file format {form}", name=name)
    return LaneHeader(writer_lane(writer), born)


def misplaced(data: bytes, lane: str, name: str) -> bool:
    """Whether ``data`` begins with a header that is whole and not that of ``lane``, or of a newer format.

    What such a file holds cannot be told under this name: that nothing good is found in it proves nothing.
    """
    try:
        return decode_header(data, name).lane != lane
    except UnknownFormat:
        return True
    except CorruptObject:
        return False


def encode_frame(salt: int, offset: int, records: bytes, count: int, flags: int = 0) -> bytes:
    """The frame at ``offset`` with ``count`` records, encoded one behind the other (``segment.encode_records``)."""
    head = _HEAD.pack(len(records), count, flags)
    return zlib.crc32(records, zlib.crc32(head, salt ^ offset)).to_bytes(4) + head + records


def decode_frames(data: bytes | memoryview, lane: str, offset: int, name: str = "") -> Frames:
    """The good frames in ``data``, which was read at ``offset`` of the file of ``lane``; stops at the first bad one.

    Their records are decoded together: many small frames cost little more than one large one.
    """
    view = memoryview(data)
    size, salt, unpack, crc32 = len(view), lane_salt(lane), _FRAME.unpack_from, zlib.crc32
    spans: list[tuple[int, int, int]] = []
    at = total = flags = 0
    cut = False
    while not flags & CLOSING:
        start = at + FRAME_HEAD_BYTES
        if start > size:
            cut = True
            break
        crc, length, count, found = unpack(view, at)
        if length > LANE_FRAME_BYTES or count > SEGMENT_DELTAS or not crc | length | count | found:
            break
        if start + length > size:
            cut = True
            break
        if crc32(view[at + 4 : start + length], salt ^ (offset + at)) != crc:
            break
        flags = found
        spans.append((start, length, count))
        at = start + length
        total += count
    records, broken = _decode(view, offset, spans, total, name or lane)
    ends = array("Q", [offset + start + length for start, length, _ in spans])
    counts = [count for _, _, count in spans]
    for bad in broken:
        counts[ends.index(bad.end)] = 0
    upto = array("Q", accumulate(counts))
    return Frames(records, offset + at, len(spans), ends, upto, bool(flags & CLOSING), cut, broken)


def find_frame(data: bytes, lane: str, offset: int) -> int | None:
    """Where in ``data``, read at ``offset``, the first good frame with records begins that is behind its first byte.

    For looking behind a frame that is not good: where the disk has failed in the middle of a file, others may follow.
    """
    salt, at = lane_salt(lane), 0
    while (at := data.find(_RECORD, at + 1)) >= 0:
        start = at - FRAME_HEAD_BYTES
        if start < 1:
            continue
        crc, length, count, flags = _FRAME.unpack_from(data, start)
        if not 0 < count <= SEGMENT_DELTAS or flags & ~CLOSING or not count <= length <= len(data) - at:
            continue
        if zlib.crc32(memoryview(data)[start + 4 : at + length], salt ^ (offset + start)) == crc:
            return start
    return None


def _decode(
    view: memoryview, offset: int, spans: list[tuple[int, int, int]], total: int, name: str
) -> tuple[tuple[Record, ...], tuple[BrokenFrame, ...]]:
    """The records of all frames at once; in halves where something in them cannot be read, down to the frame it is in."""
    try:
        return _checked([view[start : start + length] for start, length, _ in spans], total, name), ()
    except CorruptObject as error:
        if len(spans) == 1:
            start, length, _ = spans[0]
            at = offset + start - FRAME_HEAD_BYTES
            return (), (BrokenFrame(at, offset + start + length, str(error)),)
    middle = len(spans) // 2
    counts = [sum(count for _, _, count in part) for part in (spans[:middle], spans[middle:])]
    first, broken = _decode(view, offset, spans[:middle], counts[0], name)
    second, more = _decode(view, offset, spans[middle:], counts[1], name)
    return first + second, broken + more


def _checked(bodies: list[memoryview], total: int, name: str) -> tuple[Record, ...]:
    try:
        records = _decode_records(b"".join((_ARRAY32, total.to_bytes(4), *bodies)))
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    for record in records:
        if len(record.version) != VERSION_BYTES:
            check_version(record.version, name)
        if record.flags:
            check_value(record)
        else:
            meta_of(record)  # what the other would do, of by far the most
    return records
