"""Files being written: nameless where the system can, else under a temporary name; then they take their name at once.

A small file is written whole or not at all. A large one collects its contents under a name made of their hash, and a
later sync goes on where a killed one stopped.

Invariants:
- A half-written file is never visible under its own name.
- A new file never replaces anything; a replaced one still is the file that was looked at.
- A nameless file leaves nothing behind when its process is killed; a partial one is continued by the next sync that
  wants the same contents there, by one process at a time, or removed by a walk a day later.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from types import TracebackType
from typing import Self

from swampstore.limits import PART_BYTES
from swampstore.workers.sync.options import TEMP_PREFIX
from swampstore.workers.sync.tree import Found, check_unchanged, found_of, stat_at

_NAMELESS = getattr(os, "O_TMPFILE", 0) if os.path.isdir("/proc/self/fd") else 0
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEFAULT_MODE = 0o644  # the system takes the umask off
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.EACCES, errno.EPERM)


class Taken(Exception):
    """Another process writes the same partial file."""


class Temporary:
    """A file being written in an open folder (duplicated). Use as a context manager: what is not placed is removed."""

    def __init__(self, folder: int, name: str, mode: int, mark: str) -> None:
        self._held = os.dup(folder)
        self.name = name
        self.temp = TEMP_PREFIX + mark
        self._mode = mode & 0o777
        self._named = True
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._fd = self._open()
        except BaseException:
            os.close(self._held)
            raise
        return self

    def _open(self) -> int:
        mode = 0o600 if self._mode else _DEFAULT_MODE
        if _NAMELESS:
            try:
                fd = os.open(".", os.O_RDWR | _NAMELESS | os.O_CLOEXEC, mode, dir_fd=self._held)
            except OSError as error:
                if error.errno not in _NO_NAMELESS:
                    raise
            else:
                self._named = False
                return fd
        return os.open(self.temp, _NEW, mode, dir_fd=self._held)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            os.close(self._fd)
        try:
            if self._named:
                os.unlink(self.temp, dir_fd=self._held)
        except FileNotFoundError:
            pass
        finally:
            os.close(self._held)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def finish(self, modified: int) -> Found:
        """Set the time (ms, 0 = now) and the permission bits; what the file will look like once placed."""
        if self._mode:
            os.fchmod(self._fd, self._mode)
        if modified:
            os.utime(self._fd, ns=(modified * 1_000_000, modified * 1_000_000))
        return found_of(os.fstat(self._fd))

    def place(self, replaces: Found | None) -> None:
        """Give the file its name. Raises ``Left`` or ``FileExistsError`` if the name is not as it was looked at."""
        if replaces is None:
            try:
                self._link(self.name)
                return
            except OSError as error:
                if error.errno not in _NO_LINKS or not self._named:
                    raise
            if stat_at(self._held, self.name) is not None:
                raise FileExistsError(errno.EEXIST, "exists", self.name)
        else:
            check_unchanged(self._held, self.name, replaces)
            if not self._named:
                self._link(self.temp)
                self._named = True
        os.rename(self.temp, self.name, src_dir_fd=self._held, dst_dir_fd=self._held)
        self._named = False

    def _link(self, name: str) -> None:
        if self._named:
            os.link(self.temp, name, src_dir_fd=self._held, dst_dir_fd=self._held, follow_symlinks=False)
        else:
            os.link(f"/proc/self/fd/{self._fd}", name, dst_dir_fd=self._held, follow_symlinks=True)


class Partial(Temporary):
    """A large file that outlives its process: what is there of it can be read again and continued.

    The name is made of the contents' hash, so what lies there can only be a part of them, or rubbish that the hash at
    the end gives away. Raises :class:`Taken` when another process has it.
    """

    def __init__(self, folder: int, name: str, mode: int, mark: str) -> None:
        super().__init__(folder, name, mode, "part-" + mark)
        self.done = False
        """Set it to have what was written removed at the end; a failure keeps it for the next sync."""
        try:
            self._fd = self._open()
        except BaseException:
            os.close(self._held)
            raise

    def __enter__(self) -> Self:
        return self

    def _open(self) -> int:
        mode = 0o600 if self._mode else _DEFAULT_MODE
        try:
            fd = os.open(self.temp, _NEW, mode, dir_fd=self._held)
        except FileExistsError:
            fd = os.open(self.temp, _OLD, dir_fd=self._held)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine, there = os.fstat(fd), stat_at(self._held, self.temp)
            whole = stat.S_ISREG(mine.st_mode) and mine.st_nlink == 1 and mine.st_uid == os.geteuid()
            if there is None or there.st_ino != mine.st_ino or not whole:
                raise Taken
        except BlockingIOError:
            os.close(fd)
            raise Taken from None
        except BaseException:
            os.close(fd)
            raise
        return fd

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Rename has taken the name, or it stays for the next sync.
        self._named = self._named and (self.done or self.held() < PART_BYTES)
        super().__exit__(kind, error, trace)

    def held(self) -> int:
        """Bytes that are there."""
        return os.fstat(self._fd).st_size

    def keep(self, size: int) -> None:
        """Go on after the first ``size`` bytes, which stay."""
        os.ftruncate(self._fd, size)
        os.lseek(self._fd, size, os.SEEK_SET)

    def read(self, offset: int, size: int) -> bytes:
        """What was written before."""
        return os.pread(self._fd, size, offset)
