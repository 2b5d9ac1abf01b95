"""What a store can do whose lanes may be files: one append-only file per writer, locked while its owner is alive.

A store that has it gives it as its attribute ``lanes`` (``None``, or no such attribute: lanes are segments). Lane files
are objects too: ``get``, ``head``, ``list`` and ``delete`` see them under their names.

Invariants:
- A lane file appears with its header, its size fixed and its lock held, in one step; its name is never used twice.
- What ``append`` has acknowledged is seen by every ``get`` from then on; with ``durable`` it is on the disk, as is the
  way to it.
- An owner whose append failed appends no more: what lies behind the last acknowledged frame is unknown.
- A file goes only while its owner is gone and no good frame lies at ``covered`` or behind it (model ``lane_file``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from swampstore.limits import KIB
from swampstore.stores.base import Page, Store


class LaneFile(Protocol):
    """A lane file in the hands of its owner."""

    @property
    def end(self) -> int:
        """Where the next frame goes."""
        ...

    @property
    def size(self) -> int:
        """The size fixed in advance; frames may not go past it."""
        ...

    async def append(self, frames: bytes) -> int:
        """Put ``frames`` at ``end``; the store's time in ms when they were acknowledged.

        Raises ``StoreFull``, ``StoreUnavailable`` or ``Misuse`` (closed, or inherited by a fork); then the file is closed.
        """
        ...

    def close(self) -> None:
        """Append no more, and let go of the lock. Idempotent."""
        ...


class DirectLaneFile(LaneFile, Protocol):
    """A lane file whose appends never suspend."""

    def append_now(self, frames: bytes) -> int:
        """See :meth:`LaneFile.append`."""
        ...


LOOK_BYTES = 64 * KIB
"""How much of each file a look reads at most."""


class LaneLook(msgspec.Struct, frozen=True):
    """``page``: what else lies in the folder. ``there``: the files asked about that are. ``found``: of those in which
    there is something behind the offset given, at most ``LOOK_BYTES`` of that; of the others it is free space."""

    page: Page
    there: frozenset[str]
    found: dict[str, bytes]


class LaneStore(Protocol):
    """The lane files of one store. ``durable``: acknowledged means on the disk, not only out of the process.

    ``direct``: its files are :class:`DirectLaneFile`, and opening one never suspends either. ``chosen``: writers are to
    have files; where they are not, those that others made are looked after all the same. ``sized``: files have their full
    size from the first on.
    """

    @property
    def chosen(self) -> bool: ...

    @property
    def durable(self) -> bool: ...

    @property
    def direct(self) -> bool: ...

    @property
    def sized(self) -> bool: ...

    async def open_lane(self, name: str, header: bytes, size: int) -> LaneFile:
        """Make the lane file ``name`` of ``size`` bytes that begins with ``header``. Raises ``AlreadyExists``."""
        ...

    async def sync_lane(self, name: str) -> None:
        """Bring what can be read of the lane file to the disk (before anything is built on it). Raises ``NotFound``."""
        ...

    async def remove_lane(self, name: str, covered: int) -> bool:
        """Delete the lane file if its owner is gone and its good frames end at ``covered``; whether it is gone now."""
        ...

    async def look(self, folder: str, file: str, ends: Mapping[str, int], after: Mapping[str, int]) -> LaneLook | None:
        """List ``folder``, and read the files ``<folder><name>/<file>`` on from ``ends[name]`` instead of naming them.

        Of each it is as if it was listed, and read after that. Of a folder ``<folder><name>/`` with ``after[name]`` the
        slots are named that follow that one, up to the first which was missing when it was looked for; nothing else. Not
        to be asked unless ``chosen``: a network file system may remember for a while that a name was missing.
        ``None``: this store gains nothing by it.
        """
        ...


def lanes_of(store: Store) -> LaneStore | None:
    """The lane files of ``store``, if it has such."""
    found: Any = getattr(store, "lanes", None)
    return found  # type: ignore[no-any-return]
