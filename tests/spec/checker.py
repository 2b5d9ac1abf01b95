"""A small explicit-state model checker: every state that can be reached, breadth first.

Invariants:
- A counterexample is a shortest one: states are looked at in the order of their distance from the start.
- ``OK`` is only said when every reachable state has been looked at; a search that was cut short says ``LIMIT``.
- Whatever is reported happened: states are explored as they were reached, also where symmetric ones are counted once.
"""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

S = TypeVar("S", bound=Hashable)
T = TypeVar("T")

MOST_STATES = 2_000_000
_CLOCK_EVERY = 4096


class Fault(NamedTuple):
    """Yielded by a model in place of a next state: this step itself must never be possible."""

    problem: str


Step: TypeAlias = "tuple[str, S | Fault]"
"""``(label, next state)``: one thing that one party does, or that happens to it."""


class Model(Generic[S]):
    """A protocol: where it begins, what may happen next, what must never be. States are immutable and hashable."""

    def initial(self) -> Iterable[S]:
        """The states it may begin in."""
        raise NotImplementedError

    def actions(self, state: S) -> Iterator[Step[S]]:
        """Everything that may happen next."""
        raise NotImplementedError

    def problem(self, state: S) -> str | None:
        """What is wrong with a state; ``None`` when it keeps every invariant."""
        return None

    def stuck(self, state: S) -> str | None:
        """What is wrong with a state after which nothing more happens; ``None`` when all is done there."""
        return None

    def canonical(self, state: S) -> Hashable:
        """A state that stands for all that differ only by which of several alike parties is which."""
        return state


class Verdict(enum.Enum):
    OK = "ok"
    """Every reachable state was looked at, and all are right."""
    WRONG = "wrong"
    LIMIT = "limit"
    """No problem found, but the search was cut short."""


class Result(NamedTuple):
    """``trace`` are the labels of a shortest way to the problem, ``last`` is the state it leads to (or starts in)."""

    verdict: Verdict
    states: int
    depth: int
    seconds: float
    problem: str = ""
    trace: tuple[str, ...] = ()
    last: Any = None


class _Way(NamedTuple):
    """How a state was reached first."""

    before: Any
    label: str
    depth: int


def check(model: Model[Any], *, most_states: int = MOST_STATES, seconds: float | None = None) -> Result:
    """Look at every state ``model`` can reach, up to ``most_states`` distinct ones and for ``seconds`` at most."""
    return _Search(model, most_states, seconds).run()


class _Search:
    """One search: how every state seen was reached first, and those whose next steps are still to be looked at."""

    def __init__(self, model: Model[Any], most_states: int, seconds: float | None) -> None:
        self.model = model
        self.most_states = most_states
        self.seconds = seconds
        self.began = time.monotonic()
        self.ways: dict[Hashable, _Way | None] = {}
        self.queue: deque[tuple[Any, Hashable]] = deque()
        self.depth = 0
        self.cut = False

    def run(self) -> Result:
        for state in self.model.initial():
            if found := self.reach(state, None):
                return found
        looked = 0
        while self.queue and not self.cut:
            looked += 1
            if self.seconds is not None and looked % _CLOCK_EVERY == 0 and self.spent() > self.seconds:
                self.cut = True
                break
            if found := self.follow(*self.queue.popleft()):
                return found
        return self.result(Verdict.LIMIT if self.cut else Verdict.OK)

    def follow(self, state: Any, key: Hashable) -> Result | None:
        """Take every step that ``state`` allows; the problem if one leads to any."""
        way = self.ways[key]
        self.depth = way.depth + 1 if way else 1
        moved = False
        for label, following in self.model.actions(state):
            moved = True
            if isinstance(following, Fault):
                return self.wrong(following.problem, key, state, label)
            if found := self.reach(following, _Way(key, label, self.depth)):
                return found
        if not moved and (problem := self.model.stuck(state)):
            return self.wrong(problem, key, state)
        return None

    def reach(self, state: Any, way: _Way | None) -> Result | None:
        """Take note of a state, unless it is known; the problem if it is one."""
        key = self.model.canonical(state)
        if key in self.ways:
            return None
        if len(self.ways) >= self.most_states:
            self.cut = True
            return None
        self.ways[key] = way
        self.queue.append((state, key))
        problem = self.model.problem(state)
        return self.wrong(problem, key, state) if problem else None

    def wrong(self, problem: str, key: Hashable, last: Any, *step: str) -> Result:
        return self.result(Verdict.WRONG, problem, (*self.trace(key), *step), last)

    def trace(self, key: Hashable) -> tuple[str, ...]:
        labels: list[str] = []
        way = self.ways[key]
        while way is not None:
            labels.append(way.label)
            way = self.ways[way.before]
        return tuple(reversed(labels))

    def result(self, verdict: Verdict, problem: str = "", trace: tuple[str, ...] = (), last: Any = None) -> Result:
        return Result(verdict, len(self.ways), self.depth, self.spent(), problem, trace, last)

    def spent(self) -> float:
        return time.monotonic() - self.began


def describe(result: Result) -> str:
    """A result for people: the counterexample step by step, the problem, the state it ends in."""
    head = f"{result.verdict.value}: {result.states} states, depth {result.depth}, {result.seconds:.1f} s"
    if result.verdict is not Verdict.WRONG:
        return head
    steps = [f"{number:4}. {label}" for number, label in enumerate(result.trace, 1)]
    return "\n".join([head, *steps, f"   => {result.problem}", f"      {result.last}"])


# --- helpers for models ----------------------------------------------------------------------------------------------


def swap(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    """``items`` with another one at ``index``."""
    return (*items[:index], item, *items[index + 1 :])


class Case(NamedTuple):
    """A variant of a model: the rule of the design (``right``), or a deliberate fault that the checker must find.

    ``finds`` is part of the problem it must report. ``deep`` is the same variant in a larger scope.
    """

    variant: str
    model: Model[Any]
    right: bool = False
    finds: str = ""
    deep: Model[Any] | None = None


def right(variant: str, model: Model[Any], deep: Model[Any] | None = None) -> Case:
    """A variant in which the checker must find nothing."""
    return Case(variant, model, right=True, deep=deep)


def wrong(variant: str, model: Model[Any], finds: str) -> Case:
    """A deliberate fault, and what must be found."""
    return Case(variant, model, finds=finds)


def dense(present: Iterable[int], start: int) -> int:
    """The last slot of the contiguous run past ``start``."""
    there = frozenset(present)
    while start + 1 in there:
        start += 1
    return start
