"""A small world for protocol tests: a store that records, fails and pauses on command; processes over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, TypeVar

from swampstore.env.base import Env
from swampstore.env.blocking import run
from swampstore.env.clock import StoreClock
from swampstore.protocols.place import Caches, Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.protocols.writer import Ack, Writer
from swampstore.stores.base import (
    Body,
    Create,
    Get,
    Got,
    Head,
    Headed,
    List,
    NotModified,
    Outcome,
    Overwrite,
    Page,
    Put,
    Request,
    Stored,
    When,
    outcome,
)
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.entry import Inline, Meta, Record, put_record, tombstone
from swampstore.values.names import Names
from swampstore.workers.fold import FoldRead, fold
from swampstore.workers.leadership import Leadership
from swampstore.workers.report import FoldReport

T = TypeVar("T")
Hook = Callable[[Request], Awaitable[None]]


class Recording:
    """A memory store that records every request; ``before`` and ``after`` may raise, wait or change the world."""

    def __init__(self, env: Env) -> None:
        self.inner = MemoryStore(env)
        self.calls: list[Request | str] = []
        self.before: Hook | None = None
        self.after: Hook | None = None
        self.sent = self.received = self.rounds = 0

    @property
    def url(self) -> str:
        return self.inner.url

    async def _do(self, request: Request, work: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(request)
        if self.before:
            await self.before(request)
        if isinstance(request, Put):
            self.sent += len(request.body) if isinstance(request.body, bytes) else request.body.size
        answer = await work()
        if isinstance(answer, Got):
            self.received += len(answer.body)
        if self.after:
            await self.after(request)
        return answer

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        self.rounds += 1
        return await self._get(name, span, if_none_match)

    async def _get(self, name: str, span: tuple[int, int] | None, match: str | None) -> Got | NotModified:
        return await self._do(Get(name, span, match), lambda: self.inner.get(name, span=span, if_none_match=match))

    async def put(self, name: str, body: Body, when: When) -> Stored:
        self.rounds += 1
        return await self._do(Put(name, body, when), lambda: self.inner.put(name, body, when))

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        self.rounds += 1
        return await self._do(
            List(prefix, start_after, limit), lambda: self.inner.list(prefix, start_after=start_after, limit=limit)
        )

    async def head(self, name: str) -> Headed:
        self.rounds += 1
        return await self._do(Head(name), lambda: self.inner.head(name))

    async def delete(self, names: Sequence[str]) -> None:
        self.calls += [f"delete {name}" for name in names]
        await self.inner.delete(names)

    async def now(self) -> int:
        self.calls.append("now")
        return await self.inner.now()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        before = self.rounds
        answers = [await outcome(self, request) for request in requests]
        self.rounds = before + bool(requests)
        return answers

    async def close(self) -> None:
        await self.inner.close()

    # --- looking from outside -------------------------------------------------------------------------------------

    def kinds(self) -> list[str]:
        """What was called since :meth:`forget`, by class: ``create``, ``replace``, ``put``, ``get``, ``list``, ..."""
        shown = []
        for call in self.calls:
            if isinstance(call, str):
                shown.append(call.split()[0])
            elif isinstance(call, Put):
                shown.append({Create: "create", Overwrite: "put"}.get(type(call.when), "replace"))
            else:
                shown.append(type(call).__name__.lower())
        return shown

    def forget(self) -> None:
        self.calls.clear()
        self.sent = self.received = self.rounds = 0

    def names(self, prefix: str = "") -> list[str]:
        return [item.name for item in run(self.inner.list(prefix, limit=100_000)).items]

    def raw(self, name: str) -> bytes:
        got = run(self.inner.get(name))
        assert isinstance(got, Got)
        return got.body

    def set(self, name: str, body: bytes) -> None:
        run(self.inner.put(name, body, Overwrite()))

    def drop(self, *names: str) -> None:
        run(self.inner.delete(names))


class Process:
    """One process over ``store``: its own clock, caches, register, writer, reader."""

    def __init__(self, store: Any, env: Env, namespace: str = "ns") -> None:
        self.env = env
        self.place = Place(store, env, StoreClock(env), Names(namespace), Caches.of(env))
        self.register = Register(self.place)
        self.reader = SnapshotReader(self.place, self.register)
        self.writer = Writer(self.place)
        self.leadership = Leadership(self.place)

    def record(self, key: str, data: bytes = b"", *, expires: int = 0, base: bytes | None = None) -> Record:
        meta = Meta(size=len(data), at=Inline(data), base=base)
        return put_record(key, self.writer.new_version(), meta, expires=expires)

    async def write(self, *keys: str, data: bytes = b"") -> Ack:
        return await self.writer.append([self.record(key, data) for key in keys])

    def put(self, *keys: str, data: bytes = b"") -> Ack:
        return run(self.write(*keys, data=data))

    def delete(self, *keys: str) -> Ack:
        return run(self.writer.append([tombstone(key, self.writer.new_version()) for key in keys]))

    async def folded(self, *, stay: bool = False) -> tuple[FoldReport, FoldRead]:
        return await fold(self.place, self.register, self.leadership, stay=stay, insist=True)

    def fold(self, *, stay: bool = False) -> FoldReport:
        return run(self.folded(stay=stay))[0]

    def open(self) -> Snapshot:
        return run(self.reader.open())

    def keys(self) -> list[str]:
        return [entry.key for entry in run(self.open().page()).entries]


def world() -> tuple[FakeEnv, Recording]:
    env = FakeEnv()
    return env, Recording(env)


# --- interleavings ------------------------------------------------------------------------------------------------------


class _Point:
    """Awaiting it hands control to the stepper."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Stepped:
    """A store over ``inner`` whose every request is one step: nothing happens until the stepper says so."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.url = inner.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        await _Point()
        return await self.inner.get(name, span=span, if_none_match=if_none_match)

    async def put(self, name: str, body: Body, when: When) -> Stored:
        await _Point()
        return await self.inner.put(name, body, when)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        await _Point()
        return await self.inner.list(prefix, start_after=start_after, limit=limit)

    async def head(self, name: str) -> Headed:
        await _Point()
        return await self.inner.head(name)

    async def delete(self, names: Sequence[str]) -> None:
        await _Point()
        await self.inner.delete(names)

    async def now(self) -> int:
        return await self.inner.now()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """One after the other: other processes get in between, as between parallel requests."""
        return [await outcome(self, request) for request in requests]

    async def close(self) -> None:
        await self.inner.close()


def primed(work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """``work`` run up to its first request: for those whose beginning is of no interest, which saves a step."""
    work.send(None)
    return work


def every_order(
    make: Callable[[], Sequence[Coroutine[Any, Any, None]]], at_most: int = 100_000, *, alike: int = 1
) -> int:
    """Run the coroutines of ``make()`` in every order of their steps, from a fresh world each time; how many orders.

    The first ``alike`` of them differ in nothing: of the orders in which they have changed roles, only one is run.

    Depth first: the choices of one run are a list of numbers; the next run takes the next number at the deepest place
    where there is one.
    """
    choices: list[int] = []
    orders = 0
    while True:
        widths = _one_order(make(), choices, alike)
        orders += 1
        assert orders <= at_most, "too many orders: make the scope smaller"
        del choices[len(widths) :]
        while choices and choices[-1] + 1 >= widths[len(choices) - 1]:
            choices.pop()
        if not choices:
            return orders
        choices[-1] += 1


def _one_order(work: Sequence[Coroutine[Any, Any, None]], choices: list[int], alike: int) -> list[int]:
    """Run once by ``choices`` (extended by zeros as needed); how many could have gone at each step."""
    *behind, last = reversed(work[:alike])  # each begins after the one in front of it
    alive = [one for one in work if one not in behind]
    widths: list[int] = []
    while alive:
        if len(widths) == len(choices):
            choices.append(0)
        at = choices[len(widths)]
        widths.append(len(alive))
        one = alive[at]
        if one is last and behind:
            last = behind.pop()
            alive.append(last)
        try:
            one.send(None)
        except StopIteration:
            alive.pop(at)
    return widths
