"""Versions: their bytes compare as their parts, and a tombstone of one version orders just above it."""

from __future__ import annotations

from itertools import repeat

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swampstore.errors import CorruptObject
from swampstore.values.version import (
    MAX_HLC,
    VERSION_BYTES,
    check_version,
    hlc_of,
    is_refined,
    is_version,
    just_above,
    make_version,
    make_versions,
    put_of,
    refined,
    split_version,
    unrefined,
    version_ms,
)

hlcs = st.integers(0, MAX_HLC)
writers = st.binary(min_size=12, max_size=12)
ops = st.integers(0, (1 << 32) - 1)
parts = st.tuples(hlcs, writers, ops)
near = st.tuples(st.integers(0, 3), st.sampled_from([b"a" * 12, b"b" * 12]), st.integers(0, 3))


@given(parts)
def test_versions_round_trip(one: tuple[int, bytes, int]) -> None:
    version = make_version(*one)
    assert len(version) == VERSION_BYTES
    assert split_version(version) == split_version(just_above(version)) == one


@given(parts, st.integers(0, 5))
def test_many_are_what_each_would_be(one: tuple[int, bytes, int], count: int) -> None:
    hlc, writer, op = one
    assert make_versions(repeat(hlc, count), writer, repeat(op)) == [make_version(*one)] * count
    assert make_versions([hlc, hlc // 2], writer, [op, 0]) == [make_version(*one), make_version(hlc // 2, writer, 0)]


@given(st.one_of(parts, near), st.one_of(parts, near))
def test_bytes_order_is_version_order(a: tuple[int, bytes, int], b: tuple[int, bytes, int]) -> None:
    assert (make_version(*a) < make_version(*b)) == (a < b)
    assert (make_version(*a) == make_version(*b)) == (a == b)


@given(near, near)
def test_just_above_lies_between_its_base_and_every_later_put(
    a: tuple[int, bytes, int], b: tuple[int, bytes, int]
) -> None:
    base, other = make_version(*a), make_version(*b)
    assert base < just_above(base)
    assume(base != other)
    assert (just_above(base) < other) == (base < other)
    assert (just_above(base) < just_above(other)) == (base < other)
    assert just_above(just_above(base)) == just_above(base)


@given(near, near, st.integers(1, 254))
def test_refinements_lie_between_their_put_and_its_tombstone(
    a: tuple[int, bytes, int], b: tuple[int, bytes, int], times: int
) -> None:
    put, other = make_version(*a), make_version(*b)
    last = put
    for _ in range(times):
        assert last < refined(last) < just_above(put)
        last = refined(last)
        assert is_version(last)
        assert is_refined(last)
        assert put_of(last) == unrefined(last) == put
        assert just_above(last) == just_above(put)
    assume(put != other)
    assert (last < other) == (put < other)


def test_a_put_is_refined_254_times_and_a_tombstone_never() -> None:
    version = make_version(1, b"w" * 12, 1)
    gone = just_above(version)
    assert (is_refined(version), is_refined(gone), unrefined(gone), put_of(gone)) == (False, False, gone, version)
    for _ in range(254):
        version = refined(version)
    for last in (version, gone):
        with pytest.raises(OverflowError):
            refined(last)


@given(st.integers(0, (1 << 48) - 1), st.integers(0, 0xFFFF))
def test_the_clock_part_is_milliseconds_and_a_counter(ms: int, counter: int) -> None:
    assert version_ms(make_version(hlc_of(ms, counter), b"w" * 12, 0)) == ms
    assert hlc_of(ms, counter) < hlc_of(ms + 1)


@given(st.binary(max_size=30))
def test_only_versions_pass(data: bytes) -> None:
    good = len(data) == 24 or (len(data) == 25 and data[24] != 0)
    assert is_version(data) == good
    if good:
        check_version(data, "x")
    else:
        with pytest.raises(CorruptObject, match="obj"):
            check_version(data, "obj")


@pytest.mark.parametrize("value", [None, "a" * 24, bytearray(24), 3])
def test_what_is_not_bytes_is_no_version(value: object) -> None:
    assert not is_version(value)
