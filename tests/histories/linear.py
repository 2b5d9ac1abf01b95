"""Is a history linearizable? The search of Wing and Gong, with a memory of what was tried (Lowe).

A history is linearizable if its operations can be put into one order, each taking effect at an instant between its begin
and its end, in which a plain object gives the same answers. What is unknown may take effect at any instant after its
begin, or never.

Invariant: an operation may come next only if no other that is not yet placed ended before it began.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from tests.histories.record import FOREVER

STEPS_MAX = 2_000_000


class Move(NamedTuple):
    """One operation as the search sees it. ``states(state)``: the states it may lead to; none when it cannot come now."""

    begin: int
    end: int
    states: Callable[[Any], Iterable[Hashable]]
    may_be_skipped: bool = False
    label: str = ""


class TooHard(Exception):
    """The search gave up: neither yes nor no."""


def check_linear(moves: Sequence[Move], start: Hashable) -> list[str]:
    """Nothing if an order exists; else what the longest order that was found could not be followed by."""
    ordered = sorted(moves, key=lambda move: (move.begin, move.end))
    ends = [FOREVER if move.may_be_skipped else move.end for move in ordered]
    needed = sum(1 << at for at, move in enumerate(ordered) if not move.may_be_skipped)
    stack: list[tuple[int, Hashable]] = [(0, start)]
    tried: set[tuple[int, Hashable]] = set()
    best, best_state, steps = 0, start, 0
    while stack:
        placed, state = stack.pop()
        if (placed, state) in tried:
            continue
        tried.add((placed, state))
        steps += 1
        if steps > STEPS_MAX:
            raise TooHard(f"{len(ordered)} operations")
        if placed & needed == needed:
            return []
        if placed.bit_count() > best.bit_count():
            best, best_state = placed, state
        for at in reversed(_open(ordered, ends, placed)):
            stack.extend((placed | 1 << at, after) for after in ordered[at].states(state))
    stuck = ", ".join(ordered[at].label for at in _open(ordered, ends, best))
    return [
        f"after {best.bit_count()} of {len(ordered)} operations the state is {best_state!r}, and none can come: {stuck}"
    ]


def _open(ordered: Sequence[Move], ends: Sequence[int], placed: int) -> list[int]:
    """What may come next: begun before the first end among those not placed."""
    first_end = FOREVER
    found: list[int] = []
    for at in range(_low_ones(placed), len(ordered)):
        if placed >> at & 1:
            continue
        if ordered[at].begin > first_end:
            break
        found.append(at)
        first_end = min(first_end, ends[at])
    return [at for at in found if ordered[at].begin <= first_end]


def _low_ones(placed: int) -> int:
    """How many of the first operations are placed without a gap."""
    return ((placed + 1) & ~placed).bit_length() - 1
