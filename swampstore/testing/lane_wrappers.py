"""Lane files of a store around a store: every call goes through the wrapper, like its other verbs.

Verbs are ``open_lane``, ``append_lane``, ``sync_lane`` and ``remove_lane``; an append of several frames counts as one.

Invariant: the files are not *direct*, for a wrapper may wait or fail where the file inside would not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from swampstore.stores.lanes import LaneFile, LaneStore

A = TypeVar("A")


class Around(Protocol):
    """What carries out a call of the store inside."""

    async def other(self, verb: str, names: tuple[str, ...], call: Callable[[], Awaitable[A]]) -> A:
        """Carry out ``call``, which is ``verb`` on ``names``."""
        ...


class WrappedLaneFile:
    """See :class:`swampstore.stores.lanes.LaneFile`. A fault after an append closes the file, as any failure does."""

    def __init__(self, around: Around, name: str, inner: LaneFile) -> None:
        self._around = around
        self._name = name
        self.inner = inner

    @property
    def end(self) -> int:
        return self.inner.end

    @property
    def size(self) -> int:
        return self.inner.size

    async def append(self, frames: bytes) -> int:
        """See :meth:`swampstore.stores.lanes.LaneFile.append`."""
        try:
            return await self._around.other("append_lane", (self._name,), lambda: self.inner.append(frames))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """See :meth:`swampstore.stores.lanes.LaneFile.close`."""
        self.inner.close()


class WrappedLanes:
    """See :class:`swampstore.stores.lanes.LaneStore`."""

    direct = False

    def __init__(self, around: Around, inner: LaneStore) -> None:
        self._around = around
        self._inner = inner

    @property
    def durable(self) -> bool:
        return self._inner.durable

    @property
    def sized(self) -> bool:
        return self._inner.sized

    @property
    def chosen(self) -> bool:
        return self._inner.chosen

    async def open_lane(self, name: str, header: bytes, size: int) -> WrappedLaneFile:
        """See :meth:`swampstore.stores.lanes.LaneStore.open_lane`."""
        file = await self._around.other("open_lane", (name,), lambda: self._inner.open_lane(name, header, size))
        return WrappedLaneFile(self._around, name, file)

    async def look(self, folder: str, file: str, ends: Mapping[str, int], after: Mapping[str, int]) -> None:
        """See :meth:`swampstore.stores.lanes.LaneStore.look`: here everything is one request after the other."""

    async def sync_lane(self, name: str) -> None:
        """See :meth:`swampstore.stores.lanes.LaneStore.sync_lane`."""
        await self._around.other("sync_lane", (name,), lambda: self._inner.sync_lane(name))

    async def remove_lane(self, name: str, covered: int) -> bool:
        """See :meth:`swampstore.stores.lanes.LaneStore.remove_lane`."""
        return await self._around.other("remove_lane", (name,), lambda: self._inner.remove_lane(name, covered))
