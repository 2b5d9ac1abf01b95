"""One process at work in a soak: its store, its dice, its ledgers and gauges, its pace."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv
from swampstore.errors import Conflict, SwampError, TryAgain, Undecided
from swampstore.stores.open import open_store
from tests.soak.chaos import ChaosStore
from tests.soak.gauges import Gauges
from tests.soak.ledger import Cells, Marks

NAMESPACE = "soak"
TREES = "soak-trees"
ROOM = 2_000_000
"""Events that one part may note: more than it can do in a day (the file is sparse)."""


class Lost(AssertionError):
    """What was promised does not hold."""


class Setting(msgspec.Struct, frozen=True):
    """What all processes of a run share. ``rate`` is operations a second of each, ``odds`` that a store call fails."""

    url: str
    folder: Path
    seed: int
    until: float
    rate: float
    odds: float
    crew: dict[str, int]
    """How many there are of each role."""
    broken: str = ""


class Deed:
    """An operation: it went well (``ok``), or ``error`` says how it did not."""

    def __init__(self) -> None:
        self.ok = False
        self.error: SwampError | None = None

    @property
    def not_done(self) -> bool:
        """It is known that nothing happened."""
        return isinstance(self.error, TryAgain | Conflict)


class Desk:
    """See the module."""

    def __init__(self, setting: Setting, role: str, index: int, born: int, *, lasting: bool) -> None:
        self.setting = setting
        self.role, self.index = role, index
        self.name = f"{role}-{index}"
        self.dice = random.Random(f"{setting.seed} {self.name} {born}")
        self._cells: dict[str, Cells] = {}
        self._marks: dict[str, Marks] = {}
        env = BlockingEnv()
        bare = open_store(setting.url, env=env, timeout=20.0)
        chaos = ChaosStore(bare, setting.odds, self.dice.randrange(1 << 30))
        self.store = Datastore(CoreStore(chaos, env, timeout=20.0))
        self.ns: Namespace = self.store.namespace(NAMESPACE)
        self.gauges = Gauges(setting.folder / f"{self.name}.gauges", self.name, lasting=lasting, faults=chaos.met)

    def working(self) -> bool:
        """Rest a little; whether there is time for one more."""
        self.gauges.tick()
        time.sleep(self.dice.expovariate(self.setting.rate))
        return time.monotonic() < self.setting.until

    @contextmanager
    def doing(self, kind: str) -> Iterator[Deed]:
        """Carry out one operation. What a fault explains ends it quietly; anything else is a surprise and is raised."""
        deed = Deed()
        try:
            with self.gauges.timed(kind):
                yield deed
        except (TryAgain, Undecided, Conflict) as error:
            deed.error = error
        else:
            deed.ok = True

    def many(self, role: str) -> range:
        """The parts of a role."""
        return range(self.setting.crew.get(role, 0))

    def any(self, role: str) -> int:
        return self.dice.randrange(self.setting.crew[role])

    def cells(self, name: str, count: int) -> Cells:
        if name not in self._cells:
            self._cells[name] = Cells(self.setting.folder / f"{name}.cells", count)
        return self._cells[name]

    def marks(self, name: str) -> Marks:
        if name not in self._marks:
            self._marks[name] = Marks(self.setting.folder / f"{name}.marks", ROOM)
        return self._marks[name]

    def require(self, holds: bool, problem: str) -> None:
        if not holds:
            raise Lost(f"{self.name}: {problem}")


def contents(key: str, number: int, size: int) -> bytes:
    """What is written to ``key`` the ``number``-th time: another piece each time, recognisable at both ends."""
    piece = f"{number}:{key}:".encode()
    return (piece * (size // len(piece) + 1))[: max(size, len(piece))]


def number_in(data: bytes) -> int:
    return int(data.split(b":", 1)[0])
