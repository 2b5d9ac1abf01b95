"""Streams, locks and queues of the asyncio client. Its names and meaning are those of ``blocking_shared``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from swampstore.client.core import CoreNamespace, puts
from swampstore.protocols.lock import Held as CoreHeld
from swampstore.protocols.lock import hold, set_capacity
from swampstore.protocols.queue import FairQueue, Grant, Waiting
from swampstore.protocols.queue_status import QueueStatus, queue_status
from swampstore.protocols.stream import EMPTY, StreamAck, StreamRecord, StreamState, Tail
from swampstore.protocols.stream import Stream as CoreStream
from swampstore.protocols.writer import Ack
from swampstore.values.deltas import Delete, Delta, Put


class AsyncStream:
    """An ordered sequence of records. Made by ``namespace.stream(name)``."""

    def __init__(self, core: CoreStream) -> None:
        self._core = core

    @property
    def name(self) -> str:
        return self._core.name

    async def tail(self) -> Tail:
        """The position after the last record; ``swampstore.EMPTY`` when there is none."""
        return await self._core.tail()

    async def append(self, records: Sequence[bytes], *, expected_tail: Tail | None = None) -> StreamAck:
        """Append records as one atomic batch; with ``expected_tail`` only if that is still the tail.

        Raises ``FenceConflict`` (with what was missed); never retries by itself.
        """
        return await self._core.append(records, expected_tail=expected_tail)

    async def read(self, *, after: Tail = EMPTY, limit: int | None = None) -> list[StreamRecord]:
        """The records after a position, in order."""
        return await self._core.read(after=after, limit=limit)

    def follow(self, *, after: Tail = EMPTY, seconds: float | None = None) -> AsyncIterator[StreamRecord]:
        """The records after a position, then those to come; ends after ``seconds`` without a new one."""
        return self._core.follow(after=after, seconds=seconds)

    async def update(self, build: Callable[[AsyncStreamView], Any], *, retries: int = 5) -> StreamAck | None:
        """Append what ``build(view)`` returns, fenced on ``view.tail``; on a conflict ``build`` is called again.

        Raises ``FenceRetriesExhausted``; then nothing was written.
        """
        return await self._core.update(lambda state: build(AsyncStreamView(state)), retries=retries)


class AsyncStreamView:
    """A stream as ``build`` sees it: its tail, and the records up to it."""

    def __init__(self, state: StreamState) -> None:
        self._state = state

    @property
    def tail(self) -> Tail:
        return self._state.tail

    async def records(self, *, after: Tail = EMPTY, limit: int | None = None) -> list[StreamRecord]:
        """The records after a position, as of this view."""
        found: list[StreamRecord] = await self._state.records(after, limit)
        return found


class AsyncHeldLock:
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

    async def put(self, key: str, data: object) -> Ack:
        """Write one key under the lock."""
        return await self.append([Put(key=key, data=data)])

    async def put_many(self, items: Mapping[str, object]) -> Ack:
        """Write many keys under the lock, atomically."""
        return await self.append(puts(items))

    async def delete(self, key: str) -> Ack:
        """Delete a key under the lock."""
        return await self.append([Delete(key=key)])

    async def append(self, deltas: Sequence[Delta]) -> Ack:
        """Write any mix of deltas under the lock, atomically."""
        return await self._core.append(deltas)

    async def check(self) -> None:
        """Raise ``FencedError`` if the lock was passed on."""
        await self._core.check()


@asynccontextmanager
async def held_lock(
    core: CoreNamespace, name: str, deadline: float | None, purpose: str
) -> AsyncIterator[AsyncHeldLock]:
    """Queue for a lock and hold it for the block."""
    await core.prove()
    held = await hold(core.updates, name, deadline_s=deadline, purpose=purpose)
    try:
        yield AsyncHeldLock(held)
    finally:
        await held.release()
    await core.help_if_deep()


class AsyncPlace:
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

    async def progress(self) -> None:
        """Say that the work moves on: the clock of ``run_limit`` starts again."""
        await self._grant.progress()

    async def check(self) -> None:
        """Raise ``FencedError`` if the place was passed on: one read."""
        await self._grant.check()


class AsyncQueue:
    """A FIFO queue. Made by ``namespace.queue(name, capacity)``."""

    def __init__(self, core: CoreNamespace, queue: FairQueue) -> None:
        self._core = core
        self._queue = queue

    @asynccontextmanager
    async def acquire(
        self,
        *,
        deadline: float | None = None,
        bound: int | None = None,
        purpose: str = "",
        run_limit: float = 0.0,
        on_wait: Callable[[Waiting], Any] | None = None,
    ) -> AsyncIterator[AsyncPlace]:
        """Wait for a place and hold it for the block. Raises ``DeadlinePassed``, ``QueueFull``."""
        await self._core.prove()
        grant = await self._queue.acquire(
            deadline_s=deadline, bound=bound, purpose=purpose, run_limit_s=run_limit, on_wait=on_wait
        )
        try:
            yield AsyncPlace(grant)
        finally:
            await grant.release()

    async def set_capacity(self, capacity: int) -> None:
        """Change how many may run at once; nobody is revoked. Raises ``Misuse`` for more than one of a lock."""
        await set_capacity(self._queue, self._core.reader, capacity)

    async def status(self, *, limit: int = 100) -> QueueStatus:
        """Who holds and who waits (the first ``limit``): queued, running, stuck or dead."""
        return await queue_status(self._queue, limit=limit)

    async def pass_over(self, ticket: int) -> None:
        """End a ticket by force, whoever holds it: the next is granted, and a lock's holder can commit nothing more."""
        await self._queue.pass_over(ticket)
