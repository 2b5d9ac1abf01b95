"""A fake environment: clocks that a test sets, seeded dice, waits that take no time.

Invariants: nothing moves the clocks but :meth:`FakeEnv.advance`, :meth:`FakeEnv.sleep` and an event waited for; equal
seeds give equal dice.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START_MS = 1_800_000_000_000


class FakeEvent:
    """An event whose timed wait advances the clocks instead of waiting."""

    def __init__(self, env: FakeEnv) -> None:
        self._env = env
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    async def wait(self, seconds: float | None = None) -> bool:
        if not self._set:
            if seconds is None:
                raise RuntimeError("waiting for an event that nobody can set any more")
            self._env.advance(seconds)
        return self._set


class FakeEnv:
    """See :class:`swampstore.env.base.Env`. ``wall`` (ms) and ``boot_s`` may be set to let the clocks drift apart."""

    def __init__(self, seed: int = 0, *, wall_ms: int = START_MS, boot_s: float = 1000.0) -> None:
        self._dice = random.Random(seed)
        self.wall = wall_ms
        self.boot_s = boot_s
        self.token = 1

    def advance(self, seconds: float, *, asleep: bool = False) -> None:
        """Let time pass; a machine that is ``asleep`` (a paused virtual one) does not count it on its boot clock."""
        self.wall += round(seconds * 1000)
        if not asleep:
            self.boot_s += seconds

    def twin(self, seed: int) -> FakeEnv:
        """Another machine at the same time. Its clocks go their own way."""
        return FakeEnv(seed, wall_ms=self.wall, boot_s=self.boot_s)

    def wall_ms(self) -> int:
        return self.wall

    def boot(self) -> float:
        return self.boot_s

    def random_bytes(self, count: int) -> bytes:
        return self._dice.randbytes(count)

    def random(self) -> float:
        return self._dice.random()

    def identity(self) -> tuple[str, int]:
        return "fake", self.token

    def process_token(self) -> int:
        return self.token

    def check_caller(self) -> None:
        """Anybody may call."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def event(self) -> FakeEvent:
        return FakeEvent(self)

    async def detached(self, work: Coroutine[Any, Any, T]) -> T:
        return await work

    async def within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """Runs ``work`` to its end; if the clocks say that this took longer, it was too late (and was done all the same)."""
        began = self.boot_s
        try:
            return await work
        finally:
            if self.boot_s - began > seconds:
                raise TimeoutError(f"not done within {seconds:g} s")
