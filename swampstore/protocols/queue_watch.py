"""Who before a waiter is still alive: those that hold or are near their turn must give signs; the silent are passed over.

Invariants:
- Only a ticket that must give signs is judged: the first ``capacity + HEARTBEAT_PLACES`` unfinished ones. It is passed
  over when this process has seen the same sign (or none) for a whole TTL, by its own count of time.
- Every waiter judges once nothing has moved for a TTL, however far from its turn: else a row of dead waiters, longer
  than those who are near, would block the living behind it for ever.
"""

from __future__ import annotations

import itertools

from swampstore.env.clock import Span
from swampstore.errors import NotFound, SwampError
from swampstore.limits import HEARTBEAT_PLACES, TICKET_TTL_S, WATCH_S
from swampstore.protocols.queue_register import QueueBase
from swampstore.stores.base import Head, Headed
from swampstore.values.tickets import QueueRegister

_HEADS = 16
"""More signs than this are read by listing."""


class Watch:
    """The watch of one waiter over the tickets before its own."""

    def __init__(self, queue: QueueBase, number: int, *, passed_over: bool = False) -> None:
        self._queue = queue
        self._place = queue.place
        self._number = number
        self._front = 0
        self._unmoved = Span(queue.place.env)
        self._looked: float | None = None
        self._signs: dict[int, tuple[str, Span]] = {}
        self.passed_over = passed_over
        """Whether this waiter has passed over anybody."""

    async def look(self, register: QueueRegister, position: int) -> bool:
        """Look at the signs if it is time to, and pass over the silent; whether there were any."""
        env = self._place.env
        watched = list(itertools.islice(register.unfinished(self._number), register.capacity + HEARTBEAT_PLACES))
        if watched[:1] != [self._front]:
            self._front, self._unmoved = watched[0], Span(env)
        if position > HEARTBEAT_PLACES and self._unmoved.seconds() < TICKET_TTL_S:
            self._signs = {}  # who was near before the capacity went down need not give signs meanwhile
            return False
        if self._looked is not None and env.boot() - self._looked < WATCH_S:
            return False
        self._looked = env.boot()
        silent = await self._silent(watched)
        if silent:
            await self._queue.finish(*silent)
            self.passed_over = True
        return bool(silent)

    async def _silent(self, watched: list[int]) -> list[int]:
        signs = await self._read(watched)
        silent: list[int] = []
        seen: dict[int, tuple[str, Span]] = {}
        for number in watched:
            held = self._signs.get(number)
            if held is None or held[0] != signs.get(number, ""):
                held = (signs.get(number, ""), Span(self._place.env))
            elif held[1].seconds() > TICKET_TTL_S:
                silent.append(number)
            seen[number] = held
        self._signs = seen
        return silent

    async def _read(self, watched: list[int]) -> dict[int, str]:
        """The ETags of the signs there are."""
        queue = self._queue
        if len(watched) > _HEADS:
            return await self._listed(watched)
        found: dict[int, str] = {}
        answers = await self._place.store.many([Head(queue.sign_name(number)) for number in watched])
        for number, answer in zip(watched, answers, strict=True):
            if isinstance(answer, Headed):
                found[number] = answer.info.etag
            elif isinstance(answer, SwampError) and not isinstance(answer, NotFound):
                raise answer
        return found

    async def _listed(self, watched: list[int]) -> dict[int, str]:
        names = {self._queue.sign_name(number): number for number in watched}
        found: dict[int, str] = {}
        after, last = self._queue.sign_name(watched[-1] + 1), self._queue.sign_name(watched[0])
        while after < last:
            page = await self._place.store.list(self._queue.folder + "h/", start_after=after)
            found |= {names[item.name]: item.etag for item in page.items if item.name in names}
            if not page.more:
                break
            after = page.items[-1].name
        return found
