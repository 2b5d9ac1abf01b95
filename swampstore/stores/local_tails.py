"""The ends of many lane files at one look: who reads strictly asks every live writer's file whether it has grown.

The files stay open in between, and what a look needs is prepared by the one before: it costs one listing of their folder
and one small read of each; of a lane of segments what is behind its watermark, however many wait there to be deleted.

Invariants:
- Every look lists the folder and then reads every file asked about: nothing is told from an earlier look.
- What is read of a kept file is what lies under its name: when that has gone, its owner was finished before, so it holds
  all it ever will; and once a second it is made sure that the name leads to it still (a store may be restored in place).
- At most ``KEPT_FILES`` are kept open; the space of one that was deleted is freed at the next look.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping

from swampstore.stores.base import Info
from swampstore.stores.lanes import LOOK_BYTES
from swampstore.stores.walk import Walker

KEPT_FILES = 128
_SURE_S = 1.0
_PEEK_BYTES = 16
_FREE = frozenset({bytes(_PEEK_BYTES), b""})
"""What is read where nothing has been written: zeros, or that the file ends there."""


class _Watch:
    """What to look at in a folder that holds ``names``, asked about ``ends``: true until ``sure_until``.

    ``files`` are the descriptors of the files asked about that are ``there``, ``others`` the names of all else.
    """

    __slots__ = ("ends", "files", "names", "others", "peeks", "sure_until", "there")

    def __init__(self, names: list[str], ends: Mapping[str, int]) -> None:
        self.names = names
        self.ends = ends
        self.files: dict[str, int] = {}
        self.others: list[str] = []
        self.there: frozenset[str] = frozenset()
        self.peeks: list[tuple[str, int, int]] = []
        self.sure_until = time.monotonic() + _SURE_S

    def fits(self, names: list[str], ends: Mapping[str, int]) -> bool:
        """Whether the folder holds the same, and the same files are asked about."""
        asked = ends is self.ends or ends.keys() == self.ends.keys()
        return asked and names == self.names and time.monotonic() < self.sure_until

    def ask(self, ends: Mapping[str, int]) -> None:
        """Read on from ``ends``."""
        self.ends = ends
        self.there = frozenset(self.files)
        self.peeks = [(name, fd, ends[name]) for name, fd in self.files.items()]

    def read(self) -> dict[str, bytes]:
        """What is new, by file."""
        found: dict[str, bytes] = {}
        pread, free = os.pread, _FREE
        for name, fd, end in self.peeks:
            if pread(fd, _PEEK_BYTES, end) not in free:
                found[name] = pread(fd, LOOK_BYTES, end)
        return found

    def close(self, keep: int = 0) -> None:
        """Let go of all files but ``keep`` of them; then it is true no more."""
        while len(self.files) > keep:
            self.sure_until = 0.0
            os.close(self.files.popitem()[1])


class LocalTails:
    """See :meth:`swampstore.stores.lanes.LaneStore.look`. Threads may share one."""

    def __init__(self, root: str, walker: Walker) -> None:
        self._root = root
        self._walker = walker
        self._mutex = threading.Lock()
        self._watched: dict[str, _Watch] = {}

    def look(
        self, folder: str, file: str, ends: Mapping[str, int], after: Mapping[str, int]
    ) -> tuple[list[Info], frozenset[str], dict[str, bytes]]:
        """See :class:`swampstore.stores.lanes.LaneLook`: what is listed, ``there`` and ``found``. Raises ``OSError``."""
        with self._mutex:
            names = _names(f"{self._root}/{folder}")
            watch = self._watched.get(folder)
            if watch is None or not watch.fits(names, ends):
                watch = self._watch(folder, file, names, ends)
            elif watch.ends is not ends:
                watch.ask(ends)
            others, there, found = watch.others, watch.there, watch.read()
            watch.close(KEPT_FILES)
        items: list[Info] = []
        for name in others:
            behind = after.get(name)
            items += self._walk(folder, name) if behind is None else self._walker.count_up(f"{folder}{name}/", behind)
        return items, there, found

    def _watch(self, folder: str, file: str, names: list[str], ends: Mapping[str, int]) -> _Watch:
        """Open what is asked about and was not, make sure of the rest, and let go of what nobody asks about any more."""
        watch, before = _Watch(names, ends), self._watched.pop(folder, None)
        kept = before.files if before else {}
        self._watched[folder] = watch  # from here on it owns what it holds, whatever fails
        try:
            for name in sorted(names):
                fd = _sure(f"{self._root}/{folder}{name}/{file}", kept.pop(name, None)) if name in ends else None
                if fd is None:
                    watch.others.append(name)
                else:
                    watch.files[name] = fd
        except BaseException:
            watch.close()
            raise
        finally:
            for fd in kept.values():
                os.close(fd)
        watch.ask(ends)
        return watch

    def _walk(self, folder: str, name: str) -> Iterable[Info]:
        if os.path.isdir(f"{self._root}/{folder}{name}"):
            return self._walker.walk(f"{folder}{name}/", "")
        return (item for item in self._walker.walk(folder + name, "") if item.name == folder + name)

    def close(self) -> None:
        """Let go of all files."""
        with self._mutex:
            watched, self._watched = self._watched, {}
            for watch in watched.values():
                watch.close()


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sure(path: str, fd: int | None) -> int | None:
    """The open file of ``path``, as which ``fd`` was opened; ``None`` where there is none, or no longer that one."""
    try:
        if fd is None:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False)):
            return fd
    except (FileNotFoundError, NotADirectoryError):
        pass
    if fd is not None:
        os.close(fd)
    return None
