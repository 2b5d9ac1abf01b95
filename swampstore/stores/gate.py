"""A bound on what is in flight at once; who comes first goes first. For threads, or for the tasks of one loop."""

from __future__ import annotations

import threading
from collections import deque

from swampstore.env.base import Env, Event
from swampstore.env.phases import during


class Gate:
    """At most ``width`` units inside at once."""

    def __init__(self, env: Env, width: int) -> None:
        self._env = env
        self._width = width
        self._free = width
        self._mutex = threading.Lock()
        self._waiting: deque[tuple[Event, int]] = deque()

    async def enter(self, units: int) -> None:
        """Return inside, with ``units`` (more than there are: with all of them); :meth:`leave` with as many."""
        units = min(units, self._width)
        with self._mutex:
            if not self._waiting and units <= self._free:
                self._free -= units
                return
            mine = self._env.event()
            self._waiting.append((mine, units))
        try:
            with during("admission_wait"):
                await mine.wait()
        except BaseException:
            self._leave_queue(mine, units)
            raise

    def leave(self, units: int) -> None:
        """Let the next in, who fit."""
        self._give_back(min(units, self._width))

    def _leave_queue(self, mine: Event, units: int) -> None:
        with self._mutex:
            if (mine, units) in self._waiting:
                self._waiting.remove((mine, units))
                units = 0  # never got in
        self._give_back(units)

    def _give_back(self, units: int) -> None:
        woken: list[Event] = []
        with self._mutex:
            self._free += units
            while self._waiting and self._waiting[0][1] <= self._free:
                event, wanted = self._waiting.popleft()
                self._free -= wanted
                woken.append(event)
        for event in woken:
            event.set()
