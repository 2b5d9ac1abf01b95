"""Threads that take turns: one runs at a time, and who goes on at each point is drawn from a seed.

With it, syncs of one tree meet at every step they make (a request, a look at a file, a name taken, a transaction) in an
order that a seed brings back.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from swampstore.workers.sync import temporary, tree
from swampstore.workers.sync.scan import Scan
from swampstore.workers.sync.state import State

_STAY = (0.0, 0.5, 0.8, 0.95)
_STEPS = ((tree.Tree, "look"), (tree.Tree, "read"), (tree.Tree, "sha256"), (tree.Tree, "remove"), (Scan, "_file"))


class Turns:
    """The turns of one run."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._stay = self._dice.choice(_STAY)
        self._turn = threading.Condition()
        self._alive: set[int] = set()
        self._current = -1
        self._mine = threading.local()

    def run(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run ``jobs`` to their ends. Raises what the first of them raises."""
        self._alive = set(range(len(jobs)))
        self._current = self._dice.randrange(len(jobs))
        with ThreadPoolExecutor(len(jobs)) as threads:
            ended = [threads.submit(self._work, number, job) for number, job in enumerate(jobs)]
        for one in ended:
            one.result()

    def _work(self, number: int, job: Callable[[], None]) -> None:
        self._wait(number)
        self._mine.number = number
        try:
            job()
        finally:
            with self._turn:
                self._alive.discard(number)
                if self._alive:
                    self._current = self._dice.choice(sorted(self._alive))
                self._turn.notify_all()

    def _wait(self, number: int) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._current == number)

    def point(self, *_: object) -> None:
        """Perhaps another one goes on from here; within a transaction, nobody does."""
        number = getattr(self._mine, "number", None)
        if number is None or getattr(self._mine, "held", False) or self._dice.random() < self._stay:
            return
        with self._turn:
            self._current = self._dice.choice(sorted(self._alive))
            self._turn.notify_all()
        self._wait(number)

    def meet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make every step of a sync such a point."""
        for owner, name in (*_STEPS, (temporary.Temporary, "place")):
            monkeypatch.setattr(owner, name, self._pointed(getattr(owner, name)))
        real = State.transaction

        @contextmanager
        def transaction(state: State) -> Iterator[None]:
            self.point()
            self._mine.held = True
            try:
                with real(state):
                    yield
            finally:
                self._mine.held = False

        monkeypatch.setattr(State, "transaction", transaction)
        checked = tree.check_unchanged

        def check(*args: Any) -> None:
            checked(*args)
            self.point()

        monkeypatch.setattr(temporary, "check_unchanged", check)

    def _pointed(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.point()
            return real(*args, **kwargs)

        return called
