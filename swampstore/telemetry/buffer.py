"""From the hot path to an exporter: a bounded buffer, emptied by a thread of its own.

Invariants:
- Who puts something in never waits: a full buffer drops it and counts it.
- What the thread does (and how long it takes, or hangs) is of no concern to anybody else.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

EVENTS = 65_536
"""How many wait at most: about 20 MB."""
PAUSE_S = 0.1
SLOWEST_PAUSE_S = 1.0
"""The thread looks at an empty buffer less and less often."""
GOODBYE_S = 2.0
"""How long the end of the process waits for the last of it."""

_log = logging.getLogger("swampstore.telemetry")


class Buffer(Generic[T]):
    """``work`` is given what has gathered, in the thread. It may raise: that is logged, and what it had is lost."""

    def __init__(self, name: str, work: Callable[[list[T]], None], limit: int = EVENTS) -> None:
        self._name = name
        self._work = work
        self._limit = limit
        self._waiting: deque[T] = deque()
        self._drops = itertools.count()
        self._dropped = 0
        self._one_at_a_time = threading.RLock()  # it knows whose it is
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True, name=f"swampstore-{name}")
        self._thread.start()

    def put(self, item: T) -> None:
        """Take ``item`` in, or drop it."""
        if len(self._waiting) < self._limit:
            self._waiting.append(item)
        else:
            self._dropped = next(self._drops) + 1

    @property
    def dropped(self) -> int:
        """How many were dropped so far."""
        return self._dropped

    def empty(self, *, wait_s: float = -1) -> bool:
        """Hand on what waits, now, in the calling thread; ``False`` if another one is at it for longer than ``wait_s``."""
        try:
            if not self._one_at_a_time.acquire(timeout=wait_s):
                return False
            count = len(self._waiting)
            if count:
                self._work([self._waiting.popleft() for _ in range(count)])
            return True
        finally:
            try:  # noqa: SIM105 (nothing between a signal and the call)
                self._one_at_a_time.release()
            except RuntimeError:
                pass  # it was not ours, or not yet

    def _loop(self) -> None:
        pause = PAUSE_S
        while not self._stop.wait(pause):
            pause = PAUSE_S if self._waiting else min(pause * 2, SLOWEST_PAUSE_S)
            try:
                self.empty()
            except Exception:  # noqa: BLE001 (an exporter is another's code; the next events may fare better)
                _log.exception("%s: an exporter failed", self._name)

    def close(self) -> None:
        """End the thread; what waits is handed on, unless that takes long."""
        self._stop.set()
        self._thread.join(GOODBYE_S)
        last = threading.Thread(target=self.empty, kwargs={"wait_s": GOODBYE_S}, daemon=True)
        last.start()
        last.join(GOODBYE_S)
