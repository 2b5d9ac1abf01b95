"""What a decoder looks at before it makes objects of msgpack: how many there would be.

A few stored bytes can stand for very many objects: one byte an empty list, a kilobyte of compressed bytes millions of
them. So the counts that the encoding states are read first, from slices that cost nothing, and held against what a
writer may have written.

Invariants: nothing is decoded that could take more than some 64 MB, unless the object that says so is itself large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from swampstore.errors import CorruptObject
from swampstore.values.version import VERSION_BYTES, is_version

_USUAL = frozenset({VERSION_BYTES})
_WIDTHS = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}


def count_of(raw: bytes | memoryview | msgspec.Raw) -> int:
    """How many items the array or map that ``raw`` begins with claims to hold; 0 for anything else."""
    head = bytes(memoryview(raw)[:5])
    if not head:
        return 0
    first = head[0]
    if 0x80 <= first <= 0x9F:
        return first & 0x0F
    width = _WIDTHS.get(first, 0)
    return int.from_bytes(head[1 : 1 + width])


def check_count(raw: bytes | memoryview | msgspec.Raw, most: int, what: str, name: str) -> None:
    """Raise ``CorruptObject`` if the array or map at the beginning of ``raw`` claims more than ``most`` items."""
    count = count_of(raw)
    if count > most:
        raise CorruptObject(f"{name}: {count} {what}, limit {most}", name=name)


class _Versioned(Protocol):
    @property
    def version(self) -> bytes: ...


def check_versions(records: Sequence[_Versioned], name: str) -> None:
    """Raise ``CorruptObject`` unless each of ``records``, read from object ``name``, has a version that is one."""
    check_version_bytes([record.version for record in records], name)


def check_version_bytes(versions: Sequence[bytes], name: str) -> None:
    """Raise ``CorruptObject`` unless each of ``versions``, read from object ``name``, is one."""
    if set(map(len, versions)) <= _USUAL:
        return
    for version in versions:
        if not is_version(version):
            raise CorruptObject(f"{name}: a version of {len(version)} bytes", name=name)
