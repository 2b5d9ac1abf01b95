"""Stop requests by signal (Ctrl-C, SIGTERM) for a command that runs until it is told to stop."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class StopSignals:
    """An :class:`swampstore.env.base.Event` that the first SIGINT or SIGTERM sets; the second Ctrl-C interrupts at once.

    A pipe wakes the waiter, because a signal handler may not touch the locks of ``threading.Event``.
    """

    def __init__(self) -> None:
        self._set = False
        self._reading, self._writing = os.pipe()
        self._before: dict[int, Any] = {}
        self._interrupts = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reading)
        os.close(self._writing)

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        if self._set and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.set()
        if self._interrupts:
            raise KeyboardInterrupt

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """For a block that cannot look for a stop: in it one raises ``KeyboardInterrupt``, SIGTERM too."""
        self._interrupts = True
        try:
            if self._set:
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupts = False

    def set(self) -> None:
        if not self._set:
            self._set = True
            os.write(self._writing, b"s")

    def is_set(self) -> bool:
        return self._set

    async def wait(self, seconds: float | None = None) -> bool:
        select.select([self._reading], [], [], seconds)
        return self._set
