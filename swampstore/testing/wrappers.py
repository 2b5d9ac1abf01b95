"""Stores around a store: one counts, one is slow, one fails as told. Each keeps every invariant of the store inside.

Invariants:
- A part of a ``many`` is treated like the same call made alone, and the parts still run side by side in the store
  inside (a delay passes once for all of them).
- Nothing is changed on its way in or out; only :class:`FaultyStore` hides an outcome, and only where it was told to.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from swampstore.env.base import Env
from swampstore.errors import StoreUnavailable, SwampError, Throttled
from swampstore.stores.base import (
    Answer,
    Body,
    Busy,
    Get,
    Got,
    Head,
    Headed,
    List,
    NotModified,
    Outcome,
    Page,
    Put,
    Request,
    Store,
    Stored,
    When,
    perform,
)
from swampstore.stores.lanes import lanes_of
from swampstore.testing.lane_wrappers import WrappedLanes

A = TypeVar("A")
DELETE_BATCH = 1000
LANES = 100
"""How many parts of a ``many`` a real store carries out at once."""


class Wrapper:
    """A store that hands every call on. Subclasses override :meth:`one` and :meth:`many`, and :meth:`other`."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        files = lanes_of(inner)
        self.lanes = None if files is None else WrappedLanes(self, files)

    @property
    def url(self) -> str:
        return self.inner.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        answer = await self.one(Get(name, span, if_none_match))
        assert isinstance(answer, Got | NotModified)
        return answer

    async def put(self, name: str, body: Body, when: When) -> Stored:
        answer = await self.one(Put(name, body, when))
        assert isinstance(answer, Stored)
        return answer

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        answer = await self.one(List(prefix, start_after, limit))
        assert isinstance(answer, Page)
        return answer

    async def head(self, name: str) -> Headed:
        answer = await self.one(Head(name))
        assert isinstance(answer, Headed)
        return answer

    async def delete(self, names: Sequence[str]) -> None:
        await self.other("delete", tuple(names), lambda: self.inner.delete(names))

    async def now(self) -> int:
        return await self.other("now", (), self.inner.now)

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return await self.inner.many(requests)

    async def close(self) -> None:
        await self.inner.close()

    async def one(self, request: Request) -> Answer:
        """Carry out one request."""
        return await perform(self.inner, request)

    async def other(self, verb: str, names: tuple[str, ...], call: Callable[[], Awaitable[A]]) -> A:  # noqa: ARG002
        """Carry out ``delete``, ``now``, or a call of a lane file (:mod:`swampstore.testing.lane_wrappers`)."""
        return await call()


def verb_of(request: Request) -> str:
    """``get``, ``list``, ``head``, ``create``, ``replace`` or ``overwrite``."""
    if isinstance(request, Put):
        return type(request.when).__name__.lower()
    return type(request).__name__.lower()


def name_of(request: Request) -> str:
    """The object's name; of a listing, its prefix."""
    return request.prefix if isinstance(request, List) else request.name


