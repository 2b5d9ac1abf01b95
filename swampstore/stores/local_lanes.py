"""Lane files in a local directory: one append-only file per writer, kept locked by its owner (``flock``).

A file is written and locked under a temporary name and linked into place afterwards, so nobody ever sees a live lane
unlocked or without its header. Its size is fixed before the first frame: a sync then has no new length to journal.

Invariants:
- Nobody truncates or rewrites: the owner writes behind what it has written, readers stop at the first bad frame.
- An append that failed or was interrupted closes the file; nothing is written behind an unknown end.
- ``durable``: acknowledged means data, name and the way to it are on the disk. Otherwise (*buffered*) it means handed to
  the kernel: nothing is lost when the process dies, and when the machine does, what the kernel had not written back yet
  (about 30 seconds under Linux's defaults) and nobody has folded.
- After a fork the child closes the files it inherited and never unlocks them: unlocking would free the parent's lock.

Source: the design page, "Local fast lane"; model ``lane_file``.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress

from swampstore.errors import AlreadyExists, Misuse, StoreMissing, StoreUnavailable, Undecided
from swampstore.stores.base import Page
from swampstore.stores.disk import Folders, Modes, read_span, sync_file, translate, translated, write_all
from swampstore.stores.lanes import LaneLook
from swampstore.stores.local_tails import LocalTails
from swampstore.stores.names import check_name
from swampstore.values.lane_file import HEADER_BYTES, WHOLE_FRAME_BYTES, decode_frames, find_frame, misplaced

try:
    import fcntl
except ImportError:  # Windows: refused where a local store is opened
    fcntl = None  # type: ignore[assignment]

_FOLDER_RACES_MAX = 100
_LOOK_NS = 50_000_000
"""How often an owner looks whether its name still leads to its file: a namespace may be deleted, moved or put back."""
_HAS_FDATASYNC = hasattr(os, "fdatasync")
_open_files: weakref.WeakSet[LocalLaneFile] = weakref.WeakSet()


class LocalLaneFile:
    """See :class:`swampstore.stores.lanes.DirectLaneFile`. For one caller at a time."""

    def __init__(self, fd: int, name: str, url: str, path: str, *, start: int, size: int, durable: bool) -> None:
        self.end = start
        self.size = size
        self._fd = fd
        self._name = name
        self._url = url
        self._path = path
        self._durable = durable
        self._look_at = 0
        _open_files.add(self)

    async def append(self, frames: bytes) -> int:
        """See :meth:`append_now`."""
        return self.append_now(frames)

    def append_now(self, frames: bytes) -> int:
        """See :meth:`swampstore.stores.lanes.LaneFile.append`."""
        fd, size, written = self._fd, len(frames), False
        try:
            done = os.pwrite(fd, frames, self.end)
            while done < size:
                done += os.pwrite(fd, frames[done:], self.end + done)
            written = True
            if self._durable:
                os.fdatasync(fd) if _HAS_FDATASYNC else sync_file(fd)
            now = time.time_ns()
            if now > self._look_at:
                self._look(now)
        except BaseException as error:
            self.close()
            if fd < 0:
                raise Misuse(f"{self._name} is closed, or inherited by a fork", hint="open the store again") from None
            if isinstance(error, OSError) and written:
                raise Undecided(
                    f"{self._name} in {self._url} was written, but could not be synced: {error.strerror}",
                    name=self._name,
                    hint="the disk reported a fault: see the system log",
                ) from error
            if isinstance(error, OSError):
                raise translate(error, self._name, self._url) from error
            raise
        self.end += size
        return now // 1_000_000

    def _look(self, now: int) -> None:
        """What goes to a file that has lost its name is read by nobody."""
        try:
            there = os.path.samestat(os.fstat(self._fd), os.stat(self._path, follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            there = False
        if not there:
            raise StoreMissing(
                f"{self._name} in {self._url} was deleted or replaced while it was open", hint="open the store again"
            )
        self._look_at = now + _LOOK_NS

    def close(self) -> None:
        """See :meth:`swampstore.stores.lanes.LaneFile.close`. Never unlocks: the lock goes with its last holder."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _after_fork() -> None:
    for file in list(_open_files):
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _frames_from(fd: int, start: int, lane: str, name: str) -> bool:
    """Whether a good frame lies at ``start`` or anywhere behind it, were it behind one that is not good."""
    end = _data_end(fd, start)
    if end == start:
        return False
    # The zeros behind the last data may be the end of a frame: a sparse copy makes holes of them.
    body = read_span(fd, start - 1, end - start + 1 + WHOLE_FRAME_BYTES)
    if decode_frames(memoryview(body)[1:], lane, start, name).count:
        return True
    return find_frame(body, lane, start - 1) is not None


