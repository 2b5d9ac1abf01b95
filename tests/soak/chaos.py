"""A store that now and then loses a request or an answer, under the retries of the library.

It remembers nothing: a soak measures memory.
"""

from __future__ import annotations

import random
from collections import Counter

from swampstore.stores.base import Store
from swampstore.stores.lanes import lanes_of
from swampstore.testing.wrappers import Fault, FaultyStore, busy, lost_answer, lost_request, slow_down

FAULTS = {"lost request": lost_request, "lost answer": lost_answer, "503": slow_down, "409": busy}


class ChaosStore(FaultyStore):
    """Each call meets a fault with ``odds``; ``met`` counts them by name."""

    def __init__(self, inner: Store, odds: float, seed: int) -> None:
        super().__init__(inner)
        self.lanes = lanes_of(inner)  # type: ignore[assignment]  # what they meet is the disk's, and being killed
        self._odds = odds
        self._dice = random.Random(seed)
        self.met: Counter[str] = Counter()

    def _fault(self, verb: str, names: tuple[str, ...]) -> Fault:
        if self._dice.random() >= self._odds:
            return None
        kind = self._dice.choice(tuple(FAULTS) if verb in ("create", "replace") else tuple(FAULTS)[:3])
        self.met[kind] += 1
        return FAULTS[kind]()
