"""The counting store, which also counts dependent rounds: calls side by side are one, as a distant store makes one wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bench.jobs.opening import open_core
from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.stores.base import Answer, Outcome, Request, Store
from swampstore.testing.wrappers import CountingStore

A = TypeVar("A")


class Counting(CountingStore):
    """See :class:`swampstore.testing.wrappers.CountingStore`. ``rounds`` counts calls, however many parts they have."""

    def reset(self) -> None:
        super().reset()
        self.rounds = 0

    @property
    def locks(self) -> int:
        """Requests that concern a lock or a queue: the only things that anybody could have to wait for."""
        return sum("/queue/" in name for _, name in self.names)

    async def one(self, request: Request) -> Answer:
        self.rounds += 1
        return await super().one(request)

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        self.rounds += 1
        return await super().many(requests)

    async def other(self, verb: str, names: tuple[str, ...], call: Callable[[], Awaitable[A]]) -> A:
        self.rounds += 1
        return await super().other(verb, names, call)


def open_counted(url: str, namespace: str) -> tuple[CoreStore, CoreNamespace, Counting]:
    """An open store, one namespace of it, and what counts their requests (below the retries)."""
    made: list[Counting] = []

    def wrap(store: Store) -> Store:
        made.append(Counting(store))
        return made[0]

    core, space = open_core(url, namespace, wrap)
    return core, space, made[0]
