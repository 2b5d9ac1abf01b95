"""The one retry layer: a store that answers decided outcomes, or says that it cannot within the deadline.

Invariants:
- Nothing below repeats a request; everything above sees ``TryAgain`` only after the whole deadline.
- Pauses have full jitter (uniform in 0 .. base * 2^n, capped), so that clients thrown back together do not return
  together.
- Of parallel requests only the undecided are sent again.
- At most ``BULK_IN_FLIGHT`` requests for contents, shards and foreign objects are in flight at once; those for roots,
  queues and the log never wait for them, so that slow uploads cost nobody a lease.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from swampstore.env import phases
from swampstore.env.base import Env
from swampstore.env.phases import during
from swampstore.errors import StoreUnavailable
from swampstore.stores.base import (
    Answer,
    Body,
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
    answered,
    outcome,
)
from swampstore.stores.gate import Gate
from swampstore.stores.lanes import LaneStore, lanes_of
from swampstore.stores.settle import Plain, settling
from swampstore.values.names import is_urgent

BULK_IN_FLIGHT = 96
"""Less than the connections a driver has, by enough for leases and root writes."""
DEADLINE_SECONDS = 60.0
PAUSE_BASE_SECONDS = 0.05
PAUSE_CAP_SECONDS = 5.0

A = TypeVar("A")


class Retrying:
    """See :class:`swampstore.stores.base.Store`; ``inner`` is the bare store.

    Unconditional calls are repeated on ``StoreUnavailable`` (so also ``Throttled`` and ``Busy``) and raise it in the
    end. Creates and replaces are settled by reading back (:mod:`swampstore.stores.settle`) and raise ``AlreadyExists``
    or ``StaleWrite`` with ``found``, or ``Undecided``. ``deadline_s`` is per call; one request in flight may end later.
    """

    def __init__(
        self,
        inner: Store,
        env: Env,
        *,
        deadline_s: float = DEADLINE_SECONDS,
        base_s: float = PAUSE_BASE_SECONDS,
        cap_s: float = PAUSE_CAP_SECONDS,
    ) -> None:
        self.inner = inner
        self._env = env
        self._deadline = deadline_s
        self._base = base_s
        self._cap = cap_s
        self._gate = Gate(env, BULK_IN_FLIGHT)

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def lanes(self) -> LaneStore | None:
        """Not retried: an append that failed finishes its writer, whose records a new one may append again."""
        return lanes_of(self.inner)

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        answer = await self._one(Get(name, span, if_none_match))
        assert isinstance(answer, Got | NotModified)
        return answer

    async def put(self, name: str, body: Body, when: When) -> Stored:
        answer = await self._one(Put(name, body, when))
        assert isinstance(answer, Stored)
        return answer

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        answer = await self._one(List(prefix, start_after, limit))
        assert isinstance(answer, Page)
        return answer

    async def head(self, name: str) -> Headed:
        answer = await self._one(Head(name))
        assert isinstance(answer, Headed)
        return answer

    async def delete(self, names: Sequence[str]) -> None:
        await self._again("delete", lambda: self.inner.delete(names))

    async def now(self) -> int:
        return await self._again("now", self.inner.now)

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        parts = [settling(request) for request in requests]
        await self._settle(parts)
        return [_result(part) for part in parts]

    async def close(self) -> None:
        await self.inner.close()

    async def _one(self, request: Request) -> Answer:
        part = settling(request)
        await self._settle([part])
        try:
            return answered(_result(part))
        finally:
            del part  # it has the error that may be under way

    async def _settle(self, parts: Sequence[Plain]) -> None:
        """Rounds of the undecided, side by side; those that need no pause first."""
        started, round_number = self._env.boot(), 0
        undecided = list(parts)
        while undecided:
            due = [part for part in undecided if not part.waits]
            if not due:
                pause = self._pause(round_number)
                if self._env.boot() - started + pause > self._deadline:
                    break
                await self._rest(pause)
                due = undecided
                round_number += 1
            if [part for part in due if part.reading]:
                with during("readback"):
                    await self._send(due)
            else:
                await self._send(due)
            undecided = [part for part in undecided if part.result is None]
        for part in undecided:
            part.give_up(self._env.boot() - started, round_number + 1)

    async def _send(self, parts: Sequence[Plain]) -> None:
        requests = [part.next() for part in parts]
        bulk = 0
        for request in requests:
            bulk += not (isinstance(request, List) or is_urgent(request.name))
        carry_out = self._hand_on if phases.observer is None else self._observed
        if bulk:
            await self._gate.enter(bulk)
            try:
                outcomes = await carry_out(requests)
            finally:
                self._gate.leave(bulk)
        else:
            outcomes = await carry_out(requests)
        for part, answer in zip(parts, outcomes, strict=True):
            part.take(answer)

    async def _observed(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        observer = phases.observer
        assert observer is not None
        began = self._env.boot()
        outcomes = await self._hand_on(requests)
        seconds = self._env.boot() - began
        for request, answer in zip(requests, outcomes, strict=True):
            sent = len(request.body) if isinstance(request, Put) and isinstance(request.body, bytes) else 0
            received = len(answer.body) if isinstance(answer, Got) else 0
            observer.request(_verb(request), phases.outcome_of(answer), seconds, sent, received)
        return outcomes

    async def _hand_on(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        if len(requests) == 1:
            return [await outcome(self.inner, requests[0])]
        return await self.inner.many(requests)

    async def _again(self, verb: str, call: Callable[[], Awaitable[A]]) -> A:
        started, attempt = self._env.boot(), 0
        while True:
            began = self._env.boot()
            try:
                done = await call()
            except StoreUnavailable as error:
                self._tell(verb, error, began)
                pause, spent = self._pause(attempt), self._env.boot() - started
                if spent + pause > self._deadline:
                    error.add_note(f"given up after {attempt + 1} attempts in {spent:.1f} s")
                    raise
                await self._rest(pause)
                attempt += 1
            else:
                self._tell(verb, None, began)
                return done

    def _tell(self, verb: str, error: StoreUnavailable | None, began: float) -> None:
        if phases.observer is not None:
            phases.observer.request(verb, phases.outcome_of(error), self._env.boot() - began, 0, 0)

    async def _rest(self, pause: float) -> None:
        phases.count("retries")
        with during("retry_wait"):
            await self._env.sleep(pause)

    def _pause(self, attempt: int) -> float:
        return self._env.random() * min(self._cap, self._base * 2.0 ** min(attempt, 30))


def _verb(request: Request) -> str:
    return type(request.when if isinstance(request, Put) else request).__name__.lower()


def _result(part: Plain) -> Outcome:
    assert part.result is not None
    return part.result
