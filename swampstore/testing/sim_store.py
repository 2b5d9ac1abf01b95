"""The store of a simulated process: its calls take virtual time and fail by the odds of :class:`Faults`.

Invariant: what was sent may take effect late, unanswered, or a second time (a network that repeats a request), but a
request that was answered with a refusal before any effect never takes effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any

import msgspec

from swampstore.errors import StoreUnavailable, SwampError, Throttled
from swampstore.stores.base import (
    Body,
    Busy,
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
    Store,
    Stored,
    When,
    outcome,
)
from swampstore.testing.sim import Process, Wait
from swampstore.testing.sim_files import SimFiles

_ANSWER_TAKES_TIME = 0.6
"""How often others may act between an effect and its answer."""
COURIER = "courier of "
"""How the process is called that brings what another one has sent."""


class Faults(msgspec.Struct, frozen=True):
    """Odds per store call. ``lost``: it took effect, the answer did not come. ``late``: the answer did not come and the
    effect comes later. ``again``: it takes effect, and once more later. ``refused``: an error before any effect. ``busy``:
    a 409. ``short``: a short page of a list. ``jump``: the wall clock of the caller is set by up to ``jump_ms``.
    ``cut``: it takes effect, then the caller is cut off for up to ``cut_s``: every later call is refused meanwhile."""

    lost: float = 0.0
    late: float = 0.0
    again: float = 0.0
    refused: float = 0.0
    busy: float = 0.0
    short: float = 0.0
    latency_s: float = 0.02
    late_s: float = 60.0
    kill: float = 0.0
    pause: float = 0.0
    pause_s: float = 40.0
    cut: float = 0.0
    cut_s: float = 120.0
    jump: float = 0.0
    jump_ms: int = 120_000


class SimStore:
    """A store whose calls take virtual time and fail by ``faults``; one per process, over one shared inner store."""

    def __init__(self, process: Process, inner: Store, faults: Faults | None = None) -> None:
        self.process = process
        self.inner = inner
        self.faults = faults or Faults()
        self.calls = 0
        self._draw = process.dice.random
        self._cut_until = 0.0
        self.on_call: Callable[[Request], None] | None = None

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def lanes(self) -> SimFiles | None:
        """The lane files of the store inside, if it has such."""
        files = getattr(self.inner, "lanes", None)
        return None if files is None else SimFiles(self, files)

    def _strange(self, draw: float) -> None:
        """What may happen to the caller between any two instants: it dies, stands still, has its clock set."""
        faults, dice = self.faults, self.process.dice
        if draw < faults.kill:
            self.process.kill()
        elif draw < faults.kill + faults.pause:
            self.process.pause(dice.random() * faults.pause_s, machine=dice.random() < 0.3)
        else:
            self.process.jump(dice.randint(-faults.jump_ms, faults.jump_ms))

    def _way(self, odds: float = 1.0) -> Wait | None:
        """Time on the way; with ``odds`` below 1 sometimes none, and nobody else acts meanwhile."""
        draw, faults = self._draw, self.faults
        drawn = draw()
        if drawn < faults.kill + faults.pause + faults.jump:
            self._strange(drawn)
        elif odds < 1.0 and draw() >= odds:
            return None
        return Wait(-log(1.0 - draw()) * faults.latency_s)

    async def travel(self) -> None:
        """Time on the way."""
        way = self._way()
        assert way is not None
        await way

    async def _call(self, request: Request) -> Any:
        sim, faults, draw = self.process.sim, self.faults, self._draw
        self.calls += 1
        if self.on_call is not None:
            self.on_call(request)
        if (way := self._way()) is not None:
            await way
        if sim.now < self._cut_until:
            raise StoreUnavailable("simulated: cut off")
        if draw() < faults.refused:
            raise Throttled("simulated: slow down") if draw() < 0.5 else StoreUnavailable("simulated: refused")
        if isinstance(request, Put):
            self._spoil(request)
        elif isinstance(request, List) and draw() < faults.short:
            request = msgspec.structs.replace(request, limit=min(request.limit, self.process.dice.randint(1, 3)))
        if sim.tracing:
            sim.note(f"  {self.process.name} {type(request).__name__} {_name(request)}")
        answer = await outcome(self.inner, request)
        drawn = draw()
        if drawn < faults.cut:
            self._cut_until = sim.now + draw() * faults.cut_s
        if (way := self._way(_ANSWER_TAKES_TIME)) is not None:
            await way
        if drawn < faults.lost + faults.cut:
            raise StoreUnavailable("simulated: the answer was lost")
        if isinstance(answer, SwampError):
            raise answer
        return answer

    def _spoil(self, request: Put) -> None:
        """What may happen to a write before it arrives. Raises what its sender is told then."""
        faults, draw = self.faults, self._draw
        if not isinstance(request.when, Overwrite) and draw() < faults.busy:
            raise Busy("simulated: 409")
        if draw() < faults.late:
            self._send_later(request)
            raise StoreUnavailable("simulated: the answer was lost, the write is under way")
        if draw() < faults.again:
            self._send_later(request)

    def _send_later(self, request: Put) -> None:
        """Let the request arrive by itself, even if its sender is dead by then."""
        dice = self.process.dice
        courier = self.process.sim.process(f"{COURIER}{self.process.name}")
        courier.spawn(self._deliver(request, dice.random() * self.faults.late_s))

    async def _deliver(self, request: Request, seconds: float) -> None:
        await Wait(seconds)
        await outcome(self.inner, request)

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        answer: Got | NotModified = await self._call(Get(name, span, if_none_match))
        return answer

    async def put(self, name: str, body: Body, when: When) -> Stored:
        answer: Stored = await self._call(Put(name, body, when))
        return answer

    async def head(self, name: str) -> Headed:
        answer: Headed = await self._call(Head(name))
        return answer

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        answer: Page = await self._call(List(prefix, start_after, limit))
        return answer

    async def delete(self, names: Sequence[str]) -> None:
        faults, dice = self.faults, self.process.dice
        for name in names:
            await self.travel()
            if dice.random() < faults.refused:
                raise StoreUnavailable("simulated: refused")
            self.process.sim.note(f"  {self.process.name} Delete {name}")
            await self.inner.delete([name])
            if dice.random() < faults.lost:
                raise StoreUnavailable("simulated: the answer was lost")

    async def now(self) -> int:
        await self.travel()
        return await self.inner.now()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Every part is an actor of its own, so that they interleave with each other and with everybody."""
        if len(requests) == 1:
            try:
                return [await self._call(requests[0])]
            except SwampError as error:
                return [error]
        actors = [self.process.spawn(self._part(request)) for request in requests]
        for actor in actors:
            if not actor.done:
                await actor.finished.wait()
        return [actor.result for actor in actors]

    async def _part(self, request: Request) -> Outcome:
        try:
            answer: Outcome = await self._call(request)
        except SwampError as error:
            return error
        return answer

    async def close(self) -> None: ...


def _name(request: Request) -> str:
    if isinstance(request, List):
        return request.prefix
    when = f" {type(request.when).__name__}" if isinstance(request, Put) else ""
    return request.name + when
