"""What changes in a folder of files, told by the system; where it cannot tell, everything may have changed.

Invariants: a change after :meth:`Changes.start` is told by a later ``wait``; the names of sync's own files are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from swampstore.env.base import Env
from swampstore.workers.sync.options import STATE_FOLDER, TEMP_PREFIX

_TURN_MS = 200
_SETTLE_MS = 100
_STEP_MS = 25


class Stop(Protocol):
    """Set when the watch shall end."""

    def is_set(self) -> bool: ...

    async def wait(self, seconds: float | None = None) -> bool: ...


class Changes(Protocol):
    """Tells what changes below one folder."""

    def start(self) -> None:
        """Begin to collect."""
        ...

    async def wait(self, seconds: float) -> set[str] | None:
        """Paths that changed (relative, ``/`` between parts), as soon as there are any, at the latest after ``seconds``.

        ``None``: this cannot tell, anything may have changed.
        """
        ...


class Untold:
    """For systems that do not tell."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def start(self) -> None:
        """There is nothing to begin."""

    async def wait(self, seconds: float) -> set[str] | None:
        await self._stop.wait(seconds)
        return None


class Told:
    """Over watchfiles: inotify, FSEvents and what other systems have. ``start`` raises ``OSError`` where that fails."""

    def __init__(self, tree: Path, env: Env, stop: Stop) -> None:
        self._root = tree.resolve()
        self._env = env
        self._stop = stop
        self._events: Iterator[set[Any]] = iter(())
        self._early: set[str] = set()

    def start(self) -> None:
        from watchfiles import watch

        self._events = watch(
            self._root,
            watch_filter=None,
            debounce=_SETTLE_MS,
            step=_STEP_MS,
            rust_timeout=_TURN_MS,
            yield_on_timeout=True,
            stop_event=self._stop,
            ignore_permission_denied=True,
        )
        try:
            self._early = self._paths(next(self._events, set()))
        except RuntimeError as error:
            raise OSError(str(error)) from error

    async def wait(self, seconds: float) -> set[str] | None:
        until = self._env.boot() + seconds
        found, self._early = self._early, set()
        while not found and self._env.boot() < until and not self._stop.is_set():
            found = self._paths(next(self._events, set()))
        return found

    def _paths(self, events: set[Any]) -> set[str]:
        found: set[str] = set()
        for _, path in events:
            parts = Path(path).relative_to(self._root).parts
            own = any(part == STATE_FOLDER or part.startswith(TEMP_PREFIX) for part in parts)
            if parts and not own:
                found.add("/".join(parts))
        return found


def changes_of(tree: Path, env: Env, stop: Stop) -> Changes:
    """What this system can tell of ``tree``, begun."""
    told = Told(tree, env, stop)
    try:
        told.start()
    except OSError:
        return Untold(stop)  # too many folders for the system, or a file system without news
    return told
