"""Puts packed by hand are what msgspec encodes, whatever their lengths."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest

from swampstore.limits import INLINE_CONTENT_BYTES, KEY_BYTES
from swampstore.values import plain_put as module
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.plain_put import plain_put, plain_puts
from swampstore.values.version import make_version

WRITER = bytes(range(12))
HLC, NOW = 0x0199_AABB_CCDD_0007, 1_800_000_000_123
LENGTHS = [0, 1, 23, 24, 31, 32, 126, 127, 128, 190, 191, 192, 193, 220, 255, 256, 300, INLINE_CONTENT_BYTES]


@pytest.mark.parametrize("data_bytes", LENGTHS)
@pytest.mark.parametrize("key", ["a", "é" * 15, "k" * 31, "k" * 32, "k" * 255, "k" * 256, "k" * KEY_BYTES])
def test_the_bytes_are_those_of_the_general_way(key: str, data_bytes: int) -> None:
    data = b"\xc4" * data_bytes
    meta = Meta(size=data_bytes, at=Inline(data), sha256=sha256(data).digest(), created=NOW)
    general = put_record(key, make_version(HLC, WRITER, 1), meta)
    assert plain_put(key.encode(), data, HLC, WRITER, NOW) == (general.version, msgspec.msgpack.encode(general))


def test_many_at_once_are_what_each_would_be() -> None:
    keys = [b"a", b"k" * 31, b"k" * 32, b"a/b", b"k" * KEY_BYTES]
    contents = [b"", b"x" * 300, b"", b"y" * INLINE_CONTENT_BYTES, b"z"]
    each = [
        plain_put(key, data, HLC + at, WRITER, NOW) for at, (key, data) in enumerate(zip(keys, contents, strict=True))
    ]
    versions, body = plain_puts(keys, contents, HLC, WRITER, NOW)
    assert versions == [version for version, _ in each]
    assert body == b"".join(record for _, record in each)


def test_memory_is_bounded_whatever_lengths_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHAPES", 10)
    monkeypatch.setattr(module, "_shapes", {})
    for size in range(50):
        version, record = plain_put(b"key", b"x" * size, HLC, WRITER, NOW)
        assert version in record
        assert len(module._shapes) <= 10
