"""Turns by name inside one process: first come, first served, without a request to the store."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from swampstore.env.base import Env, Event
from swampstore.env.phases import during
from swampstore.errors import DeadlinePassed


class Fifo:
    """One holder a name at a time; waiters are served in order. For threads, or for the tasks of one loop."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._mutex = threading.Lock()
        self._queues: dict[str, deque[Event]] = {}

    @asynccontextmanager
    async def turn(self, name: str, seconds: float | None = None) -> AsyncIterator[None]:
        """Hold ``name``; waits at most ``seconds``. Raises ``DeadlinePassed``."""
        mine = self._env.event()
        try:
            with self._mutex:
                queue = self._queues.setdefault(name, deque())
                queue.append(mine)
                if queue[0] is mine:
                    mine.set()
            if not mine.is_set():
                with during("lock_wait"):
                    got = await mine.wait(seconds)
                if not got:
                    raise DeadlinePassed(
                        f"{seconds:g} s passed while {name!r} was held by others in this process",
                        hint="raise the deadline",
                    )
            yield
        finally:
            try:
                self._leave(name, mine)
            except BaseException:
                self._leave(name, mine)  # a signal has come between
                raise

    def _leave(self, name: str, mine: Event) -> None:
        """``mine`` neither holds nor waits any more. Idempotent: who holds now is woken again."""
        with self._mutex:
            queue = self._queues.get(name)
            if queue is None:
                return
            if mine in queue:
                queue.remove(mine)
            if queue:
                queue[0].set()
            else:
                del self._queues[name]
