"""Durable file operations: what the local store does to folders and files, and what their errors mean.

Invariants:
- A folder counts as durable only after every folder above it, up to the root, was synced by this process while it was
  the same folder (an identity number is kept, because empty folders are removed and made again).
- A temporary file is complete and synced before any visible name leads to it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from swampstore.errors import (
    BadName,
    NotFound,
    StoreForbidden,
    StoreFull,
    StoreUnavailable,
    SwampError,
    UnsupportedPlatform,
)

try:
    import fcntl
except ImportError:  # Windows: refused where a store is opened
    fcntl = None  # type: ignore[assignment]

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_GROUP_FOLDER_MODE = 0o770
_GROUP_FILE_MODE = 0o660

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NEVER = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}


def translate(error: OSError, name: str, where: str) -> SwampError:
    """The typed error for a failed file operation on the object ``name`` of the store ``where``."""
    met = str(error.filename or "").removeprefix(where.removeprefix("file://")).lstrip("/")
    text = f"{name or met or 'the folder'} in {where}: {error.strerror or error}"
    if error.errno in _FULL:
        return StoreFull(text, hint="free some space or raise the quota; nothing half-written is visible")
    if error.errno in _FORBIDDEN:
        mode = "check the owner and the mode of it and of the folders above it"
        return StoreForbidden(text, hint="it is mounted read-only" if error.errno == errno.EROFS else mode)
    if error.errno in _NEVER:
        return UnsupportedPlatform(text, hint="choose a file system that has locks (flock) and hard links")
    if error.errno == errno.ENAMETOOLONG:
        return BadName(text, hint="one part of a name may have about 255 bytes on a disk")
    if error.errno in _NO_FILE:
        return NotFound(f"{name} is not in {where}")
    return StoreUnavailable(text, hint="the disk reported a fault: see the system log")


@contextmanager
def translated(name: str, where: str) -> Iterator[None]:
    """Turns every ``OSError`` of the block into the typed error."""
    try:
        yield
    except OSError as error:
        raise translate(error, name, where) from error


def sync_file(fd: int) -> None:
    """Force file contents to the disk itself (macOS keeps ``fsync`` in the drive's cache: ask for the full one)."""
    if sys.platform == "darwin" and hasattr(fcntl, "F_FULLFSYNC"):
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
    os.fsync(fd)


def write_all(fd: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]


def read_span(fd: int, offset: int, length: int) -> bytes:
    """Up to ``length`` bytes from ``offset``; fewer only at the end of the file."""
    pieces: list[bytes] = []
    while length > 0:
        piece = os.pread(fd, min(length, 1 << 30), offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Modes(NamedTuple):
    """Permission bits of what is made in a store. ``shared``: whatever the umask says."""

    file: int = FILE_MODE
    folder: int = FOLDER_MODE
    shared: bool = False

    @classmethod
    def below(cls, root: str) -> Modes:
        """Private to the user; where the group may write to ``root`` (``chmod g+ws``), open to the group."""
        try:
            held = os.stat(root).st_mode
        except OSError:  # whoever makes something in it will say what is wrong
            return cls()
        if not held & stat.S_IWGRP:
            return cls()
        return cls(_GROUP_FILE_MODE, _GROUP_FOLDER_MODE | held & stat.S_ISGID, shared=True)

    def open_new(self, path: str, flags: int) -> int:
        """Open ``path``, made with these bits if it is new."""
        fd = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, self.file)
        if self.shared:
            with suppress(PermissionError):  # another of the group has made it
                os.fchmod(fd, self.file)
        return fd

    def make_folder(self, path: str) -> None:
        """``mkdir`` with these bits. Raises ``OSError``."""
        os.mkdir(path, self.folder & 0o777)
        if self.shared:
            os.chmod(path, self.folder)


class Folders:
    """The folders below ``root`` (an absolute path): made when needed, synced with their parents, dropped when empty."""

    def __init__(self, root: str, durable: bool, modes: Modes | None = None) -> None:
        self.root = root
        self._modes = modes or Modes()
        self._durable = durable
        self._known: dict[str, int] = {}  # path -> identity of the folder when its parents were synced

    def make(self, path: str) -> None:
        """Make ``path`` and what is missing above it.

        On return it may be gone again already, or not made because a folder above was removed meanwhile: who needs it
        tries again.
        """
        if path == self.root or os.path.isdir(path):
            return
        self.make(os.path.dirname(path))
        try:
            self._modes.make_folder(path)
        except FileNotFoundError:
            return
        except FileExistsError:
            if os.path.lexists(path) and not os.path.isdir(path):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None

    def sync(self, path: str) -> None:
        """Make every name in ``path`` durable, and the way to it."""
        if not self._durable:
            return
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            sync_file(fd)
            identity = os.fstat(fd).st_ino
        finally:
            os.close(fd)
        if path != self.root and self._known.get(path) != identity:
            self.sync(os.path.dirname(path))
            self._known[path] = identity

    def sync_above(self, paths: Sequence[str]) -> None:
        """Sync the folders above those of ``paths``: what makes their deletion due was published there."""
        due: set[str] = set()
        for folder in {os.path.dirname(path) for path in paths}:
            while folder != self.root:
                folder = os.path.dirname(folder)
                due.add(folder)
        for folder in due:
            with suppress(FileNotFoundError):
                self.sync(folder)

    def drop_empty(self, path: str) -> None:
        """Remove ``path`` and the folders above it as long as they are empty.

        ``rmdir`` refuses a folder that holds anything, and a writer that loses its folder between making it and
        linking into it makes it again, so this needs no lock.
        """
        while path != self.root:
            try:
                os.rmdir(path)
            except OSError:  # not empty, gone, or not ours to remove: each is a reason to leave it
                return
            self._known.pop(path, None)
            path = os.path.dirname(path)


def later(temp: str, old: os.stat_result | None, durable: bool) -> os.stat_result:
    """Give ``temp`` a time strictly later than that of ``old``, as the file system keeps it."""
    new = os.lstat(temp)
    if old is None or new.st_mtime_ns > old.st_mtime_ns:
        return new
    step = 1
    while new.st_mtime_ns <= old.st_mtime_ns:  # ends: the coarsest file systems keep whole seconds, or two
        moment = old.st_mtime_ns + step
        os.utime(temp, ns=(moment, moment))
        new = os.lstat(temp)
        step *= 10
        if step > 10**11:
            raise StoreUnavailable(f"{temp}: the file system does not keep modification times")
    if durable:
        fd = os.open(temp, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sync_file(fd)
        finally:
            os.close(fd)
    return new


def alive(pid: int) -> bool:
    """Whether a process ``pid`` on this machine can still write: one that has ended, and waits for its parent, cannot."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return not _ended(pid)


def _ended(pid: int) -> bool:
    """Whether the kernel says so (where it tells): also of threads that outlive the first one there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[:1]
        return state in ([b"Z"], [b"X"]) and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return False
