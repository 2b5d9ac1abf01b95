"""Batches: everything once and in order, no more together than fits."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from swampstore.values.batches import batches


@given(st.lists(st.integers(0, 9)), st.integers(1, 4))
def test_as_many_as_fit_and_what_fits_nowhere_alone(sizes: list[int], most: int) -> None:
    found = list(batches(sizes, int, 7, most))
    assert [size for batch in found for size in batch] == sizes
    assert all(0 < len(batch) <= most and (sum(batch) <= 7 or len(batch) == 1) for batch in found)
    for batch, after in pairwise(found):
        assert len(batch) == most or sum(batch) + after[0] > 7, "the next would have fitted"
