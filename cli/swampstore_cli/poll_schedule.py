"""When a poller runs: every so many seconds from its start, a little later by chance, and what becomes of overlaps.

Invariants:
- Tick n lies at ``n * every`` after the start, moved by its own jitter of 0 to ``jitter`` seconds: a late run never moves
  the ticks behind it.
- ``skip``: ticks that passed while a run took longer than its period are counted and left out. ``queue``: they are run one
  behind the other, at most ``QUEUED`` of them (a machine that slept for a night does not run all night's polls).
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from swampstore.errors import Misuse

SKIP, QUEUE = "skip", "queue"
QUEUED = 10
JITTER_SHARE = 0.1
SHORTEST_S, LONGEST_S = 0.05, 366 * 86400.0


class Tick(NamedTuple):
    """``at`` is in seconds since the start; ``missed`` counts the ticks that were left out just before it."""

    number: int
    at: float
    missed: int


class Schedule:
    """Raises ``Misuse`` for a period, jitter or way with overlaps that makes no sense."""

    def __init__(self, every_s: float, jitter_s: float, overlap: str, dice: random.Random) -> None:
        if not SHORTEST_S <= every_s <= LONGEST_S:
            raise Misuse(f"--every {every_s:g} s makes no sense", hint="50 milliseconds to a year")
        if not 0 <= jitter_s <= every_s:
            raise Misuse(f"a jitter of {jitter_s:g} s", hint="0 to the period itself")
        if overlap not in (SKIP, QUEUE):
            raise Misuse(f"--overlap {overlap!r}", hint=f"{SKIP} (the default) or {QUEUE}")
        self._every = every_s
        self._jitter = jitter_s
        self._overlap = overlap
        self._dice = dice
        self._next = 0

    def next(self, now: float) -> Tick:
        """The next tick, asked for at ``now`` (seconds since the start). It may lie in the past: run it at once."""
        number = self._next
        passed = (
            math.ceil(now / self._every) if number else 0
        )  # the first tick that is not before now; the first is due
        if self._overlap == SKIP and number < passed:
            number = passed
        elif number < passed - QUEUED:
            number = passed - QUEUED
        missed, self._next = number - self._next, number + 1
        return Tick(number, number * self._every + self._dice.random() * self._jitter, missed)
