"""Walking the tree in key order, without following links and without reading files.

Invariants:
- Files come in the order of their keys (that of UTF-8 bytes), so that a walk can be merged with an ordered table.
- What cannot be synced is in ``blocked`` with its reason before anything below it could come: a key at or below a
  blocked path is not known to be missing. A ``latest`` that is a link, as old trees have, has no reason: it is derived.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from swampstore.limits import KEY_BYTES
from swampstore.values.keys import key_problem
from swampstore.workers.sync.latest import is_latest
from swampstore.workers.sync.options import TEMP_PREFIX, Scope
from swampstore.workers.sync.tree import Found, Tree, found_of, reason_of

_OLD_TEMP_MS = 24 * 3_600_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Scan:
    """One walk. ``blocked`` maps paths that were passed over to the reason; ``now_ms`` is for old temporary files."""

    def __init__(self, tree: Tree, scope: Scope, now_ms: int) -> None:
        self._tree = tree
        self._scope = scope
        self._now_ms = now_ms
        self.blocked: dict[str, str] = {}

    def is_blocked(self, key: str) -> bool:
        """Whether the walk could not see if there is a file at ``key``."""
        blocked = self.blocked
        if not blocked:
            return False
        while key not in blocked:
            key = key.rpartition("/")[0]
            if not key:
                return "" in blocked
        return True

    def files(self, prefix: str) -> Iterator[tuple[str, Found]]:
        """``(key, file)`` of every regular file whose key starts with ``prefix``, in key order."""
        folder = prefix.rpartition("/")[0]
        fd = os.dup(self._tree.fd)
        at = ""
        for part in folder.split("/") if folder else ():
            at = f"{at}/{part}" if at else part
            inner = self._open(fd, part, at)
            os.close(fd)
            if inner is None:
                return
            fd = inner
        if folder and self._scope.excludes_folder(folder):
            os.close(fd)
            return
        yield from self._walk(fd, folder, prefix)

    def _open(self, fd: int, name: str, path: str) -> int | None:
        try:
            return os.open(name, _FOLDER, dir_fd=fd)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            # A link, or a file: for a file, what is recorded below it is indeed missing.
            if not _is_file(fd, name):
                self.blocked[path] = "a symbolic link"
        except OSError as error:
            self.blocked[path] = reason_of(error)
        return None

    def _walk(self, fd: int, folder: str, prefix: str) -> Iterator[tuple[str, Found]]:
        """Walk the open folder ``fd`` (closed at the end). One loop: generators within generators cost by depth."""
        opened = [(fd, folder + "/" if folder else "", self._listed(fd, folder))]
        try:
            while opened:
                fd, base, listed = opened[-1]
                inside = base.startswith(prefix)
                for name, item in listed:
                    path = base + name
                    if not inside and not (path.startswith(prefix) or (name[-1] == "/" and prefix.startswith(path))):
                        continue
                    if name[-1] != "/":
                        found = self._file(fd, path, item)
                        if found is not None:
                            yield path, found
                        continue
                    inner = self._enter(fd, path[:-1], item)
                    if inner is not None:
                        opened.append((inner, path, self._listed(inner, path[:-1])))
                        break
                else:
                    os.close(fd)
                    opened.pop()
        finally:
            for fd, _, _ in opened:
                os.close(fd)

    def _listed(self, fd: int, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """What lies in a folder, in key order; folders with a slash at the end."""
        try:
            with os.scandir(fd) as items:
                return iter(
                    sorted(
                        (item.name + "/" if item.is_dir(follow_symlinks=False) else item.name, item) for item in items
                    )
                )
        except OSError as error:
            self.blocked[folder] = reason_of(error)
            return iter(())

    def _enter(self, fd: int, path: str, item: os.DirEntry[str]) -> int | None:
        if not self._usable(path) or self._scope.excludes_folder(path):
            return None
        return self._open(fd, item.name, path)

    def _usable(self, path: str) -> bool:
        if path.isascii() and len(path) <= KEY_BYTES and "\\" not in path:
            return True  # a name of the system has no NUL, and none of its parts is empty, . or ..
        problem = key_problem(path)
        if problem:
            self.blocked[path] = f"its name cannot be a key: {problem}"
        return not problem

    def _file(self, fd: int, path: str, item: os.DirEntry[str]) -> Found | None:
        if item.name.startswith(TEMP_PREFIX):
            self._clean(fd, item)
            return None
        if not self._usable(path) or self._scope.excludes(path):
            return None
        try:
            seen = item.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.blocked[path] = reason_of(error)
            return None
        if stat.S_ISREG(seen.st_mode):
            return found_of(seen)
        kind = next((name for test, name in _KINDS if test(seen.st_mode)), "not a regular file")
        self.blocked[path] = "" if is_latest(path) and stat.S_ISLNK(seen.st_mode) else kind
        return None

    def _clean(self, fd: int, item: os.DirEntry[str]) -> None:
        """Remove a temporary file that a killed sync left behind a day ago."""
        try:
            if self._now_ms - item.stat(follow_symlinks=False).st_mtime * 1000 > _OLD_TEMP_MS:
                os.unlink(item.name, dir_fd=fd)
        except OSError as error:
            self.blocked[item.name] = f"an old temporary file cannot be removed: {reason_of(error)}"


def _is_file(fd: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except OSError:
        return False  # it is changing: not known to be missing
