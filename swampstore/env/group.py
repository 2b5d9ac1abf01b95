"""Group commit for writes that never suspend: what is queued while a write is in flight goes out with the next.

**Whoever stands first in the queue has the turn.** A lone caller is first at once, writes, goes, and waits for nobody.
In a crowd the first writes for all who stand behind it and settles them; so no thread of its own is needed. (For the tasks
of an event loop see :mod:`swampstore.env.aio_group`.)

An exception of a signal handler (Ctrl-C, a time-out by alarm) may come between any two calls. So the turn is no flag that
could stay set: it is taken by one call that puts a caller into the queue, inside a ``try`` whose ``finally`` takes it out
again by one call, wherever it stands by then. Neither call can be split, since both are of C. What an interruption may
cost is a wake-up, and who waits looks for itself every ``LOOK_S``.

Invariants:
- At most one write is in flight. Items go out in the order of their arrival, each exactly once; if its caller was
  interrupted while it was queued, once or not at all.
- An item stands in the queue until it is settled or its caller has gone; only its caller, or who settled it, takes it out.
- Whoever is queued is woken when the item is settled or the turn is its own: an item is queued before it is looked who is
  first, and who goes looks at the queue afterwards.
- ``write`` settles every item that it has begun with, also when it raises; what an interruption leaves unsettled is
  settled as ``Undecided`` here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from threading import Lock
from typing import Generic, TypeVar

from swampstore.errors import Undecided

LOOK_S = 0.2


class Queued:
    """What a caller hands over; a subclass holds what is to be written. ``write`` sets ``settled``, and ``error``.

    A task awaits it to go on, in whatever turn of its loop comes next, once it is settled.
    """

    __slots__ = ("error", "queued", "settled", "woken")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.settled = False
        self.queued = False
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
    """``write`` writes one batch and never suspends. Counts ``batches``, and callers of the ``largest``.

    Who finds ``queue`` empty may write alone: it puts what it writes at its end, any object of its own, writes if that is
    the first, takes it out again whatever has happened, and calls :meth:`wake` if anybody is left.
    """

    def __init__(self, write: Callable[[Sequence[Q]], None]) -> None:
        self._write = write
        self.queue: deque[object] = deque()
        self.batches = 0
        self.largest = 0

    async def submit(self, item: Q) -> None:
        """Return when ``item`` is settled. Interrupted while it is queued, it is withdrawn."""
        self.submit_now(item)

    def submit_now(self, item: Q) -> None:
        """See :meth:`submit`."""
        queue = self.queue
        woken = item.woken = Lock()
        woken.acquire()
        item.queued = True
        try:
            queue.append(item)
            while not item.settled:
                if self._first() is item:
                    self._lead(item)
                else:
                    woken.acquire(True, LOOK_S)
        finally:
            if item.queued:
                try:  # noqa: SIM105 (nothing between a signal and the call)
                    queue.remove(item)
                except ValueError:
                    pass  # who settled it has taken it out
                if queue:
                    self.wake()

    def wake(self) -> None:
        """Wake who is first now, if it waits: somebody has gone."""
        first = self._first()
        if isinstance(first, Queued):
            _wake(first)

    def _first(self) -> object:
        try:
            return self.queue[0]
        except IndexError:
            return None

    def _lead(self, mine: Q) -> None:
        batch: list[Q] = [one for one in list(self.queue) if isinstance(one, Queued) and not one.settled]  # type: ignore[misc]
        try:
            self.batches += 1
            self.largest = max(self.largest, len(batch))
            self._write(batch)
        except BaseException as error:
            for one in batch:
                one.abandon(error)
            raise
        finally:
            for one in batch:
                if one.settled and one is not mine:
                    self._let_go(one)

    def _let_go(self, one: Q) -> None:
        try:  # noqa: SIM105 (as above)
            self.queue.remove(one)
        except ValueError:
            pass  # its caller was interrupted, or has looked for itself
        one.queued = False
        _wake(one)


def _wake(one: Queued) -> None:
    if one.woken is not None:
        try:  # noqa: SIM105 (as above)
            one.woken.release()
        except RuntimeError:
            pass  # it was woken before
