"""Items in batches that fit into memory together.

Invariants: order is kept, every item is in one batch, and none is empty; what is too large for any batch comes alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batches(
    items: Iterable[T], size_of: Callable[[T], int], most_bytes: int, most: int = sys.maxsize
) -> Iterator[list[T]]:
    """``items``, at most ``most`` of them and ``most_bytes`` by ``size_of`` at a time."""
    batch: list[T] = []
    size = 0
    for item in items:
        more = size_of(item)
        if batch and (size + more > most_bytes or len(batch) >= most):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += more
    if batch:
        yield batch