class CountingStore(Wrapper):
    """Counts requests as a bill would: each part of a ``many``, each page, each batch of 1,000 deletes.

    ``requests`` by verb (see :func:`verb_of`, and ``delete``, ``now``), refused ones included; ``names`` in order as
    ``(verb, name)``; ``bytes_up`` and ``bytes_down`` of bodies. :meth:`reset` begins anew.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything counted so far."""
        with self._lock:
            self.requests: Counter[str] = Counter()
            self.names: list[tuple[str, str]] = []
            self.bytes_up = 0
            self.bytes_down = 0

    @property
    def total(self) -> int:
        """All requests."""
        return self.requests.total()

    @property
    def puts(self) -> int:
        """Writes of any condition."""
        return self.requests["create"] + self.requests["replace"] + self.requests["overwrite"]

    async def one(self, request: Request) -> Answer:
        self._sent(request)
        answer = await perform(self.inner, request)
        self._answered(answer)
        return answer

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        for request in requests:
            self._sent(request)
        outcomes = await self.inner.many(requests)
        for answer in outcomes:
            self._answered(answer)
        return outcomes

    async def other(self, verb: str, names: tuple[str, ...], call: Callable[[], Awaitable[A]]) -> A:
        with self._lock:
            self.requests[verb] += -(-len(names) // DELETE_BATCH) if verb == "delete" else 1
            self.names.extend((verb, name) for name in names)
        return await call()

    def _sent(self, request: Request) -> None:
        with self._lock:
            self.requests[verb_of(request)] += 1
            self.names.append((verb_of(request), name_of(request)))
            if isinstance(request, Put):
                self.bytes_up += len(request.body) if isinstance(request.body, bytes) else request.body.size

    def _answered(self, answer: Outcome) -> None:
        if isinstance(answer, Got):
            with self._lock:
                self.bytes_down += len(answer.body)


class LatencyStore(Wrapper):
    """Every request takes ``seconds`` longer: half before its effect, half after. ``many`` overlaps up to 100 parts."""

    def __init__(self, inner: Store, env: Env, seconds: float) -> None:
        super().__init__(inner)
        self._env = env
        self.seconds = seconds

    async def one(self, request: Request) -> Answer:
        return await self._slowly(1, lambda: perform(self.inner, request))

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        if not requests:
            return []
        return await self._slowly(-(-len(requests) // LANES), lambda: self.inner.many(requests))

    async def other(self, verb: str, names: tuple[str, ...], call: Callable[[], Awaitable[A]]) -> A:
        return await self._slowly(-(-len(names) // DELETE_BATCH) if verb == "delete" else 1, call)

    async def _slowly(self, rounds: int, call: Callable[[], Awaitable[A]]) -> A:
        half = rounds * self.seconds / 2
        await self._env.sleep(half)
        try:
            return await call()
        finally:
            await self._env.sleep(half)


# --- faults ----------------------------------------------------------------------------------------------------------


class Call(msgspec.Struct, frozen=True):
    """One request as a script of faults sees it. ``number`` counts from 1; ``verb`` as in :func:`verb_of`."""

    number: int
    verb: str
    names: tuple[str, ...]


class Before(msgspec.Struct, frozen=True):
    """The request fails and has no effect."""

    error: SwampError


class After(msgspec.Struct, frozen=True):
    """The request has its effect, then its answer is replaced by the error (whatever the answer was)."""

    error: SwampError


Fault: TypeAlias = Before | After | None
Script: TypeAlias = Callable[[Call], Fault]


def lost_request() -> Before:
    """No answer; the request never arrived."""
    return Before(StoreUnavailable("no answer (the request was lost)"))


def lost_answer() -> After:
    """No answer; the request had its effect."""
    return After(StoreUnavailable("no answer (the answer was lost)"))


def busy() -> Before:
    """409."""
    return Before(Busy("409 ConditionalRequestConflict"))


def slow_down() -> Before:
    """503."""
    return Before(Throttled("503 SlowDown"))


def in_order(faults: Iterable[Fault], *, verbs: Sequence[str] = ()) -> Script:
    """A script that uses ``faults`` up one by one (``None``: no fault), for calls of ``verbs`` only if given."""
    left = iter(faults)
    return lambda call: next(left, None) if not verbs or call.verb in verbs else None


class FaultyStore(Wrapper):
    """Asks ``script`` before every request (and every part of a ``many``) which fault it meets.

    ``calls`` holds every request and its fault, in order, so that a test can see that its faults were met. ``script``
    may be replaced at any time.
    """

    def __init__(self, inner: Store, script: Script | None = None) -> None:
        super().__init__(inner)
        self.script: Script = in_order(()) if script is None else script
        self.calls: list[tuple[Call, Fault]] = []
        self._lock = threading.Lock()

    async def one(self, request: Request) -> Answer:
        return await self.other(verb_of(request), (name_of(request),), lambda: perform(self.inner, request))

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        faults = [self._fault(verb_of(request), (name_of(request),)) for request in requests]
        sent = [request for request, fault in zip(requests, faults, strict=True) if not isinstance(fault, Before)]
        answers = iter(await self.inner.many(sent))
        outcomes: list[Outcome] = []
        for fault in faults:
            answer = fault.error if isinstance(fault, Before) else next(answers)
            outcomes.append(fault.error if isinstance(fault, After) else answer)
        return outcomes

    async def other(self, verb: str, names: tuple[str, ...], call: Callable[[], Awaitable[A]]) -> A:
        """Carry out one call with the fault it meets."""
        fault = self._fault(verb, names)
        if fault is None:
            return await call()
        try:
            if isinstance(fault, After):
                try:
                    await call()
                except SwampError as answer:
                    raise fault.error from answer
            raise fault.error
        finally:
            del fault  # it has the error that is under way: see `answered`

    def _fault(self, verb: str, names: tuple[str, ...]) -> Fault:
        with self._lock:
            call = Call(len(self.calls) + 1, verb, names)
            fault = self.script(call)
            self.calls.append((call, fault))
        return fault
