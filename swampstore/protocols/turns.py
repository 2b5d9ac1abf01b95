"""Group commit: many callers, one write at a time, and whoever has to wait for it shares the next.

A caller puts its item into the queue. If nobody writes, it takes the turn and writes batches until its own item is
settled, then hands the turn to the first in the queue. So a lone caller waits for nobody, no thread of its own is
needed, and the same code serves threads and tasks.

An exception of a signal handler may come between any two calls. So nothing is taken out of the queue before it is settled,
who leads is noted by name, and what is left of an interrupted caller is tidied up as often as it takes: :meth:`Turns._go`
may be called by anybody, again and again.

Invariants:
- At most one write is in flight; items go out in the order of their arrival, except where ``write`` leaves one behind.
- A caller that is cancelled while its item is queued withdraws it (it is surely not written) and never loses the turn;
  one whose item is in flight stops waiting, and the write goes on; what that leaves behind is not tried again.
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

    __slots__ = ("error", "flying", "gone", "item", "leading", "phases", "queued_at", "result", "settled_at", "woken")

    def __init__(self, item: I, woken: Event, queued_at: float) -> None:
        self.item = item
        self.woken = woken
        self.queued_at = queued_at
        self.leading = False
        self.flying = False
        self.gone = False
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
        self._leader: Waiting[I, R] | None = None
        self.batches = 0
        self.largest_batch = 0

    async def submit(self, item: I) -> R:
        """Hand ``item`` over and wait until it is settled. Raises the error it was settled with, and ``Misuse``."""
        self._env.check_caller()
        mine: Waiting[I, R] = Waiting(item, self._env.event(), self._env.boot())
        try:
            with self._mutex:
                self._queue.append(mine)
                if self._leader is None:
                    self._leader = mine
            with during("group_wait"):
                if self._leader is not mine:
                    await mine.woken.wait()
                if not mine.settled:
                    await self._env.detached(self._lead(mine))
                self._credit(mine)
        except BaseException:
            if not mine.leading:  # else it goes on without its caller
                self._go(mine)
            raise
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

    async def _lead(self, mine: Waiting[I, R]) -> None:
        """Write batches until ``mine`` is settled, then pass the turn on."""
        try:
            mine.leading = True
            while self._leader is mine and not mine.settled:
                batch = self._choose()
                watch = measured(self._env.boot, "encode")
                try:
                    with watch:
                        await self._write(batch)
                except BaseException as error:
                    _abandon(batch, error)
                    raise
                finally:
                    _charge(batch, watch.laps.end(), self._env.boot())
                    self._land(batch)
        finally:
            mine.leading = False
            self._go(mine)

    def _choose(self) -> list[Waiting[I, R]]:
        """The next batch. It stays in the queue."""
        with self._mutex:
            accepts = self._accepter()
            batch: list[Waiting[I, R]] = []
            for one in self._queue:
                if one.settled:
                    continue  # an interruption came before it was woken
                if not accepts(one.item) and batch:
                    break
                one.flying = True
                batch.append(one)
            self.batches += 1
            self.largest_batch = max(self.largest_batch, len(batch))
            return batch

    def _land(self, batch: list[Waiting[I, R]]) -> None:
        """Wake whom a write has settled; the others stay where they are."""
        with self._mutex:
            for one in batch:
                one.flying = False
                if one.settled or one.gone:
                    self._wake(one)

    def _wake(self, one: Waiting[I, R]) -> None:
        """Let go of who is settled or gone. In this order: who is out of the queue is awake."""
        one.woken.set()
        if one in self._queue:
            self._queue.remove(one)

    def _go(self, mine: Waiting[I, R]) -> None:
        """``mine`` waits and leads no more. Idempotent: who leads now is woken again, unless it is at it."""
        mine.gone = True
        with self._mutex:
            for one in list(self._queue):
                if self._leader is mine:
                    one.flying = False  # no write is under way
                if one.settled or (one.gone and not one.flying):
                    self._wake(one)
            if self._leader is mine:
                self._leader = self._queue[0] if self._queue else None
            heir = self._leader
            if heir is not None and not heir.leading:
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
