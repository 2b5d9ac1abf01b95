"""Group commit for the tasks of an event loop: what is handed over in one turn of the loop is written together.

The write is carried out by the loop itself, at the end of the turn: no thread, no hand-off; a lone caller waits for one
turn of the loop and nobody else.

Invariants: as in :mod:`swampstore.env.group`. A caller that is cancelled stops waiting; its item is written all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic

from swampstore.env.group import Q


class TaskGroup(Generic[Q]):
    """``write`` writes one batch and never suspends. Counts ``batches``, and callers of the ``largest``."""

    def __init__(self, write: Callable[[Sequence[Q]], None]) -> None:
        self._write = write
        self._items: list[Q] = []
        self.batches = 0
        self.largest = 0

    def submit(self, item: Q) -> Q:
        """Queue ``item``; await it to go on when it is settled."""
        if not self._items:
            asyncio.get_running_loop().call_soon(self._flush)
        self._items.append(item)
        return item

    def submit_now(self, item: Q) -> None:
        """Write ``item`` alone."""
        self._write([item])

    def wake(self) -> None:
        """Nobody waits who is not woken by who writes."""

    def _flush(self) -> None:
        items, self._items = self._items, []
        self.batches += 1
        self.largest = max(self.largest, sum([item.callers for item in items]))
        try:
            self._write(items)
        except BaseException as error:
            for item in items:
                item.abandon(error)
            raise
