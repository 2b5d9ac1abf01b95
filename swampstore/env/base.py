"""The outside world that is not a store: clocks, dice, waiting.

Core code is written once as ``async def`` and awaits only the store and this. A blocking environment never suspends, so
one ``send(None)`` finishes a coroutine; an asyncio environment suspends as usual; a simulated one is stepped under a
seeded scheduler. Nothing outside ``swampstore.env`` may import ``time``, ``random``, ``secrets`` or ``uuid`` (a lint
rule), which is what makes a simulated run repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Event(Protocol):
    """Set once; wakes every waiter. ``set`` may be called from any thread."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until set, or until ``seconds`` have passed; whether it is set."""
        ...


class Background(Protocol):
    """Work that goes on beside the caller until stopped."""

    async def stop(self) -> None:
        """End it and wait until it has ended; an error it died of is raised here."""
        ...


class Env(Protocol):
    """Clocks, dice, identity and waiting of one process (or of one simulated process)."""

    def wall_ms(self) -> int:
        """This machine's wall clock in ms since the epoch. May jump; may be wrong."""
        ...

    def boot(self) -> float:
        """Seconds of a clock that never goes back and counts suspended time where the platform allows."""
        ...

    def random_bytes(self, count: int) -> bytes: ...

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def identity(self) -> tuple[str, int]:
        """Host name and process id, for people to read."""
        ...

    def process_token(self) -> int:
        """Differs in a forked child."""
        ...

    def check_caller(self) -> None:
        """Raise ``Misuse`` for a caller to whom this does not belong (another event loop)."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    def event(self) -> Event: ...

    async def detached(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` to its end even if the caller is cancelled meanwhile (then the caller alone stops waiting)."""
        ...

    async def within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns or raises within ``seconds``, else ``TimeoutError``; then it goes on unwatched."""
        ...

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Background:
        """Run ``work()`` every ``seconds`` beside the caller (a thread, a task), first after ``seconds``."""
        ...
