"""Group commit: many callers, one write at a time, and whoever has to wait for it shares the next.

A caller puts its item into the queue. If nobody writes, it takes the turn and writes batches until its own item is
settled, then hands the turn to the first in the queue. So a lone caller waits for nobody, no thread of its own is
needed, and the same code serves threads and tasks.

Invariants:
- At most one write is in flight; items go out in the order of their arrival, except where ``write`` leaves one behind.
- A caller that is cancelled while its item is queued withdraws it (it is surely not written) and never loses the turn;
  one whose item is in flight stops waiting, and the write goes on.
- Every caller is woken exactly when its item is settled, or when the turn is its own.
- What was in a ``write`` that died is never tried again, for it may have landed: it is settled as ``Undecided``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from swampstore.env.base import Env, Event
from swampstore.env.phases import current, during, measured
from swampstore.errors import Undecided

I = TypeVar("I")  # noqa: E741 (item)
R = TypeVar("R")


class Waiting(Generic[I, R]):
    """One caller's item. ``write`` settles it by setting ``result`` or ``error``; left alone it is tried again."""

    __slots__ = ("error", "item", "lead", "phases", "queued_at", "result", "settled_at", "woken")

    def __init__(self, item: I, woken: Event, queued_at: float) -> None:
        self.item = item
        self.woken = woken
        self.queued_at = queued_at
        self.lead = False
        self.result: R | None = None
        self.error: BaseException | None = None
        self.phases: dict[str, float] = {}
        """What the writes it was part of took, by phase."""
        self.settled_at = queued_at

    @property
    def settled(self) -> bool:
        return self.result is not None or self.error is not None


class Turns(Generic[I, R]):
    """``write`` writes one batch. ``accepter()`` begins a batch: what it returns is asked, item by item, whether the
    item may join (the first always does); the first refusal ends the batch."""

    def __init__(
        self,
        env: Env,
        write: Callable[[list[Waiting[I, R]]], Awaitable[None]],
        accepter: Callable[[], Callable[[I], bool]],
    ) -> None:
        self._env = env
        self._write = write
        self._accepter = accepter
        self._mutex = threading.Lock()
        self._queue: deque[Waiting[I, R]] = deque()
        self._busy = False
        self.batches = 0
        self.largest_batch = 0

    async def submit(self, item: I) -> R:
        """Hand ``item`` over and wait until it is settled. Raises the error it was settled with."""
        mine: Waiting[I, R] = Waiting(item, self._env.event(), self._env.boot())
        with self._mutex:
            self._queue.append(mine)
            lead, self._busy = not self._busy, True
        with during("group_wait"):
            if lead:
                await self._env.detached(self._lead(mine))
            else:
                await self._wait(mine)
            self._credit(mine)
        try:
            if mine.error is not None:
                raise mine.error
            assert mine.result is not None
            return mine.result
        finally:
            del mine  # it has the error that may be under way

    def _credit(self, mine: Waiting[I, R]) -> None:
        """Tell the caller's own stopwatch what was no waiting for others."""
        laps = current()
        if laps is not None:
            laps.credit(mine.phases)
            laps.credit({"ack": self._env.boot() - mine.settled_at})

    async def _wait(self, mine: Waiting[I, R]) -> None:
        try:
            await mine.woken.wait()
        except BaseException:
            with self._mutex:
                if mine in self._queue:
                    self._queue.remove(mine)
                lead, mine.lead = mine.lead, False
            if lead:
                self._pass_on()
            raise
        if mine.lead:
            await self._env.detached(self._lead(mine))

    async def _lead(self, mine: Waiting[I, R]) -> None:
        """Write batches until ``mine`` is settled, then pass the turn on."""
        try:
            while not mine.settled:
                batch = self._take()
                watch = measured(self._env.boot, "encode")
                try:
                    with watch:
                        await self._write(batch)
                except BaseException as error:
                    _abandon(batch, error)
                    raise
                finally:
                    _charge(batch, watch.laps.end(), self._env.boot())
                    self._put_back([one for one in batch if not one.settled])
                    for one in batch:
                        if one.settled:
                            one.woken.set()
        finally:
            self._pass_on()

    def _take(self) -> list[Waiting[I, R]]:
        with self._mutex:
            accepts = self._accepter()
            accepts(self._queue[0].item)
            batch = [self._queue.popleft()]
            while self._queue and accepts(self._queue[0].item):
                batch.append(self._queue.popleft())
            self.batches += 1
            self.largest_batch = max(self.largest_batch, len(batch))
            return batch

    def _put_back(self, unsettled: list[Waiting[I, R]]) -> None:
        if unsettled:
            with self._mutex:
                self._queue.extendleft(reversed(unsettled))

    def _pass_on(self) -> None:
        with self._mutex:
            heir = self._queue[0] if self._queue else None
            if heir is None:
                self._busy = False
            else:
                heir.lead = True
        if heir is not None:
            heir.woken.set()


def _charge(batch: list[Waiting[I, R]], phases: dict[str, float], now: float) -> None:
    """Count what a write took for each it carried; one that is tried again has been part of several."""
    for one in batch:
        one.settled_at = now
        before = one.phases
        one.phases = {name: before.get(name, 0.0) + phases.get(name, 0.0) for name in (*before, *phases)}


def _abandon(batch: list[Waiting[I, R]], error: BaseException) -> None:
    """Settle whom a write that died has left: tried again by the next in turn, it might be written twice."""
    for one in batch:
        if not one.settled:
            one.error = Undecided(f"the write was interrupted: {error!r}", hint="it may or may not have landed")
