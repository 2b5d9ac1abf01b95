"""Streams, locks and queues of the blocking client. Its names and meaning are those of ``aio_shared``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from swampstore.client.core import CoreNamespace, puts
from swampstore.env.blocking import each, run
from swampstore.protocols.lock import Held as CoreHeld
from swampstore.protocols.lock import hold, set_capacity
from swampstore.protocols.queue import FairQueue, Grant, Waiting
from swampstore.protocols.queue_status import QueueStatus, queue_status
from swampstore.protocols.stream import EMPTY, StreamAck, StreamRecord, StreamState, Tail
from swampstore.protocols.stream import Stream as CoreStream
from swampstore.protocols.writer import Ack
from swampstore.values.deltas import Delete, Delta, Put


class Stream:
    """An ordered sequence of records. Made by ``namespace.stream(name)``."""

    def __init__(self, core: CoreStream) -> None:
        self._core = core

    @property
    def name(self) -> str:
        return self._core.name

    def tail(self) -> Tail:
        """The position after the last record; ``swampstore.EMPTY`` when there is none."""
        return run(self._core.tail())

    def append(self, records: Sequence[bytes], *, expected_tail: Tail | None = None) -> StreamAck:
        """Append records as one atomic batch; with ``expected_tail`` only if that is still the tail.

        Raises ``FenceConflict`` (with what was missed); never retries by itself.
        """
        return run(self._core.append(records, expected_tail=expected_tail))

    def read(self, *, after: Tail = EMPTY, limit: int | None = None) -> list[StreamRecord]:
        """The records after a position, in order."""
        return run(self._core.read(after=after, limit=limit))

    def follow(self, *, after: Tail = EMPTY, seconds: float | None = None) -> Iterator[StreamRecord]:
        """The records after a position, then those to come; ends after ``seconds`` without a new one."""
        return each(self._core.follow(after=after, seconds=seconds))

    def update(self, build: Callable[[StreamView], Sequence[bytes] | None], *, retries: int = 5) -> StreamAck | None:
        """Append what ``build(view)`` returns, fenced on ``view.tail``; on a conflict ``build`` is called again.

        Raises ``FenceRetriesExhausted``; then nothing was written.
        """
        return run(self._core.update(lambda state: build(StreamView(state)), retries=retries))


class StreamView:
    """A stream as ``build`` sees it: its tail, and the records up to it."""

    def __init__(self, state: StreamState) -> None:
        self._state = state

    @property
    def tail(self) -> Tail:
        return self._state.tail

    def records(self, *, after: Tail = EMPTY, limit: int | None = None) -> list[StreamRecord]:
        """The records after a position, as of this view."""
        found: list[StreamRecord] = run(self._state.records(after, limit))
        return found


class HeldLock:
    """A held lock. Its writes are refused with ``FencedError`` once the lock was passed on."""

    def __init__(self, core: CoreHeld) -> None:
        self._core = core

    @property
    def ticket(self) -> int:
        """The fencing token: higher for every later holder."""
        return self._core.ticket

    @property
    def waited(self) -> float:
        """Seconds in the queue."""
        return self._core.waited_s

    def put(self, key: str, data: object) -> Ack:
        """Write one key under the lock."""
        return self.append([Put(key=key, data=data)])

    def put_many(self, items: Mapping[str, object]) -> Ack:
        """Write many keys under the lock, atomically."""
        return self.append(puts(items))

    def delete(self, key: str) -> Ack:
        """Delete a key under the lock."""
        return self.append([Delete(key=key)])

    def append(self, deltas: Sequence[Delta]) -> Ack:
        """Write any mix of deltas under the lock, atomically."""
        return run(self._core.append(deltas))

    def check(self) -> None:
        """Raise ``FencedError`` if the lock was passed on."""
        run(self._core.check())


@contextmanager
def held_lock(core: CoreNamespace, name: str, deadline: float | None, purpose: str) -> Iterator[HeldLock]:
    """Queue for a lock and hold it for the block."""
    run(core.prove())
    held = run(hold(core.updates, name, deadline_s=deadline, purpose=purpose))
    try:
        yield HeldLock(held)
    finally:
        run(held.release())
    run(core.help_if_deep())


class Place:
    """A granted place in a queue."""

    def __init__(self, grant: Grant) -> None:
        self._grant = grant

    @property
    def ticket(self) -> int:
        return self._grant.number

    @property
    def waited(self) -> float:
        """Seconds in the queue."""
        return self._grant.waited_s

    @property
    def lock_file(self) -> int | None:
        """On a local store the descriptor of the locked file that is this place, else ``None``.

        A program that is started with it (``pass_fds``) keeps the place while it runs, even if this process dies.
        """
        return self._grant.lock_file

    def progress(self) -> None:
        """Say that the work moves on: the clock of ``run_limit`` starts again."""
        run(self._grant.progress())

    def check(self) -> None:
        """Raise ``FencedError`` if the place was passed on: one read."""
        run(self._grant.check())


class Queue:
    """A FIFO queue. Made by ``namespace.queue(name, capacity)``."""

    def __init__(self, core: CoreNamespace, queue: FairQueue) -> None:
        self._core = core
        self._queue = queue

    @contextmanager
    def acquire(
        self,
        *,
        deadline: float | None = None,
        bound: int | None = None,
        purpose: str = "",
        run_limit: float = 0.0,
        on_wait: Callable[[Waiting], Any] | None = None,
    ) -> Iterator[Place]:
        """Wait for a place and hold it for the block. Raises ``DeadlinePassed``, ``QueueFull``."""
        run(self._core.prove())
        grant = run(
            self._queue.acquire(
                deadline_s=deadline, bound=bound, purpose=purpose, run_limit_s=run_limit, on_wait=on_wait
            )
        )
        try:
            yield Place(grant)
        finally:
            run(grant.release())

    def set_capacity(self, capacity: int) -> None:
        """Change how many may run at once; nobody is revoked. Raises ``Misuse`` for more than one of a lock."""
        run(set_capacity(self._queue, self._core.reader, capacity))

    def status(self, *, limit: int = 100) -> QueueStatus:
        """Who holds and who waits (the first ``limit``): queued, running, stuck or dead."""
        return run(queue_status(self._queue, limit=limit))

    def pass_over(self, ticket: int) -> None:
        """End a ticket by force, whoever holds it: the next is granted, and a lock's holder can commit nothing more."""
        run(self._queue.pass_over(ticket))
