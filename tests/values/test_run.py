"""Runs: a look-up in one is a look-up in the dict it was made from, and every damage is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.errors import CorruptObject
from swampstore.values import run as run_format
from swampstore.values.entry import Record, record_sum, tombstone
from swampstore.values.root import RunRef
from swampstore.values.run import (
    FOOTER,
    BlockInfo,
    RunBuilder,
    block_for,
    build_run,
    decode_block,
    decode_index,
    decode_rows,
    decode_run,
    index_span,
)
from swampstore.values.version import make_version
from tests.values.strategies import put


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_format, "BLOCK_RAW_BYTES", 300)
        yield


def records(count: int, step: int = 1) -> list[Record]:
    made = []
    for n in range(0, count * step, step):
        key = f"k/{n:05d}"
        gone = n % 7 == 3
        made.append(
            tombstone(key, make_version(n + 1, b"w" * 12, 0))
            if gone
            else put(key, n + 1, data=b"x" * (n % 50), expires=1000 + n if n % 5 == 4 else 0)
        )
    return made


def index_of(ref: RunRef, data: bytes) -> list[BlockInfo]:
    at, length = index_span(ref)
    return decode_index(data[at : at + length], "obj")


def look_up(ref: RunRef, data: bytes, key: str) -> Record | None:
    info = block_for(index_of(ref, data), key)
    if info is None:
        return None
    return decode_rows(info, data[info.offset : info.offset + info.size], "obj").find(key)


def everything(ref: RunRef, data: bytes) -> list[Record]:
    return [record for info, stored in decode_run(ref, data, "obj") for record in decode_block(info, stored, "obj")]


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=120), min_size=1, max_size=40),
    st.lists(st.text(max_size=8)),
)
def test_point_look_ups_equal_a_dict(model: dict[str, bytes], others: list[str]) -> None:
    rows = {key: put(key, 1, data=data) for key, data in model.items()}
    ref, data = build_run("shard/x", [rows[key] for key in sorted(rows)])
    for key in (*model, *others):
        assert look_up(ref, data, key) == rows.get(key)
    assert everything(ref, data) == [rows[key] for key in sorted(rows)]


def test_the_reference_says_what_the_run_holds() -> None:
    rows = records(200)
    ref, data = build_run("shard/x", rows)
    index = index_of(ref, data)
    assert len(index) > 20
    assert (ref.first, ref.last, ref.count) == (rows[0].key, rows[-1].key, 200)
    assert ref.tombstones == sum(row.gone for row in rows) == sum(info.tombstones for info in index)
    assert ref.sum == sum(map(record_sum, rows)) == sum(info.sum for info in index)
    assert ref.expires == 1004 == min(info.expires for info in index if info.expires)
    assert (ref.size, ref.digest) == (len(data), hashlib.sha256(data).digest())
    assert FOOTER.unpack(data[-FOOTER.size :]) == (ref.index_at, index_span(ref)[1], b"SWRN")
    assert [info.offset for info in index[1:]] == [info.offset + info.size for info in index[:-1]]


def test_a_run_without_expiry_says_zero() -> None:
    assert build_run("l0/x", [put("a", 1)])[0].expires == 0


@pytest.mark.parametrize("rows", [[put("b", 1), put("a", 1)], [put("a", 1), put("a", 2)]], ids=["falling", "twice"])
def test_keys_must_rise_from_block_to_block(rows: list[Record]) -> None:
    builder = RunBuilder()
    builder.add_group(rows[:1])
    with pytest.raises(AssertionError, match="must rise"):
        builder.add_group(rows[1:])


@pytest.mark.parametrize("rows", [[put("b", 1), put("a", 1)], [put("a", 1), put("a", 2)]], ids=["falling", "twice"])
def test_keys_must_rise_within_a_block(rows: list[Record]) -> None:
    with pytest.raises(AssertionError, match="must rise"):
        build_run("l0/x", rows)


def test_whole_blocks_are_taken_over_unchanged() -> None:
    rows = records(120, step=2)
    ref, data = build_run("shard/old", rows)
    blocks = list(decode_run(ref, data, "obj"))
    fresh = put(blocks[2][0].first + "0", 9)
    builder = RunBuilder()
    for info, stored in blocks:
        if info.first <= fresh.key <= info.last:
            held = decode_block(info, stored, "obj")
            builder.add_group(sorted([*held, fresh], key=lambda row: row.key))
        else:
            builder.add_block(info, stored)
    new_ref, new_data = builder.finish("shard/new")
    assert everything(new_ref, new_data) == sorted([*rows, fresh], key=lambda row: row.key)
    assert new_ref.sum == ref.sum + record_sum(fresh)
    untouched = {stored for _, stored in blocks} & {stored for _, stored in decode_run(new_ref, new_data, "obj")}
    assert len(untouched) == len(blocks) - 1


def test_a_block_may_not_be_taken_over_out_of_order() -> None:
    ref, data = build_run("shard/old", records(40))
    (first, first_bytes), (second, second_bytes), *_ = decode_run(ref, data, "obj")
    builder = RunBuilder()
    builder.add_block(second, second_bytes)
    with pytest.raises(AssertionError, match="must rise"):
        builder.add_block(first, first_bytes)


@given(st.integers(1, 60))
def test_groups_become_blocks_of_even_size(count: int) -> None:
    builder = RunBuilder()
    builder.add_group(records(count))
    ref, data = builder.finish("shard/x")
    assert everything(ref, data) == records(count)
    sizes = [info.raw_size for info in index_of(ref, data)]
    assert max(sizes) < 2 * 300
    assert len(sizes) == 1 or min(sizes) > 60


def test_every_changed_byte_of_a_block_or_of_the_index_is_noticed() -> None:
    ref, data = build_run("shard/x", records(6))
    info = index_of(ref, data)[0]
    stored = data[info.offset : info.offset + info.size]
    for at in range(len(stored)):
        broken = stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :]
        with pytest.raises(CorruptObject, match="obj"):
            decode_block(info, broken, "obj")
    at, length = index_span(ref)
    for byte in range(at, at + length):
        broken = data[:byte] + bytes([data[byte] ^ 1]) + data[byte + 1 :]
        with pytest.raises(CorruptObject, match="obj"):
            index_of(ref, broken)
    for byte in range(0, len(data), 7):
        broken = data[:byte] + bytes([data[byte] ^ 1]) + data[byte + 1 :]
        with pytest.raises(CorruptObject, match="digest"):
            list(decode_run(ref, broken, "obj"))


def test_a_cut_block_is_noticed() -> None:
    ref, data = build_run("shard/x", records(6))
    info = index_of(ref, data)[0]
    for size in range(info.size):
        with pytest.raises(CorruptObject):
            decode_block(info, data[:size], "obj")


def test_an_index_that_lies_about_its_block() -> None:
    ref, data = build_run("shard/x", records(6))
    info = index_of(ref, data)[0]
    stored = data[info.offset : info.offset + info.size]
    for lie in ({"raw_size": 1 << 31}, {"raw_size": info.raw_size - 1}, {"count": info.count + 1}):
        with pytest.raises(CorruptObject, match="obj"):
            decode_block(msgspec.structs.replace(info, **lie), stored, "obj")


def test_no_block_covers_a_key_outside() -> None:
    ref, data = build_run("shard/x", records(50, step=10))
    index = index_of(ref, data)
    assert block_for(index, "a") is None
    assert block_for(index, "z") is None
    assert block_for([], "a") is None
    gap = index[0].last + "0"
    assert block_for(index, gap) is None
