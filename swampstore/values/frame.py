"""The frame round every small object: magic, kind, format, lengths, checksum, optional compression.

    offset  size  field
    0       4     magic "SWMP"
    4       1     kind (see :class:`Kind`)
    5       1     format of the kind, 1 and up
    6       1     flags: bit 0 = body is one zstd frame
    7       1     0
    8       4     decoded length, big-endian
    12      4     body length, big-endian
    16      4     CRC-32 (zlib) of bytes 0..15 and the body
    20      ...   body

Invariants:
- What is not a frame, a truncated frame, a frame with a wrong checksum: ``CorruptObject``. A whole frame of a newer
  format: ``UnknownFormat``. Both name the object. Nothing else is raised for any bytes.
- Magic, lengths and checksum are the same in every format, so damage is told from news.
- No more than the caller's limit is ever allocated, whatever a header claims.
"""

from __future__ import annotations

import enum
import struct
import threading
import zlib

import msgspec
import zstandard

from swampstore.errors import CorruptObject, UnknownFormat

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what was expected; text that is not UTF-8 is an error of its own."""

MAGIC = b"SWMP"
HEADER = struct.Struct(">4sBBBBIII")
HEADER_BYTES = HEADER.size
_ZSTD = 1
_WORTH_COMPRESSING = 512
_LEVEL = 3
_FAST_LEVEL = 1
"""For what is rewritten again and again: a quarter faster; the size differs by 2 % either way (measured on entries)."""


class Kind(enum.IntEnum):
    """What a frame holds."""

    ROOT = 1
    SEGMENT = 2
    RUN_INDEX = 3
    PIN = 4
    SAVED = 5
    TICKET = 6
    REGISTER = 7
    SIGN = 8
    SPOOL = 9


class _Codecs(threading.local):
    """zstd contexts are not safe to share between threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self.fast = zstandard.ZstdCompressor(level=_FAST_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def compress(raw: bytes) -> bytes:
    """One zstd frame that states its decoded size."""
    return _codecs.compressor.compress(raw)


def compress_fast(raw: bytes) -> bytes:
    """The same in less time."""
    return _codecs.fast.compress(raw)


def decompress(body: bytes, size: int, name: str) -> bytes:
    """The ``size`` bytes that ``body`` holds. Raises ``CorruptObject`` for anything else, before it allocates."""
    try:
        declared = zstandard.frame_content_size(body)
        if declared != size:
            raise CorruptObject(f"{name}: compressed body declares {declared} bytes, {size} expected", name=name)
        raw = _codecs.decompressor.decompress(body, max_output_size=size)
    except zstandard.ZstdError as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    if len(raw) != size:
        raise CorruptObject(f"{name}: decoded to {len(raw)} bytes, {size} expected", name=name)
    return raw


def pack(kind: Kind, form: int, raw: bytes) -> bytes:
    """Frame ``raw``; compressed when that makes it smaller."""
    flags, body = 0, raw
    if len(raw) >= _WORTH_COMPRESSING:
        small = compress(raw)
        if len(small) < len(raw):
            flags, body = _ZSTD, small
    start = HEADER.pack(MAGIC, kind, form, flags, 0, len(raw), len(body), 0)[:16]
    return b"".join((start, zlib.crc32(body, zlib.crc32(start)).to_bytes(4), body))


def unpack(kind: Kind, newest: int, data: bytes, name: str, max_raw_bytes: int) -> tuple[int, bytes]:
    """``(format, decoded body)`` of the frame in ``data``, which was read from object ``name``."""
    if len(data) < HEADER_BYTES:
        raise CorruptObject(f"{name}: {len(data)} bytes, too short for a frame", name=name)
    magic, found, form, flags, zero, raw_size, size, crc = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise CorruptObject(f"{name}: not written by this program (no magic)", name=name)
    if found != kind:
        raise CorruptObject(f"{name}: holds kind {found}, {kind.name.lower()} ({int(kind)}) expected", name=name)
    body = memoryview(data)[HEADER_BYTES:]
    if len(body) != size:
        raise CorruptObject(f"{name}: body has {len(body)} bytes, header says {size}", name=name)
    if zlib.crc32(body, zlib.crc32(data[:16])) != crc:
        raise CorruptObject(f"{name}: checksum does not match", name=name)
    if form > newest:  # after the checksum: one flipped bit must not look like a newer program, which stops everybody
        raise UnknownFormat(
            f"{name}: {kind.name.lower()} format {form} is newer than this program knows ({newest})",
            name=name,
            hint="upgrade swampstore on this machine; nothing was changed",
        )
    if form < 1 or zero or flags & ~_ZSTD:
        raise CorruptObject(f"{name}: header bits that no writer sets", name=name)
    if raw_size > max_raw_bytes:
        raise CorruptObject(f"{name}: claims {raw_size} decoded bytes, limit {max_raw_bytes}", name=name)
    if flags & _ZSTD:
        return form, decompress(bytes(body), raw_size, name)
    if raw_size != size:
        raise CorruptObject(f"{name}: plain body of {size} bytes claims {raw_size}", name=name)
    return form, bytes(body)