def _data_end(fd: int, start: int) -> int:
    """Where behind ``start`` there is nothing but a hole up to the end of the file."""
    end = start
    while True:
        try:
            end = os.lseek(fd, os.lseek(fd, end, os.SEEK_DATA), os.SEEK_HOLE)
        except OSError:
            return end


class LocalLanes:
    """See :class:`swampstore.stores.lanes.LaneStore`. ``root`` is that of the store, ``temp`` its folder for temporary
    files; ``folders`` syncs, ``tails`` looks."""

    direct = True
    sized = True

    def __init__(
        self,
        root: str,
        temp: str,
        folders: Folders,
        modes: Modes,
        tails: LocalTails,
        *,
        durable: bool,
        chosen: bool = True,
    ) -> None:
        self.durable = durable
        self.chosen = chosen
        self._tails = tails
        self._root = root
        self._url = f"file://{root}"
        self._temp = temp
        self._folders = folders
        self._modes = modes

    async def open_lane(self, name: str, header: bytes, size: int) -> LocalLaneFile:
        """See :meth:`swampstore.stores.lanes.LaneStore.open_lane`."""
        path = self._path(name)
        with translated(name, self._url):
            if not os.path.isdir(self._root):
                raise StoreMissing(f"the directory {self._root} is gone")
            self._folders.make(self._temp)
            temp = f"{self._temp}/{os.getpid()}-{os.urandom(8).hex()}.part"
            fd = self._modes.open_new(temp, os.O_RDWR | os.O_EXCL)
            try:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    write_all(fd, header)
                    os.ftruncate(fd, size)
                    if self.durable:
                        sync_file(fd)
                    self._link(name, temp, path)
                finally:
                    with suppress(FileNotFoundError):
                        os.unlink(temp)
                if self.durable:
                    self._folders.sync(os.path.dirname(path))
            except BaseException:
                os.close(fd)
                raise
        return LocalLaneFile(fd, name, self._url, path, start=len(header), size=size, durable=self.durable)

    def _link(self, name: str, temp: str, path: str) -> None:
        for _ in range(_FOLDER_RACES_MAX):
            try:
                return os.link(temp, path, follow_symlinks=False)
            except FileExistsError:
                raise AlreadyExists(f"{name} exists in {self._url}") from None
            except FileNotFoundError:
                self._folders.make(os.path.dirname(path))  # missing, or emptied and removed by a delete meanwhile
        raise StoreUnavailable(f"the folder of {name} was removed {_FOLDER_RACES_MAX} times while it was written")

    async def sync_lane(self, name: str) -> None:
        """See :meth:`swampstore.stores.lanes.LaneStore.sync_lane`. Whatever the durability: others build on it."""
        path = self._path(name)
        with translated(name, self._url):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                sync_file(fd)
            finally:
                os.close(fd)
            self._folders.sync(os.path.dirname(path))

    async def remove_lane(self, name: str, covered: int) -> bool:
        """See :meth:`swampstore.stores.lanes.LaneStore.remove_lane`."""
        path = self._path(name)
        with translated(name, self._url):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return True
            try:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                start = max(covered, HEADER_BYTES)
                lane = name.split("/")[-2]  # the header may be what the disk has lost
                if misplaced(os.pread(fd, HEADER_BYTES, 0), lane, name) or _frames_from(fd, start, lane, name):
                    return False
                self._folders.sync_above([path])
                with suppress(FileNotFoundError):
                    os.unlink(path)
            finally:
                os.close(fd)
            self._folders.drop_empty(os.path.dirname(path))
        return True

    async def look(self, folder: str, file: str, ends: Mapping[str, int], after: Mapping[str, int]) -> LaneLook:
        """See :meth:`swampstore.stores.lanes.LaneStore.look`."""
        now = time.time_ns() // 1_000_000
        with translated(folder, self._url):
            items, there, found = self._tails.look(folder, file, ends, after)
            if not items and not there and not os.path.isdir(self._root):
                raise StoreMissing(f"the directory {self._root} is gone")
        return LaneLook(Page(tuple(items), False, now), there, found)

    def close(self) -> None:
        """Let go of the files that :meth:`look` keeps open."""
        self._tails.close()

    def _path(self, name: str) -> str:
        return f"{self._root}/{check_name(name)}"
