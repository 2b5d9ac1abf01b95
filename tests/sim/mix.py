"""From a seed to a world: who plays, in what weather, at what pace; and from a world to a verdict.

    report = play(plan_of(7))           # raises Violation
    smallest = shrink(plan_of(7))       # the fewest parts that fail still

Invariants: a plan follows from its seed alone; a part that is dropped leaves the dice of the others as they were.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swampstore.client.audit import CoreTopic
from swampstore.testing.sim_store import Faults
from tests.sim.roles import (
    KEYS,
    Seeing,
    compactor,
    keeper,
    mirror,
    pusher,
    reader,
    scholar,
    sweeper,
    writer,
)
from tests.sim.roles_care import examiner, forcer, pruner, resizer, restorer
from tests.sim.roles_shared import (
    COUNTERS,
    STREAMS,
    TOPIC,
    check_audit,
    check_versions,
    collector,
    counter,
    follower,
    historian,
    holder,
    number_in,
    queuer,
    scribe,
    signaller,
)
from tests.sim.world import CROWDED, HOUR_S, PARTIAL, TINY, Cast, Part, World, sizes

ROLES: dict[str, Callable[[Part], Coroutine[Any, Any, None]]] = {
    "writer": writer,
    "pusher": pusher,
    "keeper": keeper,
    "reader": reader,
    "scholar": scholar,
    "mirror": mirror,
    "compactor": compactor,
    "sweeper": sweeper,
    "counter": counter,
    "holder": holder,
    "queuer": queuer,
    "signaller": signaller,
    "follower": follower,
    "collector": collector,
    "historian": historian,
    "scribe": scribe,
    "examiner": examiner,
    "pruner": pruner,
    "restorer": restorer,
    "resizer": resizer,
    "forcer": forcer,
}
THEMES: tuple[tuple[str, ...], ...] = (
    ("writer", "writer", "reader"),
    ("writer", "pusher", "mirror"),
    ("writer", "pusher", "scholar"),
    ("keeper", "keeper", "reader"),
    ("counter", "counter", "counter"),
    ("holder", "holder", "counter"),
    ("queuer", "queuer", "queuer"),
    ("signaller", "signaller", "follower"),
    ("collector", "collector", "historian"),
    ("scribe", "scribe"),
)
"""Parts that have something to do with each other; a world has two of these."""
CARE: tuple[tuple[str, ...], ...] = (("examiner",), ("pruner",), ("restorer", "restorer"), ("resizer",), ("forcer",))
"""Parts that look after the others; a third of the worlds have one of these, on top."""
MEETS = {"resizer": "queuer", "forcer": "holder"}
"""Who must be there for a part of those to have something to do."""

WEATHERS: dict[str, Faults] = {
    "calm": Faults(short=0.2),
    "harsh": Faults(
        lost=0.03, late=0.02, again=0.02, refused=0.03, busy=0.03, short=0.2, pause=0.01, jump=0.002, latency_s=0.1
    ),
    "deadly": Faults(
        lost=0.03, late=0.02, again=0.02, refused=0.02, short=0.2, kill=0.004, pause=0.01, pause_s=60, latency_s=0.05
    ),
    "torn": Faults(lost=0.02, late=0.02, again=0.02, short=0.2, cut=0.03, pause=0.005, latency_s=0.05),
    "sleepy": Faults(lost=0.02, late=0.02, again=0.02, short=0.1, pause=0.04, pause_s=90, latency_s=0.3),
}
PACES: dict[str, tuple[float, float]] = {
    "seconds": (2.0, 60.0),
    "minutes": (25.0, 300.0),
    "days": (2 * HOUR_S, 96 * HOUR_S),
    "weeks": (12 * HOUR_S, 300 * HOUR_S),
}
"""How long parts rest between two deeds, and how long a world lasts (s)."""


@dataclass(frozen=True)
class Plan:
    """A world before it begins."""

    seed: int
    pace: str
    weather: str
    partial: bool
    casts: tuple[Cast, ...]
    files: float = 0.0
    """How many of the processes write lanes that are files, as on a local disk."""
    crowded: bool = False
    """Whether the caches hold only a few things."""

    def __str__(self) -> str:
        who = ", ".join(f"{cast.name} x {cast.count}" for cast in self.casts)
        extra = f"{', partial folds' if self.partial else ''}{f', files {self.files}' if self.files else ''}"
        extra += ", crowded caches" if self.crowded else ""
        return f"seed {self.seed}: {self.pace}, {self.weather}{extra}: {who}"


@dataclass(frozen=True)
class Played:
    """What a world did: store calls and deeds, steps of the scheduler, roots published, and the hash of it all."""

    steps: int
    roots: int
    ops: int
    refused: int
    digest: int


def plan_of(seed: int) -> Plan:
    """The plan of ``seed``."""
    dice = random.Random(seed)
    pace = dice.choice(("seconds", "seconds", "seconds", "seconds", "minutes", "minutes", "days", "weeks"))
    weather = dice.choice(("calm", "harsh", "deadly", "torn", "sleepy"))
    compactors = dice.choice((0, 1, 2, 2, 2, 2, 2))
    sweepers = dice.choice((0, 1, 1)) or int(not compactors)
    roles = [*dice.choice(THEMES), *dice.choice(THEMES), *["compactor"] * compactors, *["sweeper"] * sweepers]
    partial = dice.random() < 0.3
    roles += _care(random.Random(f"care {seed}"), roles)
    names: dict[str, int] = {}
    casts = []
    for role in roles:
        names[role] = names.get(role, 0) + 1
        casts.append(Cast(role, f"{role}-{names[role]}", _count(role, pace)))
    files = random.Random(f"files {seed}").choice((0.0, 0.7, 1.0))
    crowded = random.Random(f"crowded {seed}").random() < 0.25
    return Plan(seed, pace, weather, partial, tuple(casts), files, crowded)


def _care(dice: random.Random, roles: Sequence[str]) -> Sequence[str]:
    """Who looks after a world, if anybody; where there are queues or locks, more often those who meddle with them."""
    fitting = [who for who in CARE if MEETS.get(who[0]) in (None, *roles)]
    meddling = [who for who in fitting if who[0] in MEETS]
    if meddling and dice.random() < 0.5:
        return dice.choice(meddling)
    return dice.choice(fitting) if dice.random() < 0.3 else ()


def _count(role: str, pace: str) -> int:
    if role == "compactor":
        return 30
    if role in ("holder", "scholar", "examiner", "restorer"):
        return 3
    return 6


def play(plan: Plan, *, trace: list[str] | None = None) -> Played:
    """Play a world to its end and look at what is left of it. Raises ``Violation``, or what the code fails with."""
    pace_s, horizon_s = PACES[plan.pace]
    horizon_s = max(horizon_s, 240.0) if plan.weather == "torn" else horizon_s  # longer than anybody is cut off
    limits = (*TINY, *((PARTIAL,) if plan.partial else ()), *(CROWDED if plan.crowded else ()))
    with sizes(limits):
        world = World(plan.seed, pace_s=pace_s, horizon_s=horizon_s, faults=WEATHERS[plan.weather], files=plan.files)
        if trace is not None:
            world.sim.tracing, world.sim.trace = True, trace
        for cast in plan.casts:
            world.enter(cast, ROLES[cast.role])
        try:
            world.run()
            world.calm(_last_look)
        finally:
            world.sim.close()
    books = world.books
    return Played(world.sim.steps, world.auditor.roots, books.ops, books.refused, world.sim.digest)


async def _last_look(end: Part) -> None:
    """Fold and merge everything; then all that was promised is there, read by the code and worked out by the auditor."""
    auditor, books = end.auditor, end.books
    await end.ns.compact()
    for _ in range(50):
        read = await end.ns.snapshot()
        if not read.slots:
            break
        await end.ns.compact()
    else:
        end.fail("the log does not become empty")
    auditor.truth.check_conflicts()
    seeing = Seeing(end)
    seeing.begin()
    for key, found in (await read.winners(KEYS)).items():
        seeing.check(key, found)
    for key in COUNTERS:
        entry = await end.ns.get(key)
        value = number_in(await end.ns.read(key)) if entry else 0
        if value != auditor.shared.counters.get(key, 0) or value < books.increments.get(key, 0):
            end.fail(f"{key} is {value}, {books.increments.get(key, 0)} increments were acknowledged")
    for name in STREAMS:
        records = await end.ns.open_stream(name).read()
        if [(record.position, record.data) for record in records] != auditor.shared.streams.get(name, []):
            end.fail(f"stream {name} is not what its lane holds")
    await check_versions(end)
    await check_audit(end, CoreTopic(end.ns, TOPIC))


def failure(plan: Plan) -> str | None:
    """How ``plan`` fails; ``None`` if it does not."""
    try:
        play(plan)
    except Exception as error:  # noqa: BLE001 (code that falls over has failed too)
        return f"{type(error).__name__}: {error}"
    return None


def shrink(plan: Plan) -> Plan:
    """The plan with fewest parts found by dropping one after the other while it fails still."""
    going = True
    while going:
        going = False
        for cast in plan.casts:
            smaller = replace(plan, casts=tuple(other for other in plan.casts if other is not cast))
            if smaller.casts and failure(smaller) is not None:
                plan, going = smaller, True
                break
    return plan
