"""The files below a folder, in the UTF-8 byte order of their names, from any point on.

A walk that starts in the middle reads only the folders on its way there. The names of large folders are remembered, so
that page after page of one does not read it again and again.

Invariants:
- Names come in the order of their bytes, across folders: ``a-b`` before ``a/b`` before ``a0``.
- A file that was there before the walk began and is not removed meanwhile is met; a file or folder that vanishes
  during the walk is no error.
- What is remembered of a folder counts only while its time of change (which nobody can set) is the one it had when it
  was read, and only if that lay well back then: a later change in it cannot have gone unnoticed.
"""

from __future__ import annotations

import os
import stat
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import count

from swampstore.stores.base import Info
from swampstore.values.names import slot_part

REMEMBERED_NAMES_MIN = 2_000
"""Smaller folders are read again: that is as fast as asking whether they changed."""
REMEMBERED_NAMES_MAX = 1_000_000
SETTLED_NS = 2_000_000_000
"""File systems keep times in steps of up to this."""


def etag_of(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns}-{found.st_size}"


def modified_ms(found: os.stat_result) -> int:
    return found.st_mtime_ns // 1_000_000


class Walker:
    """Walks the folder ``root``; the folder ``hidden`` directly in it is passed over. Threads may share one."""

    def __init__(self, root: str, hidden: str) -> None:
        self._root = root
        self._hidden = f"{hidden}/"
        self._remembered: dict[str, tuple[tuple[int, ...], list[str]]] = {}

    def walk(self, prefix: str, start_after: str) -> Iterator[Info]:
        """Regular files whose name starts with ``prefix`` and sorts after ``start_after``.

        Links, devices and names that are not UTF-8 are passed over. Raises ``OSError`` for a folder that cannot be
        read.
        """
        if prefix.startswith(self._hidden):
            return
        folder, slash, rest = prefix.rpartition("/")
        yield from self._folder(folder + slash, rest, start_after)

    def count_up(self, folder: str, after: int) -> Iterator[Info]:
        """The segments in ``folder`` (a slash at its end) from the slot behind ``after`` on, up to the first that is
        missing: what else lies in the folder costs nothing."""
        for slot in count(after + 1):
            info = self._info(folder + slot_part(slot))
            if info is None:
                return
            yield info

    def _folder(self, path: str, first: str, start_after: str) -> Iterator[Info]:
        """``path`` is the folder's name below the root, with a slash at its end (or empty for the root); names in it
        start with ``first``."""
        names = self._names(path)
        for at in range(max(bisect_left(names, first), _position(names, path, start_after)), len(names)):
            name = names[at]
            if not name.startswith(first):
                return
            if name.endswith("/"):
                if path or name != self._hidden:
                    yield from self._folder(path + name, "", start_after)
                continue
            info = self._info(path + name)
            if info is not None:
                yield info

    def _info(self, name: str) -> Info | None:
        """What is known of the regular file ``name``, if there is one."""
        try:
            found = os.lstat(f"{self._root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return Info(name, found.st_size, etag_of(found), modified_ms(found))

    def _names(self, path: str) -> list[str]:
        """Files and folders (with a slash at their end) in ``path``, sorted; empty when there is no such folder."""
        remembered = self._remembered.get(path)
        if remembered and remembered[0] == self._state(path):
            return remembered[1]
        self._remembered.pop(path, None)
        now, state = time.time_ns(), self._state(path)
        names = _read(f"{self._root}/{path}")
        large = REMEMBERED_NAMES_MIN <= len(names) <= REMEMBERED_NAMES_MAX
        if large and state and state[0] < now - SETTLED_NS:
            self._forget(REMEMBERED_NAMES_MAX - len(names))
            self._remembered[path] = (state, names)
        return names

    def _state(self, path: str) -> tuple[int, ...]:
        try:
            found = os.stat(f"{self._root}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return (found.st_ctime_ns, found.st_mtime_ns, found.st_ino, found.st_dev)

    def _forget(self, names_left: int) -> None:
        """Drop folders, the longest remembered first, until at most so many names are held."""
        held = list(self._remembered.items())
        total = sum(len(names) for _, (_, names) in held)
        for path, (_, names) in held:
            if total <= names_left:
                return
            self._remembered.pop(path, None)
            total -= len(names)


def _read(folder: str) -> list[str]:
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    names.append(f"{entry.name}/")
                elif entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    names.sort()
    return names if _is_text("".join(names)) else [name for name in names if _is_text(name)]


def _position(names: list[str], path: str, start_after: str) -> int:
    """Where in the sorted ``names`` of the folder ``path`` those begin that are, or may hold, names after
    ``start_after``."""
    if not start_after.startswith(path):
        return 0 if path > start_after else len(names)
    rest = start_after[len(path) :]
    at = bisect_right(names, rest)
    inside = at > 0 and names[at - 1].endswith("/") and rest.startswith(names[at - 1])
    return at - 1 if inside else at


def _is_text(name: str) -> bool:
    """Whether ``name`` came from UTF-8 (other bytes are read as lone surrogates)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
