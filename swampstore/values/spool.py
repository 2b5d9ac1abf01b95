"""Bundles: audit records that wait on this machine for a store that cannot be reached. One call's records, one file.

    <place>-<time>-<count>-<bytes>-<dice>.rec      what stands in the name is known without reading the file

``place`` orders the bundles of a spool (16 hex digits), ``time`` is this machine's clock when it was written (12 hex
digits of ms), ``count`` and ``bytes`` are decimal. Inside is one frame (see :mod:`swampstore.values.frame`).

Invariants:
- A bundle names the store and the namespace it is for; it is never delivered anywhere else.
- A file that was cut, changed, or written by a newer program raises, naming the file, and is never half of a bundle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from swampstore.errors import CorruptObject
from swampstore.limits import SEGMENT_DELTAS, SEGMENT_RAW_BYTES
from swampstore.values.bounds import check_count, check_versions
from swampstore.values.entry import AUDIT, Record, check_values
from swampstore.values.frame import UNREADABLE, Kind, pack, unpack
from swampstore.values.segment import encode_readable
from swampstore.values.version import version_ms

FORMAT = 1
SUFFIX = ".rec"
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{12})-([0-9]{1,9})-([0-9]{1,12})-[0-9a-f]{16}\.rec")
_MAX_MS = (1 << 48) - 1
_DAY_MS = 86_400_000


class Bundle(msgspec.Struct, frozen=True):
    """The records of one write."""

    store: str
    namespace: str
    records: list[Record]


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """A bundle as it is written; its records are counted before they are decoded."""

    store: str
    namespace: str
    records: msgspec.Raw


class BundleName(NamedTuple):
    """What a bundle's file name says."""

    place: int
    time: int
    records: int
    bytes: int
    name: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode
_decode_records = msgspec.msgpack.Decoder(list[Record]).decode


def encode_bundle(bundle: Bundle) -> bytes:
    """The bytes of a bundle's file. Raises ``Misuse`` for a record that could not be delivered."""
    encode_readable(bundle.records)
    records = msgspec.Raw(_encode(bundle.records))
    return pack(Kind.SPOOL, FORMAT, _encode(_Stored(bundle.store, bundle.namespace, records)))


def decode_bundle(data: bytes, name: str) -> Bundle:
    """The bundle in the file ``name``. Raises ``CorruptObject``, ``UnknownFormat``."""
    _, raw = unpack(Kind.SPOOL, FORMAT, data, name, SEGMENT_RAW_BYTES)
    try:
        stored = _decode(raw)
        check_count(stored.records, SEGMENT_DELTAS, "records", name)
        bundle = Bundle(stored.store, stored.namespace, _decode_records(stored.records))
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    try:
        check_versions(bundle.records, name)
        check_values(bundle.records)
    except CorruptObject as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    for record in bundle.records:
        if not record.flags & AUDIT:
            raise CorruptObject(f"{name}: {record.key[:100]!r} is no audit record", name=name)
    return bundle


def bundle_name(place: int, now_ms: int, records: Sequence[Record], size: int, dice: bytes) -> str:
    """The name of a new bundle's file."""
    return f"{place:016x}-{min(max(now_ms, 0), _MAX_MS):012x}-{len(records)}-{size}-{dice[:8].hex()}{SUFFIX}"


def parse_bundle_name(name: str) -> BundleName | None:
    """What ``name`` says; ``None`` for the name of anything else."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return BundleName(int(found[1], 16), int(found[2], 16), int(found[3]), int(found[4]), name)


def may_keep_version(version: bytes, now_ms: int) -> bool:
    """Whether a record that waited may be sent with the version it was given: not after a day, and never when it is
    ahead of the store's time ``now_ms``, for one wrong clock would then push every later version ahead as well."""
    return now_ms - _DAY_MS <= version_ms(version) <= now_ms + 1000
