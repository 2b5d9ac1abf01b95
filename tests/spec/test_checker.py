"""The checker itself: it finds what is planted, by the shortest way, and says when it has not seen everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.spec.checker import Fault, Model, Step, Verdict, check, dense, describe, swap

Counters = tuple[int, ...]


@dataclass(frozen=True)
class Racers(Model[Counters]):
    """Parties that count up, each by one or two steps at a time, up to ``goal``."""

    parties: int = 2
    goal: int = 3
    bad: Counters | None = None
    forbidden: tuple[int, int] | None = None
    end: str | None = None
    alike: bool = False

    def initial(self) -> Iterator[Counters]:
        yield (0,) * self.parties

    def actions(self, state: Counters) -> Iterator[Step[Counters]]:
        for party, count in enumerate(state):
            for step in (1, 2):
                if (count, step) == self.forbidden:
                    yield f"{party} stumbles", Fault("stumbled")
                elif count + step <= self.goal:
                    yield f"{party} goes {step}", swap(state, party, count + step)

    def problem(self, state: Counters) -> str | None:
        return "bad" if state == self.bad else None

    def stuck(self, state: Counters) -> str | None:
        return self.end

    def canonical(self, state: Counters) -> Counters:
        return tuple(sorted(state)) if self.alike else state


def test_all_states_are_looked_at() -> None:
    result = check(Racers(parties=2, goal=3))
    assert (result.verdict, result.states, result.trace) == (Verdict.OK, 16, ())


def test_a_planted_problem_is_found_by_a_shortest_way() -> None:
    result = check(Racers(goal=5, bad=(5, 1)))
    assert result.verdict is Verdict.WRONG
    assert (result.problem, result.last) == ("bad", (5, 1))
    assert len(result.trace) == 4  # 2 + 2 + 1 and 1; nine single steps or fewer would also lead there
    assert sum(int(label[-1]) for label in result.trace if label.startswith("0")) == 5


def test_a_problem_in_the_first_state_needs_no_step() -> None:
    result = check(Racers(bad=(0, 0)))
    assert (result.verdict, result.trace) == (Verdict.WRONG, ())


def test_a_step_that_must_not_be_possible_is_found() -> None:
    result = check(Racers(forbidden=(3, 1), goal=4))
    assert (result.verdict, result.problem) == (Verdict.WRONG, "stumbled")
    assert result.trace[-1].endswith("stumbles")
    assert len(result.trace) == 3


def test_an_end_where_something_is_left_is_found() -> None:
    result = check(Racers(parties=1, goal=3, end="left over"))
    assert (result.verdict, result.problem, result.last) == (Verdict.WRONG, "left over", (3,))
    assert len(result.trace) == 2


def test_alike_parties_count_once_and_the_way_stays_true() -> None:
    plain, folded = check(Racers(goal=4, parties=3)), check(Racers(goal=4, parties=3, alike=True))
    assert (plain.states, folded.states) == (125, 35)
    model = Racers(goal=4, parties=3, alike=True, forbidden=(3, 1))
    state: Counters = (0, 0, 0)
    trace = check(model).trace
    for label in trace[:-1]:
        state = dict(model.actions(state))[label]  # every step of the counterexample can be taken
    assert isinstance(dict(model.actions(state))[trace[-1]], Fault)


@pytest.mark.parametrize("most", [1, 7, 15])
def test_the_limit_is_kept_and_is_not_ok(most: int) -> None:
    result = check(Racers(), most_states=most)
    assert (result.verdict, result.states) == (Verdict.LIMIT, most)


def test_a_limit_just_large_enough_is_ok() -> None:
    assert check(Racers(), most_states=16).verdict is Verdict.OK


def test_time_is_a_limit_too() -> None:
    result = check(Racers(goal=10_000, parties=3), seconds=0.05)
    assert result.verdict is Verdict.LIMIT
    assert result.seconds < 10


def test_a_counterexample_is_readable() -> None:
    text = describe(check(Racers(bad=(1, 2))))
    assert text.startswith("wrong: ")
    assert "   1. 0 goes 1\n   2. 1 goes 2\n   => bad" in text
    assert describe(check(Racers())).startswith("ok: 16 states")


def test_dense() -> None:
    assert [dense({1, 2, 4}, start) for start in (0, 1, 2, 3, 9)] == [2, 2, 2, 4, 9]
