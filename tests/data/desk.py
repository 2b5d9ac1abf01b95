"""A namespace at work: over a store that records every request, with clocks that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from swampstore import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.testing.env import FakeEnv
from tests.protocols.support import Recording


class Desk(NamedTuple):
    """One process with ``ns`` open; :meth:`another` is one more on the same store."""

    env: FakeEnv
    store: Recording
    ns: Namespace

    def another(self) -> Namespace:
        """The same namespace as another process sees it."""
        return opened(self.store, self.env)


def opened(store: Recording, env: FakeEnv) -> Namespace:
    core = CoreStore(store, env)
    core.namespace("ns")._proved = True  # the probe is tested elsewhere; here it would only be counted
    return Datastore(core).namespace("ns")


def new_desk() -> Desk:
    env = FakeEnv()
    store = Recording(env)
    return Desk(env, store, opened(store, env))


def fold(desk: Desk) -> None:
    run(desk.another()._core.compactor().fold_once(insist=True))


PLACES: dict[str, Callable[[Desk], object]] = {
    "pending": lambda desk: None,
    "folded": fold,
    "merged": lambda desk: desk.another().compact(),
}
