"""The store's time as this process knows it, and the hybrid logical clock made from it.

The estimate of the store's time never runs on the wall clock: it is the latest store time seen plus what the boot clock
has counted since, so a wall clock that jumps changes nothing. Answers may be cut to whole seconds, so the estimate
trails the truth by up to a second and never leads it by more than the answer's own travel time.

Invariants: stamps of one clock strictly rise and exceed every version the process has observed. Nothing is called between
the look at the last stamp and its change, so the handler of a signal that comes there may stamp, or raise.

Source: Kulkarni, Demirbas et al., "Logical Physical Clocks" (2014), send and receive rules.
"""

from __future__ import annotations

import threading

from swampstore.env.base import Env
from swampstore.errors import ClockOff
from swampstore.limits import CLOCK_OFF_MS, STORE_TIME_GRAIN_MS
from swampstore.values.version import MAX_HLC


class StoreClock:
    """One per store and process; safe to share between threads."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._lock = threading.RLock()  # it knows whose it is
        self._ahead_ms: float | None = None
        """Store time minus boot clock."""
        self._paused_ms = 0.0
        self._wall_off_ms = 0
        self._last = 0

    @property
    def calibrated(self) -> bool:
        return self._ahead_ms is not None

    def calibrate(self, store_ms: int) -> None:
        """Take in the store's time from an answer that has just come."""
        ahead = store_ms - self._env.boot() * 1000
        with self._lock:
            known = self._ahead_ms
            # Within the grain the larger estimate is the truer one; past it the clocks have drifted: start afresh.
            if known is None or ahead > known or known - ahead > 2 * STORE_TIME_GRAIN_MS:
                if known is not None and ahead - known > 2 * STORE_TIME_GRAIN_MS:
                    self._paused_ms += ahead - known
                self._ahead_ms = ahead
                self._wall_off_ms = self._env.wall_ms() - store_ms

    def now_ms(self) -> int:
        """The estimated time of the store, in ms; this machine's wall clock before the first calibration."""
        if self._ahead_ms is None:
            return self._env.wall_ms()
        return int(self._env.boot() * 1000 + self._ahead_ms)

    def steady(self) -> float:
        """Seconds on a clock for ages: the boot clock, and what the store's time went on without it.

        A paused virtual machine stops the boot clock; the first answer after the pause brings this one up to date.
        """
        return self._env.boot() + self._paused_ms / 1000

    def check_wall(self) -> None:
        """Raise ``ClockOff`` if this machine's clock is more than 5 minutes from the store's."""
        if abs(self._wall_off_ms) > CLOCK_OFF_MS:
            raise ClockOff(
                f"this machine's clock is {self._wall_off_ms / 1000:+.0f} s from the store's",
                hint="set the clock (NTP) and try again; nothing was sent",
            )

    def stamp(self) -> int:
        """A new hybrid time, above everything stamped or observed before."""
        physical = max(self.now_ms(), 0) << 16
        with self._lock:
            last = self._last + 1
            if last < physical:
                last = physical
            self._last = last
        return last

    def stamp_at(self, boot: float, count: int = 1) -> tuple[int, int]:
        """``(now_ms, stamp)`` at a reading of the boot clock that was just taken; the clock must be calibrated.

        Of ``count`` stamps, one behind the other, it is the first.
        """
        now = int(boot * 1000 + self._ahead_ms)  # type: ignore[operator]
        first = now << 16
        lock = self._lock
        try:  # once for each small put, where ``with`` takes three times as long
            lock.acquire()
            if first <= self._last:
                first = self._last + 1
            self._last = first + count - 1
        finally:
            try:  # noqa: SIM105 (nothing between a signal and the call)
                lock.release()
            except RuntimeError:
                pass  # interrupted before it was ours
        return now, first

    def observe(self, hlc: int) -> None:
        """Take in the hybrid time of a version that was read, so that later stamps exceed it."""
        if hlc > self._last:
            most = min(hlc, MAX_HLC - (1 << 32))
            with self._lock:
                if most > self._last:
                    self._last = most


class Span:
    """How long something has lasted: the larger of the boot clock and the store's own time.

    A paused virtual machine stops the boot clock, the store's clock goes on; a span must be right under both.
    """

    __slots__ = ("_boot", "_env", "_latest", "_start")

    def __init__(self, env: Env, store_ms: int | None = None) -> None:
        self._env = env
        self._boot = env.boot()
        self._start = store_ms
        self._latest = store_ms

    def saw(self, store_ms: int) -> None:
        """Take in the time of an answer."""
        if self._start is None:
            # The answer came after the span began: what passed before is on the boot clock.
            self._start = store_ms - int((self._env.boot() - self._boot) * 1000)
        self._latest = max(store_ms, self._latest or store_ms)

    def seconds(self) -> float:
        boot = self._env.boot() - self._boot
        if self._start is None or self._latest is None:
            return boot
        return max(boot, (self._latest - self._start) / 1000)
