"""Many processes, one misbehaving store, virtual time: every invariant holds on every published root and every effect.

A failing seed is printed with its plan; play it again, with the smallest cast that fails, by ``python -m tests.sim SEED``.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

import pytest

from tests.sim.mix import PACES, ROLES, WEATHERS, Plan, failure, plan_of, play, shrink
from tests.sim.world import Cast, Violation

EVERYDAY = int(os.environ.get("SWAMPSTORE_SIM_SEEDS", "2000"))
BLOCKS = 20
PROVE_SECONDS = float(os.environ.get("SWAMPSTORE_PROVE_SECONDS", "600"))
PROVE_SEEDS = 100_000


def check(seed: int) -> None:
    """Play one seed; a failure is told with all that is needed to play it again."""
    problem = failure(plan_of(seed))
    if problem is not None:
        smallest = shrink(plan_of(seed))
        pytest.fail(
            f"{plan_of(seed)}\n  => {problem}\nsmallest: {smallest}\nagain: python -m tests.sim {seed}", pytrace=False
        )


@pytest.mark.parametrize("block", range(BLOCKS), ids=lambda block: f"block-{block}")
def test_everyday_seeds(block: int) -> None:
    for seed in range(block, EVERYDAY, BLOCKS):
        check(seed)


@pytest.mark.prove
@pytest.mark.timeout(7200)
def test_many_seeds(record_property: Callable[[str, object], None]) -> None:
    """Fresh seeds until the time for long proofs is over, at most 100,000."""
    ends, first = time.monotonic() + PROVE_SECONDS, 1_000_000
    for seed in itertools.count(first):
        if seed - first >= PROVE_SEEDS or time.monotonic() > ends:
            break
        check(seed)
    print(f"{seed - first} seeds")
    record_property("seeds", seed - first)


def test_equal_seeds_run_equally() -> None:
    for seed in (3, 8, 21):
        assert play(plan_of(seed)) == play(plan_of(seed))
    traces: list[list[str]] = [[], []]
    for trace in traces:
        play(plan_of(5), trace=trace)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 500


def test_every_role_pace_and_weather_is_played() -> None:
    plans = [plan_of(seed) for seed in range(200)]
    assert {cast.role for plan in plans for cast in plan.casts} == set(ROLES)
    assert {plan.pace for plan in plans} == set(PACES)
    assert {plan.weather for plan in plans} == set(WEATHERS)


def test_a_calm_world_refuses_nothing() -> None:
    """Without faults no deed may stay undecided: otherwise the checks would prove little."""
    casts = [
        Cast(role, f"{role}-{n}", 5) for n in range(2) for role in ROLES if role not in ("sweeper", "queuer", "holder")
    ]
    played = play(Plan(1, "seconds", "calm", False, tuple(casts)))
    assert played.refused == 0
    assert played.ops > 100


def test_shrinking_drops_who_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def liar(part) -> None:  # type: ignore[no-untyped-def]
        part.fail("it lies")

    monkeypatch.setitem(ROLES, "historian", liar)
    plan = next(plan for plan in map(plan_of, itertools.count()) if any(c.role == "historian" for c in plan.casts))
    with pytest.raises(Violation, match="it lies"):
        play(plan)
    assert [cast.role for cast in shrink(plan).casts] == ["historian"]
