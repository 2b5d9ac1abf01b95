"""What the fault proxy does to each request: drawn from a seed, or written down.

Invariants:
- A request's fault follows from the seed, what is asked (method, name, query) and how often that was asked before;
  from no clock, and from no other request. So a run with one client can be repeated, and of a run with many each
  request that comes again meets the same again.
- Random parts of names (writers, unique names) count as one, and so do buckets: the first segment of any writer is the
  first.
- Throttling alone looks at a clock: it is a rate.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

_RANDOM_PART = re.compile(r"^/[^/?]+|[0-9a-f]{20,}|(?<=/w)[0-9a-f]{16}(?=/)")

BEFORE = ("reset-before", "hang", "status", "late", "cut-request", "throttled")
"""Faults of requests that the server has not carried out when their client stops waiting."""
AFTER = (
    "reset-after",
    "hang-after",
    "applied-then",
    "cut-answer",
    "slow-answer",
    "slow-request",
    "replay-first",
    "replay",
)
"""Faults of requests that the server has carried out."""


class Fault(NamedTuple):
    """What happens to one request. ``delay`` comes before anything else; all times are in seconds.

    ``seconds``: how late a late one is delivered, or how long a slow body takes. ``status``: what is answered. ``part``:
    how much of a message that is cut gets through, of 1.
    """

    kind: str = "pass"
    delay: float = 0.0
    seconds: float = 0.0
    status: int = 0
    part: float = 0.5


class Weather(Protocol):
    """Decides; called once for each request, in the order they came in."""

    def decide(self, method: str, target: str) -> Fault:
        """The fault of the request for ``target`` (path and query)."""
        ...


class Climate(NamedTuple):
    """How often what happens (``shares``, of 1), base and jitter of the delay, requests a second (0: any number)."""

    shares: Mapping[str, float]
    delay: float = 0.0
    jitter: float = 0.0
    rate: int = 0
    seconds: float = 0.3


_LOST = {"reset-before": 0.03, "reset-after": 0.03, "applied-then": 0.03, "status": 0.03, "late": 0.03, "replay": 0.03,
         "replay-first": 0.02}  # fmt: skip
CLIMATES: Mapping[str, Climate] = {
    "calm": Climate({}),
    "far": Climate({}, delay=0.02, jitter=0.01),
    "harsh": Climate(_LOST | {"cut-answer": 0.02, "slow-answer": 0.02, "slow-request": 0.02, "cut-request": 0.02}, jitter=0.004),
    "deaf": Climate({"hang": 0.01, "hang-after": 0.01, "late": 0.02, "reset-after": 0.02}, jitter=0.004),
    "throttled": Climate({"status": 0.02, "applied-then": 0.02}, rate=60),
    "torn": Climate({kind: 2 * share for kind, share in _LOST.items()}, jitter=0.002, seconds=1.0),
}  # fmt: skip
REFUSALS = (500, 502, 503, 504, 429)
REFUSED_PUTS = (*REFUSALS, 409)


class Seeded:
    """The weather of a climate under a seed."""

    def __init__(self, climate: Climate | str, seed: int) -> None:
        self.climate = CLIMATES[climate] if isinstance(climate, str) else climate
        self.seed = seed
        self._asked: Counter[str] = Counter()
        self._second, self._in_second = 0, 0

    def decide(self, method: str, target: str) -> Fault:
        what = f"{method} {_RANDOM_PART.sub('*', target)}"
        self._asked[what] += 1
        dice = random.Random(f"{self.seed} {what} {self._asked[what]}")
        delay = self.climate.delay + dice.random() * self.climate.jitter
        if self._over_rate():
            return Fault("throttled", delay, status=503)
        roll = dice.random()
        for kind, share in self.climate.shares.items():
            roll -= share
            if roll < 0:
                status = dice.choice(REFUSED_PUTS if method == "PUT" else REFUSALS)
                return Fault(kind, delay, dice.random() * self.climate.seconds, status, dice.random())
        return Fault(delay=delay)

    def _over_rate(self) -> bool:
        if not self.climate.rate:
            return False
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second > self.climate.rate


class Scripted:
    """Faults for the first, second ... request whose ``METHOD target`` a pattern is found in; all others pass."""

    def __init__(self, faults: Mapping[str, Sequence[Fault]]) -> None:
        self._left = {re.compile(pattern): list(wanted) for pattern, wanted in faults.items()}

    def decide(self, method: str, target: str) -> Fault:
        for pattern, wanted in self._left.items():
            if wanted and pattern.search(f"{method} {target}"):
                return wanted.pop(0)
        return Fault()

    @property
    def spent(self) -> bool:
        """Whether every fault has happened."""
        return not any(self._left.values())
