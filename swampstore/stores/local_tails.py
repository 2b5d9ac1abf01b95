"""The ends of many lane files at one look: who reads strictly asks every live writer's file whether it has grown.

The files stay open in between, so that a look costs one listing of their folder and one small read of each.

Invariants:
- What is read of a kept file is what lies under its name: when that has gone, its owner was finished before, so it holds
  all it ever will; and once a second it is made sure that the name leads to it still (a store may be restored in place).
- At most ``KEPT_FILES`` are kept open; the space of one that was deleted is freed at the next look.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping

from swampstore.stores.base import Info
from swampstore.stores.lanes import LOOK_BYTES
from swampstore.stores.walk import Walker

KEPT_FILES = 128
_SURE_S = 1.0
_PEEK_BYTES = 16
_FREE = bytes(_PEEK_BYTES)


class _Kept:
    """An open file, and until when it needs no second look."""

    __slots__ = ("fd", "sure_until")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.sure_until = 0.0


class LocalTails:
    """See :meth:`swampstore.stores.lanes.LaneStore.look`. Threads may share one."""

    def __init__(self, root: str, walker: Walker) -> None:
        self._root = root
        self._walker = walker
        self._mutex = threading.Lock()
        self._kept: dict[str, dict[str, _Kept]] = {}

    def look(self, folder: str, file: str, ends: Mapping[str, int]) -> tuple[list[Info], dict[str, bytes]]:
        """See :meth:`swampstore.stores.lanes.LaneStore.look`: what else there is, and what was found. Raises ``OSError``."""
        path = f"{self._root}/{folder}"
        others: list[str] = []
        found: dict[str, bytes] = {}
        with self._mutex:
            before, after = self._kept.pop(folder, {}), {}
            try:
                for name in sorted(_names(path)):
                    end = ends.get(name)
                    kept = before.pop(name, None)
                    body = None
                    if end is not None:
                        kept = self._sure(f"{path}{name}/{file}", kept)
                        body = None if kept is None else _read(kept.fd, end)
                    if kept is not None:
                        after[name] = kept
                    if body is None:
                        others.append(name)
                    else:
                        found[name] = body
            finally:
                self._kept[folder] = _limited(after)
                _close(before)
        items: list[Info] = []
        for name in others:
            if os.path.isdir(path + name):
                items += self._walker.walk(f"{folder}{name}/", "")
            else:
                items += [item for item in self._walker.walk(f"{folder}{name}", "") if item.name == folder + name]
        return items, found

    @staticmethod
    def _sure(path: str, kept: _Kept | None) -> _Kept | None:
        """The open file of ``path``; ``None`` when there is none."""
        now = time.monotonic()
        if kept is not None and now < kept.sure_until:
            return kept
        try:
            if kept is None:
                kept = _Kept(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
            elif not os.fstat(kept.fd).st_nlink:
                os.close(kept.fd)
                return None
        except (FileNotFoundError, NotADirectoryError):
            return None
        kept.sure_until = now + _SURE_S
        return kept

    def close(self) -> None:
        """Let go of all files."""
        with self._mutex:
            kept, self._kept = self._kept, {}
        for files in kept.values():
            _close(files)


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(fd: int, end: int) -> bytes:
    """What lies behind ``end``; nothing where the space is free."""
    peeked = os.pread(fd, _PEEK_BYTES, end)
    return b"" if peeked == _FREE or not peeked else os.pread(fd, LOOK_BYTES, end)


def _limited(files: dict[str, _Kept]) -> dict[str, _Kept]:
    over = list(files)[KEPT_FILES:]
    _close({name: files.pop(name) for name in over})
    return files


def _close(files: dict[str, _Kept]) -> None:
    for kept in files.values():
        os.close(kept.fd)
