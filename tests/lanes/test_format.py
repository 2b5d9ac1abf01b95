"""Lane files as bytes: what is torn, moved, stale or foreign ends the lane, and nothing of it is ever decoded."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.errors import CorruptObject, UnknownFormat
from swampstore.limits import LANE_FRAME_BYTES, SEGMENT_DELTAS
from swampstore.values.entry import Inline, Meta, Record, put_record
from swampstore.values.lane_file import (
    CLOSING,
    FORMAT,
    HEADER_BYTES,
    MAGIC,
    LaneHeader,
    decode_frames,
    decode_header,
    encode_frame,
    encode_header,
    lane_salt,
)
from swampstore.values.names import writer_lane
from swampstore.values.segment import encode_records
from swampstore.values.version import make_version

LANE = writer_lane(b"a" * 12)
OTHER = writer_lane(b"b" * 12)
SALT = lane_salt(LANE)


def records(first: int, count: int, data: bytes = b"x") -> list[Record]:
    return [
        put_record(f"k/{number}", make_version(number + 1, b"a" * 12, 1), Meta(size=len(data), at=Inline(data)))
        for number in range(first, first + count)
    ]


def file_of(batches: list[list[Record]], start: int = HEADER_BYTES) -> tuple[bytes, list[int]]:
    """Frames one behind the other, and the offset behind each."""
    data, ends = b"", []
    for batch in batches:
        data += encode_frame(SALT, start + len(data), encode_records(batch), len(batch))
        ends.append(start + len(data))
    return data, ends


@given(st.lists(st.integers(1, 5), max_size=6), st.integers(HEADER_BYTES, 1 << 40), st.integers(0, 40))
def test_frames_round_trip(sizes: list[int], start: int, zeros: int) -> None:
    batches = [records(10 * number, size) for number, size in enumerate(sizes)]
    data, ends = file_of(batches, start)
    frames = decode_frames(data + bytes(zeros), LANE, start)
    assert list(frames.records) == [record for batch in batches for record in batch]
    assert frames.count == len(batches)
    assert frames.end == (ends[-1] if ends else start)
    assert list(frames.ends) == ends
    assert frames.cut == (zeros < 12)


def test_a_lane_torn_at_any_byte_holds_whole_batches_only() -> None:
    batches = [records(0, 1), records(1, 3), records(4, 1)]
    data, ends = file_of(batches)
    for size in range(len(data) + 1):
        for tail in (b"", bytes(40), b"\xff" * 40):  # cut off, zeros of the fixed size, what lay there before
            frames = decode_frames(data[:size] + tail, LANE, HEADER_BYTES)
            whole = sum(end <= HEADER_BYTES + size for end in ends)
            if not tail and size < len(data):
                assert frames.cut
            # A frame whose own last bytes are zeros may be whole without them.
            assert frames.count in (whole, whole + (tail == bytes(40)))
            assert len(frames.records) == sum(len(batch) for batch in batches[: frames.count])


def test_no_byte_can_be_changed_unseen() -> None:
    data, _ = file_of([records(0, 2), records(2, 1)])
    first = decode_frames(data, LANE, HEADER_BYTES).ends[0] - HEADER_BYTES
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x41
        frames = decode_frames(bytes(changed), LANE, HEADER_BYTES)
        assert frames.count == (0 if at < first else 1)


@pytest.mark.parametrize(("lane", "offset"), [(LANE, HEADER_BYTES + 1), (LANE, 0), (OTHER, HEADER_BYTES)])
def test_a_frame_counts_at_its_own_place_only(lane: str, offset: int) -> None:
    data, _ = file_of([records(0, 1)])
    assert decode_frames(data, LANE, HEADER_BYTES).count == 1
    assert decode_frames(data, lane, offset).count == 0


def test_stale_frames_behind_a_torn_one_do_not_count() -> None:
    data, ends = file_of([records(0, 1), records(1, 1), records(2, 1)])
    torn = bytearray(data)
    torn[ends[0] - HEADER_BYTES + 20] ^= 1
    assert decode_frames(bytes(torn), LANE, HEADER_BYTES).end == ends[0]


def test_nothing_follows_a_closing_frame() -> None:
    data, ends = file_of([records(0, 1)])
    closed = data + encode_frame(SALT, ends[-1], b"", 0, CLOSING)
    more = closed + encode_frame(SALT, HEADER_BYTES + len(closed), encode_records(records(1, 1)), 1)
    frames = decode_frames(more, LANE, HEADER_BYTES)
    assert frames.closed
    assert frames.end == HEADER_BYTES + len(closed)
    assert len(frames.records) == 1


@pytest.mark.parametrize(("length", "count"), [(LANE_FRAME_BYTES + 1, 1), (10, SEGMENT_DELTAS + 1)])
def test_a_frame_that_claims_too_much_is_none(length: int, count: int) -> None:
    rest = length.to_bytes(4) + count.to_bytes(2) + b"\0\0" + b"x" * 10
    data = zlib.crc32(rest, SALT ^ HEADER_BYTES).to_bytes(4) + rest
    frames = decode_frames(data, LANE, HEADER_BYTES)
    assert (frames.count, frames.cut) == (0, False)


def test_a_frame_that_cannot_be_read_is_told_and_passed_over() -> None:
    data, ends = file_of([records(0, 1)])
    data += encode_frame(SALT, ends[-1], b"\x95junk", 1)
    last = HEADER_BYTES + len(data)
    data += encode_frame(SALT, last, encode_records(records(7, 1)), 1)
    frames = decode_frames(data, LANE, HEADER_BYTES)
    assert [record.key for record in frames.records] == ["k/0", "k/7"]
    assert [(bad.start, bad.end) for bad in frames.broken] == [(ends[-1], last)]
    assert frames.end == HEADER_BYTES + len(data)


def test_headers_round_trip_and_tell_damage_from_news() -> None:
    header = LaneHeader(LANE, 1_800_000_000_000)
    data = encode_header(header)
    assert len(data) == HEADER_BYTES
    assert decode_header(data + bytes(100), "n") == header
    for at in range(HEADER_BYTES):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(CorruptObject):
            decode_header(bytes(changed), "n")
    with pytest.raises(CorruptObject):
        decode_header(data[:-1], "n")
    newer = MAGIC + bytes([FORMAT + 1]) + data[5:28]
    with pytest.raises(UnknownFormat):
        decode_header(newer + zlib.crc32(newer).to_bytes(4), "n")
