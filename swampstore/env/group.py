"""Group commit for writes that never suspend: what is queued while a write is in flight goes out with the next.

A lone caller writes at once, itself, and waits for nobody: taking the turn is one try of one lock. In a crowd of threads
whoever has the turn writes for all, settles them and hands the turn to the first who came meanwhile; so no thread of its
own is needed. (For the tasks of an event loop see :mod:`swampstore.env.aio_group`.)

Invariants:
- At most one write is in flight. Items go out in the order of their arrival, each exactly once or, if its caller was
  interrupted while it was queued, not at all.
- Whoever is queued is woken when the item is settled or the turn is its own; no wake-up is lost: an item is queued
  before the turn is tried for, and the turn is given back before the queue is looked at.
- ``write`` settles every item that it has begun with, also when it raises; what an interruption leaves unsettled is
  settled as ``Undecided`` here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from threading import Lock
from typing import Generic, TypeVar

from swampstore.errors import Undecided


class Queued:
    """What a caller hands over; a subclass holds what is to be written. ``write`` sets ``settled``, and ``error``.

    A task awaits it to go on, in whatever turn of its loop comes next, once it is settled.
    """

    __slots__ = ("error", "lead", "settled", "woken")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.settled = False
        self.lead = False
        self.woken: Lock | None = None

    @property
    def callers(self) -> int:
        """How many callers wait for it."""
        return 1

    def __await__(self) -> Generator[None, None, None]:
        # No future for each of hundreds of callers: a task that yields nothing is resumed in the order in which it
        # yielded, so behind the write that its item is queued for.
        while not self.settled:
            yield

    def abandon(self, cause: BaseException) -> None:
        """Settle what a write that died has left: it may have landed."""
        if not self.settled:
            self.settled = True
            self.error = Undecided(f"the write was interrupted: {cause!r}", hint="it may or may not have landed")


Q = TypeVar("Q", bound=Queued)


class ThreadGroup(Generic[Q]):
    """``write`` writes one batch and never suspends. Counts ``batches``, and callers of the ``largest``."""

    def __init__(self, write: Callable[[Sequence[Q]], None]) -> None:
        self._write = write
        self._queue: deque[Q] = deque()
        self._turn = Lock()
        self._mutex = Lock()
        self.batches = 0
        self.largest = 0

    def enter(self) -> bool:
        """Take the turn if nobody writes or waits; who has it writes alone and calls :meth:`leave`."""
        return not self._queue and self._turn.acquire(False)

    def leave(self) -> None:
        """Give the turn back, to the first who waits if anybody does."""
        self._turn.release()
        if self._queue:
            self._promote()

    async def submit(self, item: Q) -> None:
        """Return when ``item`` is settled. Interrupted while it is queued, it is withdrawn."""
        self.submit_now(item)

    def submit_now(self, item: Q) -> None:
        """See :meth:`submit`."""
        woken = item.woken = Lock()
        woken.acquire()
        self._queue.append(item)
        if not self._turn.acquire(False):
            try:
                woken.acquire()  # settled, or promoted
            except BaseException:
                self._withdraw(item)
                raise
            if item.settled:
                return
        elif item.settled:  # taken along by a write that ended just now
            self.leave()
            return
        self._lead()

    def _lead(self) -> None:
        batch: list[Q] = []
        try:
            while self._queue:
                batch.append(self._queue.popleft())
            self.batches += 1
            self.largest = max(self.largest, len(batch))
            self._write(batch)
        except BaseException as error:
            for one in batch:
                one.abandon(error)
            raise
        finally:
            self.leave()
            for one in batch:
                if one.woken is not None and one.woken.locked():
                    one.woken.release()

    def _promote(self) -> None:
        while self._queue and self._turn.acquire(False):
            with self._mutex:
                heir = self._queue[0] if self._queue else None
                if heir is not None and heir.woken is not None:
                    heir.lead = True
                    heir.woken.release()
                    return
            self._turn.release()

    def _withdraw(self, item: Q) -> None:
        with self._mutex:
            if item in self._queue:
                self._queue.remove(item)
            lead, item.lead = item.lead, False
        if lead:
            self.leave()
