"""A namespace over a store on virtual time: every kind of request takes its own time, and nothing else takes any."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.env.blocking import run
from swampstore.env.phases import Seen, traced
from swampstore.stores.base import List, Request
from swampstore.stores.base import Put as PutRequest
from swampstore.testing.env import FakeEnv
from swampstore.values.deltas import Put
from tests.protocols.support import Recording

NAMESPACE = "ops"
LIST, ROOT, SEGMENT, RUN, CONTENT, WRITE, UPLOAD, RUN_WRITE, PUBLISH = (2.0**power for power in range(-8, 1))
"""Seconds of each kind of request; powers of two, so that sums are exact and tell what they are made of."""


def cost(request: Request) -> float:
    """How long the store takes for ``request``."""
    name = getattr(request, "name", "")
    kind = name.partition("/")[2].partition("/")[0]
    if isinstance(request, List):
        return LIST
    if isinstance(request, PutRequest):
        return {"log": WRITE, "root": PUBLISH, "l0": RUN_WRITE, "shard": RUN_WRITE}.get(kind, UPLOAD)
    return {"root": ROOT, "log": SEGMENT, "l0": RUN, "shard": RUN}.get(kind, CONTENT)


class Still:
    """Work in the background that never comes to its turn."""

    async def stop(self) -> None:
        pass


class Env(FakeEnv):
    """Virtual time in which nothing happens by itself."""

    def every(self, _seconds: float, _work: Callable[[], Any]) -> Still:
        return Still()


class World:
    """``slow`` may be replaced to change what a request costs."""

    def __init__(self) -> None:
        self.env = Env()
        self.store = Recording(self.env)
        self.store.before = self._wait
        self.slow: Callable[[Request], float] = lambda _request: 0.0
        first = self.open()
        run(first.put(Put(key="first", data=b"")))
        run(first.compact(full=True))  # there is a root: a list without one would look for what is left of it
        run(first.owner.close())

    async def _wait(self, request: Request) -> None:
        self.env.advance(self.slow(request))

    def open(self) -> CoreNamespace:
        """The namespace as another process sees it, with nothing read yet."""
        return CoreStore(self.store, self.env).namespace(NAMESPACE)

    def costly(self) -> Self:
        self.slow = cost
        return self

    async def timed(self, call: Callable[[], Awaitable[Any]]) -> tuple[Any, Seen]:
        """What ``call`` returns, and the one operation it was; its phases sum up to the time that has passed."""
        began = self.env.boot()
        with traced() as trace:
            done = await call()
        seen = trace[-1]
        assert abs(sum(seen.phases.values()) - seen.seconds) < 1e-9
        assert abs(seen.seconds - (self.env.boot() - began)) < 1e-9
        return done, seen
