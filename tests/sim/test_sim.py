"""Many processes, one misbehaving store, virtual time: every invariant holds on every published root and every effect.

A failing seed is printed with its plan; play it again, with the smallest cast that fails, by ``python -m tests.sim SEED``.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from tests.sim import many
from tests.sim.mix import PACES, ROLES, WEATHERS, Plan, failure, plan_of, play, shrink
from tests.sim.world import Cast, Violation

EVERYDAY = int(os.environ.get("SWAMPSTORE_SIM_SEEDS", "2000"))
BLOCKS = 20
FOUND = (1_000_103, 1_000_465, 1_000_926, 1_001_737)
"""The doctor took a store that was cut off for damage. (What they found is tested elsewhere too: worlds change.)"""


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


@pytest.mark.parametrize("seed", FOUND)
def test_seeds_that_found_something(seed: int) -> None:
    check(seed)


def test_many_seeds_go_on_where_they_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The long proof: what was played is not played again, and a failure of an earlier call is not forgotten."""

    def fails(plan: Plan) -> str | None:
        return "it lies" if plan.seed == 150 else None

    monkeypatch.setattr(many, "failure", fails)
    told: list[str] = []
    path = tmp_path / "book" / "seeds.jsonl"
    for seconds, done, now in ((0.0, 100, 100), (60.0, 250, 150), (60.0, 250, 0)):
        total, failed = many.play_many(0, 250, jobs=1, seconds=seconds, book=many.Book(path), tell=told.append)
        assert total == done
        assert f"{now} just now" in told[-1]
    assert failed == [(150, "it lies")]
    assert any(str(plan_of(150)) in line for line in told)
    assert many.blocks_left(7, 250, [107]) == [(7, 107), (207, 257)]


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
