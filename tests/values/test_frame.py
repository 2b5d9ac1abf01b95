"""Frames: whatever the bytes, only the two typed errors, and no allocation that a header asks for."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from swampstore.errors import CorruptObject, UnknownFormat
from swampstore.values.frame import HEADER, HEADER_BYTES, MAGIC, Kind, decompress, pack, unpack

LIMIT = 1 << 20
PLAIN = pack(Kind.PIN, 1, b"some small body")
SQUEEZED = pack(Kind.PIN, 1, b"the same words again and again " * 100)


def read(data: bytes, newest: int = 1) -> bytes:
    return unpack(Kind.PIN, newest, data, "ns/thing", LIMIT)[1]


def forge(
    raw_size: int, body: bytes, *, flags: int = 1, form: int = 1, zero: int = 0, size: int | None = None
) -> bytes:
    """A frame whose checksum is right and whose claims are the caller's."""
    start = HEADER.pack(MAGIC, Kind.PIN, form, flags, zero, raw_size, len(body) if size is None else size, 0)[:16]
    return start + zlib.crc32(body, zlib.crc32(start)).to_bytes(4) + body


def test_the_examples_are_one_of_each_kind() -> None:
    assert PLAIN[6] == 0
    assert SQUEEZED[6] == 1
    assert len(SQUEEZED) < 200


@given(st.binary(max_size=3000), st.sampled_from(Kind), st.integers(1, 255))
def test_what_was_packed_is_unpacked(raw: bytes, kind: Kind, form: int) -> None:
    assert unpack(kind, form, pack(kind, form, raw), "x", 3000) == (form, raw)


@pytest.mark.parametrize("whole", [PLAIN, SQUEEZED], ids=["plain", "zstd"])
def test_every_truncation_and_every_longer_frame_is_corrupt(whole: bytes) -> None:
    for size in range(len(whole)):
        with pytest.raises(CorruptObject, match="ns/thing"):
            read(whole[:size])
    with pytest.raises(CorruptObject):
        read(whole + b"\0")


@pytest.mark.parametrize("whole", [PLAIN, SQUEEZED], ids=["plain", "zstd"])
def test_every_bit_flip_is_corrupt_and_never_a_newer_format(whole: bytes) -> None:
    for bit in range(len(whole) * 8):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptObject) as caught:
            read(bytes(broken))
        assert caught.value.name == "ns/thing"


def test_a_whole_frame_of_a_newer_format_is_no_damage() -> None:
    with pytest.raises(UnknownFormat, match="format 2 is newer") as caught:
        read(pack(Kind.PIN, 2, b"from the future"))
    assert caught.value.name == "ns/thing"
    assert "upgrade" in caught.value.hint


def test_another_kind_is_corrupt() -> None:
    with pytest.raises(CorruptObject, match="holds kind 2"):
        read(pack(Kind.SEGMENT, 1, b""))


@given(st.binary(max_size=400))
def test_foreign_bytes_raise_nothing_else(data: bytes) -> None:
    for candidate in (data, MAGIC + data, MAGIC + bytes([Kind.PIN, 1]) + data):
        with pytest.raises(CorruptObject):
            read(candidate)


@given(
    st.integers(0, (1 << 32) - 1), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=99)
)
def test_frames_with_a_right_checksum_and_wrong_claims(
    raw_size: int, flags: int, form: int, zero: int, body: bytes
) -> None:
    data = forge(raw_size, body, flags=flags, form=form, zero=zero)
    try:
        raw = read(data)
    except (CorruptObject, UnknownFormat):
        return
    assert len(raw) == raw_size
    assert form == 1


def zstd_claiming(size: int, window_log: int = 20, block: bytes = b"\x01\x00\x00") -> bytes:
    """A zstd frame header that declares ``size`` decoded bytes, with an empty last block."""
    return b"\x28\xb5\x2f\xfd" + bytes([2 << 6, (window_log - 10) << 3]) + size.to_bytes(4, "little") + block


def peak(data: bytes) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(CorruptObject):
            read(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 28, (1 << 32) - 1])
def test_a_lying_size_allocates_nothing(size: int) -> None:
    assert peak(forge(size, b"x", flags=0)) < 100_000
    assert peak(forge(size, zstd_claiming(size))) < 100_000
    assert peak(forge(100, zstd_claiming(size))) < 100_000
    assert peak(PLAIN[:12] + size.to_bytes(4) + PLAIN[16:]) < 100_000


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(64 << 20))
    assert len(bomb) < 10_000
    assert peak(forge(64 << 20, bomb)) < 200_000  # over the limit
    assert peak(forge(1000, bomb)) < 200_000  # under the limit, but the body says otherwise
    unsized = zstandard.ZstdCompressor(level=19, write_content_size=False).compress(bytes(64 << 20))
    assert peak(forge(1000, unsized)) < 200_000  # the body says nothing


@pytest.mark.parametrize("window_log", [27, 31, 41])
def test_a_large_window_is_no_way_to_memory(window_log: int) -> None:
    assert peak(forge(100, zstd_claiming(100, window_log))) < 200_000


def test_decoded_bytes_that_are_fewer_than_declared() -> None:
    with pytest.raises(CorruptObject):
        decompress(zstd_claiming(100), 100, "x")


def test_the_header_is_what_the_format_page_says() -> None:
    assert HEADER_BYTES == 20
    assert PLAIN[:4] == b"SWMP"
    assert PLAIN[4:8] == bytes([Kind.PIN, 1, 0, 0])
    assert PLAIN[8:12] == PLAIN[12:16] == len(b"some small body").to_bytes(4)
    assert PLAIN[20:] == b"some small body"
