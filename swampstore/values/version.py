"""Versions: which of two deltas of one key wins.

A version is 24 bytes that compare as ``(hlc, writer id, op number)``: an 8-byte hybrid logical clock (48 bits of
milliseconds, 16 bits of counter; Kulkarni et al., "Logical Physical Clocks", 2014), the 12-byte writer id and a 4-byte
operation number, all big-endian, so that ``bytes`` comparison is version order. Two kinds of record order just above a
put and below every later one, by one byte more:

    <put>           the put itself
    <put> 01 .. fe  the same put said again, better placed: numbered, or its contents moved (:func:`refined`)
    <put> ff        a tombstone that removes exactly this put, however often it was refined (:func:`just_above`)

Invariants: a version is fixed when its delta is made and never changed on a retry; no two deltas of different content
share one; whoever compares a version with a *base* compares :func:`put_of` of both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import repeat

from swampstore.errors import CorruptObject

WRITER_BYTES = 12
VERSION_BYTES = 8 + WRITER_BYTES + 4
MAX_HLC = (1 << 64) - 1
FROM_NOTHING = bytes(VERSION_BYTES)
"""The base of a put whose maker had seen no version at all: below every version."""
_JUST_ABOVE = b"\xff"
_REFINEMENTS = 0xFE
_PACK = struct.Struct(f">Q{WRITER_BYTES}sI")


def make_version(hlc: int, writer: bytes, op: int) -> bytes:
    return _PACK.pack(hlc, writer, op)


def make_versions(hlcs: Iterable[int], writer: bytes, ops: Iterable[int]) -> list[bytes]:
    """Many of one writer; as many as the shorter of ``hlcs`` and ``ops``, which may have no end."""
    return list(map(_PACK.pack, hlcs, repeat(writer), ops))


def split_version(version: bytes) -> tuple[int, bytes, int]:
    """``(hlc, writer id, op number)`` of a version of either length."""
    hlc, writer, op = _PACK.unpack_from(version)
    return hlc, writer, op


def version_ms(version: bytes) -> int:
    """The milliseconds part of a version's clock."""
    return int.from_bytes(version[:6])


def put_of(version: bytes) -> bytes:
    """The version of the put that ``version`` is, refines or removes."""
    return version[:VERSION_BYTES]


def just_above(base: bytes) -> bytes:
    """The version of a tombstone that removes exactly ``base``."""
    return base[:VERSION_BYTES] + _JUST_ABOVE


def refined(version: bytes) -> bytes:
    """The version of a record that says what ``version`` says, better placed: above it, below its tombstone.

    Raises ``OverflowError`` for a tombstone's version, and when the put was refined 254 times.
    """
    number = version[VERSION_BYTES] + 1 if len(version) > VERSION_BYTES else 1
    if number > _REFINEMENTS:
        raise OverflowError("a version that cannot be refined any more")
    return version[:VERSION_BYTES] + bytes([number])


def is_refined(version: bytes) -> bool:
    """Whether ``version`` is a refinement of a put rather than the put or a tombstone of it."""
    return len(version) > VERSION_BYTES and version[VERSION_BYTES:] != _JUST_ABOVE


def unrefined(version: bytes) -> bytes:
    """``version`` as its put was made, if it is a refinement; puts and tombstones as they are."""
    return put_of(version) if is_refined(version) else version


def is_version(version: object) -> bool:
    """Whether ``version`` has the form of one, of either length."""
    if not isinstance(version, bytes):
        return False
    size = len(version)
    return size == VERSION_BYTES or (size == VERSION_BYTES + 1 and version[-1] != 0)


def check_version(version: bytes, name: str) -> None:
    """Raise ``CorruptObject`` unless ``version``, read from object ``name``, has the form of one."""
    if not is_version(version):
        raise CorruptObject(f"{name}: a version of {len(version)} bytes", name=name)


def make_writer_id(birth_ms: int, dice: bytes) -> bytes:
    """A writer id: 6 bytes of birth (store's time, ms), 6 random bytes."""
    return birth_ms.to_bytes(6) + dice[:6]


def writer_birth(writer: bytes) -> int:
    """When a writer was born, by the store's time, in ms."""
    return int.from_bytes(writer[:6])


def hlc_of(ms: int, counter: int = 0) -> int:
    return (ms << 16) | counter
