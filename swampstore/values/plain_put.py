"""The record of a plain small put, packed in one call: to the byte what :class:`~swampstore.values.entry.Record` encodes to.

By far most writes are puts of a few bytes without labels, class or expiry. Their records differ only in six fields once
the lengths of key and contents are known, so each pair of lengths has a ``struct`` of its own:

    95 <key> c4 18 <version> 00 00 <bin: 84 "s" <size> "l" 92 "i" <contents> "h" c4 20 <sha-256> "c" cf <created>>

Invariant: what is packed here decodes to the same record as what msgspec encodes, and has the same bytes.

Source: the MessagePack specification (https://github.com/msgpack/msgpack/blob/master/spec.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import repeat
from struct import Struct
from typing import NamedTuple

import msgspec

from swampstore.values.version import VERSION_BYTES, WRITER_BYTES, make_versions

_VERSION = b"\xc4\x18"  # 24 bytes follow
_FLAGS_AND_EXPIRY = b"\x00\x00"
_HASH = b"\xa1h\xc4\x20"  # 32 bytes follow
_CREATED = b"\xa1c\xcf"  # 8 bytes follow
_HASH_BYTES, _TIME_BYTES = 32, 8
_OPERATION = 1
_SHAPES = 4096
"""So many lengths, and pairs of them, are remembered."""

_encode = msgspec.msgpack.encode
_shapes: dict[int, _Shape] = {}


class _Shape(NamedTuple):
    """How records with a key and contents of certain lengths are packed; ``version_at`` is where the version begins."""

    pack: Callable[..., bytes]
    head: bytes
    meta: bytes
    version_at: int


def plain_put(key: bytes, data: bytes, hlc: int, writer: bytes, now: int) -> tuple[bytes, bytes]:
    """``(version, encoded record)`` of a put of ``data`` (less than 64 KiB) by ``writer`` at ``now`` (ms)."""
    pack, head, meta, at = _shapes.get(len(key) << 16 | len(data)) or _shape(len(key), len(data))
    record = pack(head, key, _VERSION, hlc, writer, _OPERATION, meta, data, _HASH, sha256(data).digest(), _CREATED, now)
    return record[at : at + VERSION_BYTES], record


def plain_puts(
    keys: Sequence[bytes], contents: Sequence[bytes], first: int, writer: bytes, now: int
) -> tuple[list[bytes], bytes]:
    """Of many at once, one stamp each from ``first`` on: ``(versions, encoded records one behind the other)``."""
    versions = make_versions(range(first, first + len(keys)), writer, repeat(_OPERATION))
    heads, metas = map(_head, map(len, keys)), map(_meta, map(len, contents))
    digests = [sha256(data).digest() for data in contents]
    created = _CREATED + now.to_bytes(_TIME_BYTES)
    parts = [
        part
        for head, key, version, meta, data, digest in zip(heads, keys, versions, metas, contents, digests, strict=True)
        for part in (head, key, _VERSION, version, meta, data, _HASH, digest, created)
    ]
    return versions, b"".join(parts)


@lru_cache(_SHAPES)
def _head(key_bytes: int) -> bytes:
    """What stands before a key."""
    return b"\x95" + _encode("k" * key_bytes)[:-key_bytes]


@lru_cache(_SHAPES)
def _meta(data_bytes: int) -> bytes:
    """What stands between the version and the contents."""
    inside = b"\x84\xa1s" + _encode(data_bytes) + b"\xa1l\x92\xa1i" + _length_of(bytes(data_bytes))
    meta_bytes = len(inside) + data_bytes + len(_HASH) + _HASH_BYTES + len(_CREATED) + _TIME_BYTES
    return _FLAGS_AND_EXPIRY + _length_of(bytes(meta_bytes)) + inside


def _shape(key_bytes: int, data_bytes: int) -> _Shape:
    head, meta = _head(key_bytes), _meta(data_bytes)
    packing = Struct(
        f">{len(head)}s{key_bytes}s{len(_VERSION)}sQ{WRITER_BYTES}sI"
        f"{len(meta)}s{data_bytes}s{len(_HASH)}s{_HASH_BYTES}s{len(_CREATED)}sQ"
    )
    if len(_shapes) >= _SHAPES:
        _shapes.clear()
    shape = _Shape(packing.pack, head, meta, len(head) + key_bytes + len(_VERSION))
    _shapes[key_bytes << 16 | data_bytes] = shape
    return shape


def _length_of(data: bytes) -> bytes:
    """What stands before ``data`` as msgpack's binary."""
    return _encode(data)[: -len(data) or None]
