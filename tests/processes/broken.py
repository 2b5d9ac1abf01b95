"""Faults that a run of real processes must find: the library is changed in each of them before it works."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

from swampstore.errors import StaleWrite
from swampstore.protocols.commit import CommitLane
from swampstore.stores.base import Overwrite, Stored
from swampstore.stores.local import LocalStore
from swampstore.stores.local_lanes import LocalLaneFile


def _conflicts_unseen() -> None:
    """Who loses a slot takes the next one, whatever was committed meanwhile."""

    async def always(self: CommitLane, one: Any) -> bool:
        return True

    CommitLane._may_follow = always  # type: ignore[method-assign]


def _acknowledged_unwritten() -> None:
    """Every fourth append is acknowledged and never reaches the disk."""
    real, real_append, turn = LocalStore.put, LocalLaneFile.append_now, itertools.cycle((False, False, False, True))

    async def put(self: LocalStore, name: str, body: Any, when: Any) -> Stored:
        if "/log/w" in name and next(turn):
            return Stored("unwritten", await self.now())
        return await real(self, name, body, when)

    def append_now(self: LocalLaneFile, frames: bytes) -> int:
        at = self.end
        done = real_append(self, frames)
        if next(turn):
            os.pwrite(self._fd, bytes(len(frames)), at)
        return done

    LocalStore.put = put  # type: ignore[method-assign]
    LocalLaneFile.append_now = append_now  # type: ignore[method-assign]


def _roots_overwritten() -> None:
    """A fold replaces the root whoever was first."""
    real = LocalStore._rename

    def rename(self: LocalStore, name: str, temp: str, path: str, when: Any) -> Any:
        try:
            return real(self, name, temp, path, when)
        except StaleWrite:
            if not name.endswith("/root"):
                raise
            return real(self, name, temp, path, Overwrite())

    LocalStore._rename = rename  # type: ignore[method-assign]


BROKEN: dict[str, Callable[[], None]] = {
    "conflicts-unseen": _conflicts_unseen,
    "acknowledged-unwritten": _acknowledged_unwritten,
    "roots-overwritten": _roots_overwritten,
}


def break_on_purpose(name: str) -> None:
    """Change the library in this process as ``name`` says; nothing for no name."""
    if name:
        BROKEN[name]()
