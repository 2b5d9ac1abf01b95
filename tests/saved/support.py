"""Namespaces over a memory store with hooks and a clock that a test sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.env.blocking import run
from swampstore.testing.env import FakeEnv
from swampstore.workers.compactor import Compactor
from tests.workers.world import DAY_S, Crash, HookedStore

BIG = b"x" * 300_000
"""Contents that become an object of their own."""


class Scene:
    """One memory store; every call of :meth:`open` is another process."""

    def __init__(self, seed: int = 0) -> None:
        self.env = FakeEnv(seed)
        self.store = HookedStore(self.env)

    def open(self) -> Namespace:
        return Datastore(CoreStore(self.store, cast(Any, self.env))).namespace("ns")

    def core(self, namespace: Namespace) -> CoreNamespace:
        return namespace._core

    def contents(self) -> dict[str, bytes]:
        """What a reader that has seen nothing yet finds."""
        namespace = self.open()
        return {entry.key: namespace.read(entry.key) for entry in namespace.scan()}

    def later(self, days: float = 3.0) -> None:
        """Time passes, and everything is folded, merged and swept as far as it may."""
        for _ in range(2):
            self.env.advance(days * DAY_S / 2)
            core = self.core(self.open())
            compactor = Compactor(core.place, core.register)
            run(compactor.round(stay=False, insist=True, full=True))
            run(compactor.sweep_once(insist=True))

    def crash_at(self, number: int, error: Callable[[], BaseException] = Crash) -> None:
        """The process dies before its store call ``number``."""
        left = [number]

        def before(verb: str, name: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise error()

        self.store.before = before

    def calm(self) -> None:
        self.store.before = lambda verb, name: None
        self.store.after = lambda verb, name: None

    def calls_of(self, work: Callable[[], Any]) -> list[tuple[str, str]]:
        """The store calls that ``work`` makes."""
        self.store.forget()
        work()
        return list(self.store.calls)
