"""Compaction of several namespaces by one process; new ones are discovered while it runs.

Invariants: an error of one namespace is told and does not stop the others. Looking for namespaces costs more than polling
one, so a store in which nothing happens is looked through at growing distance, at most every quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from swampstore.env.base import Env, Event
from swampstore.errors import SwampError
from swampstore.workers.compactor import Compactor, OnError, OnRound, log_error

Discover = Callable[[], Awaitable[Iterable[str]]]
DISCOVER_S = 60.0
_DISCOVER_IDLE_S = 15 * 60.0
_BACKOFF = 1.5


class CompactorGroup:
    """``discover`` lists the namespaces there are now; ``make`` makes the compactor of one."""

    def __init__(self, env: Env, discover: Discover, make: Callable[[str], Compactor]) -> None:
        self._env = env
        self._discover = discover
        self._make = make
        self._members: dict[str, Compactor] = {}
        self._due: dict[str, tuple[float, float]] = {}
        """Namespace to when its next round is due (boot clock, s) and the delay that led there."""
        self._looked_at = float("-inf")
        self._look_s = 0.0

    async def run(
        self,
        stop: Event,
        *,
        interval_s: float = 1.0,
        discover_s: float = DISCOVER_S,
        on_round: OnRound | None = None,
        on_error: OnError = log_error,
    ) -> None:
        """Round after round, each namespace at its own pace, until ``stop`` is set.

        New namespaces are looked for every ``discover_s`` seconds while anything happens in the store.
        """
        self._look_s = discover_s
        while not stop.is_set():
            await self._look(discover_s, on_error)
            for name in [name for name, (due, _) in self._due.items() if due <= self._env.boot()]:
                if stop.is_set():
                    return
                delay = await self._members[name].step(self._due[name][1], interval_s, on_round, on_error)
                self._due[name] = (self._env.boot() + delay, delay)
                if delay <= interval_s:
                    self._look_s = discover_s
            now = self._env.boot()
            soonest = min((due for due, _ in self._due.values()), default=now + self._look_s)
            await stop.wait(max(min(soonest, self._looked_at + self._look_s) - now, 0.0))

    async def _look(self, discover_s: float, on_error: OnError) -> None:
        """Find namespaces that are new, forget those that are gone."""
        now = self._env.boot()
        if now - self._looked_at < self._look_s:
            return
        self._looked_at = now
        self._look_s = min(self._look_s * _BACKOFF, max(_DISCOVER_IDLE_S, discover_s))
        try:
            found = list(await self._discover())
        except SwampError as error:
            on_error("*", error)
            return
        for name in found:
            if name not in self._members:
                self._look_s = discover_s
                self._members[name] = self._make(name)
                self._due[name] = (now, 0.0)
        for name in set(self._members).difference(found):
            del self._members[name], self._due[name]
