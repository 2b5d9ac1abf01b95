"""How many seeds it takes until a fault is noticed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.mutations.gallery import Fault
from tests.sim.mix import failure, plan_of


@dataclass(frozen=True)
class Caught:
    """``seed`` is the first that fails (``None``: none did), ``played`` how many worlds that have the roles were played."""

    seed: int | None
    played: int
    problem: str


def hunt(fault: Fault, *, most: int = 400, first: int = 0) -> Caught:
    """Play seeds from ``first`` on under ``fault``, at most ``most`` worlds, until one fails."""
    played, seed = 0, first
    while played < most:
        plan = plan_of(seed)
        if fault.segments:
            plan = replace(plan, files=0.0)
        if fault.crowded:
            plan = replace(plan, crowded=True)
        if not fault.roles or any(cast.role in fault.roles for cast in plan.casts):
            played += 1
            with fault.on():
                problem = failure(plan)
            if problem is not None:
                return Caught(seed, played, problem)
        seed += 1
    return Caught(None, played, "")
