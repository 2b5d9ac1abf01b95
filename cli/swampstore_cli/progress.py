"""Progress of a long command on standard error: a bar when that is a terminal, else nothing."""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, Self

from swampstore_cli.output import size

_RATE_S = 5.0


class Progress:
    """A callable ``(phase, done, total, moved)``; a context manager, so that the bar goes away in any case."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._phase = ""
        self._moved: deque[tuple[float, int]] = deque()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            shown = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[moved]}"),
            )
            columns = (*shown, TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: int, total: int, moved: int = 0) -> None:
        if self._bar is None:
            return
        if phase != self._phase:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._phase, self._task = phase, self._bar.add_task(phase, total=None, moved="")
            self._moved.clear()
        self._bar.update(self._task, completed=done, total=total or None, moved=self._shown(moved) if moved else "")

    def _shown(self, moved: int) -> str:
        """What has moved, and how fast over the last seconds."""
        now = self._bar.get_time()
        self._moved.append((now, moved))
        while now - self._moved[0][0] > _RATE_S and len(self._moved) > 2:
            self._moved.popleft()
        at, before = self._moved[0]
        return f"{size(moved)}, {size((moved - before) / (now - at))}/s" if now > at else size(moved)
