"""Lane files in memory: the reference of what the capability means, and what simulations crash in the middle.

A file is an object of its store, whose bytes grow; the zeros up to its fixed size are not kept.

Invariants: every call is one critical section of the store; a name that was used once is refused for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Protocol

from swampstore.errors import AlreadyExists, Misuse, NotFound
from swampstore.stores.names import check_name
from swampstore.values.lane_file import HEADER_BYTES, decode_frames, find_frame, misplaced


class Shelf(Protocol):
    """What a memory store lends: its objects by name. Called under its lock."""

    def held(self, name: str) -> bytes | None: ...

    def hold(self, name: str, body: bytes) -> int:
        """Set the object; the store's time, in ms."""
        ...

    def drop(self, name: str) -> None: ...


class MemoryLaneFile:
    """See :class:`swampstore.stores.lanes.DirectLaneFile`."""

    def __init__(self, name: str, size: int, write: Callable[[MemoryLaneFile, bytes], int], end: int) -> None:
        self.name = name
        self.size = size
        self.end = end
        self.closed = False
        self._write = write

    async def append(self, frames: bytes) -> int:
        """See :meth:`swampstore.stores.lanes.LaneFile.append`."""
        return self.append_now(frames)

    def append_now(self, frames: bytes) -> int:
        """See :meth:`swampstore.stores.lanes.LaneFile.append`."""
        now = self._write(self, frames)
        self.end += len(frames)
        return now

    def tear(self, part: bytes) -> None:
        """The owner dies while ``part`` of what it was writing has reached the file (for simulations)."""
        self._write(self, part)
        self.close()

    def close(self) -> None:
        """See :meth:`swampstore.stores.lanes.LaneFile.close`."""
        self.closed = True


class MemoryLanes:
    """See :class:`swampstore.stores.lanes.LaneStore`. ``lock`` is the store's."""

    direct = True
    sized = False

    def __init__(self, shelf: Shelf, lock: Lock, *, durable: bool = True) -> None:
        self.durable = durable
        self.chosen = True
        self.synced: dict[str, int] = {}
        """Bytes of each file at its last sync (appends of a durable store are synced)."""
        self._shelf = shelf
        self._lock = lock
        self._files: dict[str, MemoryLaneFile] = {}

    async def open_lane(self, name: str, header: bytes, size: int) -> MemoryLaneFile:
        """See :meth:`swampstore.stores.lanes.LaneStore.open_lane`."""
        check_name(name)
        with self._lock:
            if name in self._files or self._shelf.held(name) is not None:
                raise AlreadyExists(f"{name} exists")
            self._shelf.hold(name, header)
            file = self._files[name] = MemoryLaneFile(name, size, self._write, len(header))
        return file

    def _write(self, file: MemoryLaneFile, frames: bytes) -> int:
        with self._lock:
            held = self._shelf.held(file.name)
            if file.closed or held is None:
                file.closed = True
                raise Misuse(f"{file.name} is closed, or was deleted", hint="open the store again")
            if self.durable:
                self.synced[file.name] = len(held) + len(frames)
            return self._shelf.hold(file.name, held + frames)

    async def look(self, folder: str, file: str, ends: Mapping[str, int], after: Mapping[str, int]) -> None:
        """See :meth:`swampstore.stores.lanes.LaneStore.look`: there is nothing to save here."""

    async def sync_lane(self, name: str) -> None:
        """See :meth:`swampstore.stores.lanes.LaneStore.sync_lane`."""
        with self._lock:
            held = self._shelf.held(name)
            if held is None:
                raise NotFound(f"{name} is gone")
            self.synced[name] = len(held)

    async def remove_lane(self, name: str, covered: int) -> bool:
        """See :meth:`swampstore.stores.lanes.LaneStore.remove_lane`."""
        with self._lock:
            held = self._shelf.held(name)
            if held is None:
                return True
            start = max(covered, HEADER_BYTES)
            owner = self._files.get(name)
            alive = owner is not None and not owner.closed
            lane = name.split("/")[-2]
            if alive or misplaced(held, lane, name) or decode_frames(held[start:], lane, start, name).count:
                return False
            if find_frame(held[start - 1 :], lane, start - 1) is not None:
                return False
            self._shelf.drop(name)
            return True
