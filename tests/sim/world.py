"""A simulated world: processes on one store, an auditor in between, and the books of what was promised to whom.

Invariants: everything follows from the plan (and so from its seed); a problem that anybody finds halts the run and is
raised as :class:`Violation`; sizes are tiny, so that a few dozen records spill, merge, split and are swept.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.errors import Damaged, FixTheCall, FixTheSetup, Misuse, SwampError
from swampstore.limits import CLOCK_OFF_MS
from swampstore.protocols import contents, drafting, place, tails
from swampstore.protocols.writer import Writer
from swampstore.stores.memory import MemoryStore
from swampstore.testing.sim import Process, Sim
from swampstore.testing.sim_audit import AuditedStore
from swampstore.testing.sim_store import Faults, SimStore
from swampstore.values import run as run_format
from swampstore.values.names import Names
from swampstore.workers import archive, archive_catalog, archive_sort, fold, level0, outputs, shards, side_runs, weave

NAMESPACE = "ops"
HOUR_S = 3600.0

TINY: tuple[tuple[Any, str, object], ...] = (
    (run_format, "BLOCK_RAW_BYTES", 600),
    (weave, "_SMALL_BLOCK_BYTES", 150),
    (weave, "_GROUP_BYTES", 1200),
    (weave, "_GOOD_BYTES", (450, 900)),
    (weave, "_WINDOW_BLOCKS", 3),
    (level0, "READ_AHEAD_BYTES", 500),
    (shards, "SHARD_TARGET_MIN_BYTES", 600),
    (shards, "SHARD_TARGET_MAX_BYTES", 1200),
    (outputs, "SHARD_TARGET_MAX_BYTES", 1200),
    (outputs, "_WRITE_BYTES", 1500),
    (fold, "INLINE_LEVEL0_BYTES", 900),
    (side_runs, "INLINE_EPHEMERAL_BYTES", 400),
    (side_runs, "EPHEMERAL_RUN_BYTES", 150),
    (side_runs, "_BURIALS_PER_FOLD", 3),
    (archive, "INLINE_AUDIT_BYTES", 300),
    (archive, "AUDIT_FRESH_FILES", 2),
    (archive_sort, "AUDIT_FILE_BYTES", 1000),
    (archive_catalog, "CATALOG_RUN_BYTES", 600),
    (contents, "INLINE_CONTENT_BYTES", 40),
    (contents, "PACKED_CONTENT_BYTES", 100),
    (drafting, "INLINE_CONTENT_BYTES", 40),
    (tails, "_LOOK_BYTES", 150),
    (tails, "_FIRST_BYTES", 300),
    (tails, "_MOST_BYTES", 600),
)
PARTIAL = (fold, "SEGMENTS_PER_FOLD", 3)
"""In some worlds a fold takes only a few segments, so that the log is hardly ever empty."""
CROWDED: tuple[tuple[Any, str, object], ...] = (
    (place, "SEGMENT_CACHE_BYTES", 14_000),
    (place, "INDEX_CACHE_BYTES", 10_000),
    (place, "BLOCK_CACHE_BYTES", 6000),
)
"""In some worlds the caches hold a few things, so that what was there a moment ago may be gone."""


@contextmanager
def sizes(wanted: Sequence[tuple[Any, str, object]]) -> Iterator[None]:
    """Limits as in ``wanted``, and as they were afterwards."""
    held = [(module, name, getattr(module, name)) for module, name, _ in wanted]
    try:
        for module, name, value in wanted:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in held:
            setattr(module, name, value)


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass
class Books:
    """What was promised: by key, the highest version that was acknowledged and what it says."""

    acked: dict[str, tuple[bytes, bool, int]] = field(default_factory=dict)
    """key -> (version, whether it deletes, when it expires)"""
    increments: dict[str, int] = field(default_factory=dict)
    stream: dict[str, list[bytes]] = field(default_factory=dict)
    fenced: set[tuple[str, str]] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    numbered: dict[str, int] = field(default_factory=dict)
    audit: set[str] = field(default_factory=set)
    ops: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Cast:
    """One part of a plan: who does what, how often."""

    role: str
    name: str
    count: int


class Part:
    """One process in its role."""

    def __init__(self, world: World, cast: Cast, process: Process, ns: CoreNamespace) -> None:
        self.world = world
        self.cast = cast
        self.process = process
        self.ns = ns
        self.dice = process.dice
        self.books = world.books
        self.auditor = world.auditor
        self.left = cast.count

    @property
    def name(self) -> str:
        return self.cast.name

    @property
    def now_ms(self) -> int:
        return self.auditor.clock_ms

    async def rest(self, share: float = 1.0) -> None:
        """A pause of about the world's pace."""
        await self.process.env.sleep(self.dice.expovariate(1.0) * self.world.pace_s * share)

    def fail(self, problem: str) -> None:
        self.auditor.fail(f"{self.cast.role} {self.name}: {problem}")

    async def attempt(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of ``work``; ``None`` for an error that the store's behaviour explains. Any other is a problem."""
        self.books.ops += 1
        try:
            return await work
        except SwampError as error:
            self.refused(error)
            return None

    def refused(self, error: BaseException) -> None:
        self.books.refused += 1
        if isinstance(error, Damaged | FixTheCall | FixTheSetup | AssertionError) and not _explained(error, self):
            self.fail(f"{type(error).__name__}: {error}")


def _explained(error: BaseException, part: Part) -> bool:
    """A clock that is far off, contents that lay for too long: the library refuses, as it should."""
    if type(error).__name__ == "ClockOff":
        return abs(part.process.env.skew_ms) > CLOCK_OFF_MS - 10_000
    return type(error) is Misuse and "ago" in str(error)


class World:
    """Some processes on one store."""

    def __init__(self, seed: int, *, pace_s: float, horizon_s: float, faults: Faults, files: float = 0.0) -> None:
        self.sim = Sim(seed)
        self.inner = MemoryStore(self.sim.process("store").env, url=f"memory://sim-{seed}", lanes=bool(files))
        self.files = files
        """How many of the processes write lanes that are files."""
        self.auditor = AuditedStore(self.sim, self.inner, Names(NAMESPACE))
        self.pace_s = pace_s
        self.horizon_s = horizon_s
        self.faults = faults
        self.books = Books()
        self.parts: list[Part] = []

    def join(self, cast: Cast, faults: Faults | None = None) -> Part:
        """A new process with an open namespace; its clock is a little off."""
        process = self.sim.process(cast.name)
        most = process.dice.choice((3_000, 3_000, 3_000, 200_000))
        process.env.skew_ms = process.dice.randint(-most, most)
        store = SimStore(process, self.auditor, faults or self.faults)
        ns = CoreStore(store, process.env).namespace(NAMESPACE)
        ns._proved = True  # the probe is tested elsewhere; here it would only cost steps
        if random.Random(f"{self.sim.seed}/{cast.name}/files").random() >= self.files:
            ns.writer = Writer(ns.place)
        part = Part(self, cast, process, ns)
        self.parts.append(part)
        return part

    def enter(self, cast: Cast, role: Callable[[Part], Coroutine[Any, Any, None]]) -> None:
        """Begin to play a part; who is killed comes back as a new process, with what it had left to do."""
        part = self.join(cast)

        def again() -> None:
            born = Cast(cast.role, f"{cast.name}+", part.left // 2)
            if born.count:
                self.sim.process("nurse of " + born.name).spawn(self._reborn(born, role))

        part.process.on_kill = again
        part.process.spawn(role(part), cast.role)

    async def _reborn(self, cast: Cast, role: Callable[[Part], Coroutine[Any, Any, None]]) -> None:
        nurse = self.sim.running
        assert nurse is not None
        await nurse.process.env.sleep(nurse.process.dice.random() * 20)
        self.enter(cast, role)

    def run(self) -> None:
        """Until the horizon; raises the first problem."""
        self.sim.run(seconds=self.horizon_s)
        self.check()

    def check(self) -> None:
        if self.auditor.problems:
            raise Violation(self.auditor.problems[0])

    def calm(self, work: Callable[[Part], Coroutine[Any, Any, None]]) -> None:
        """Everybody stops; one process on a healthy store does ``work`` to its end."""
        for part in self.parts:
            part.process.on_kill = None
            part.process.kill()
        self.sim.run(seconds=120.0)  # what is on its way arrives
        end = self.join(Cast("end", "end", 1), Faults())
        actor = end.process.spawn(work(end))
        self.sim.run(seconds=100_000.0, until=actor)
        self.check()
        if actor.error is not None:
            raise actor.error
        if not actor.done:
            raise Violation("a calm process does not come to an end")
