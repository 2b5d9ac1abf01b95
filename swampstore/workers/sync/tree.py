"""The tree of files: every look and every change goes through folders opened one by one, never through a link.

Invariants:
- Nothing outside the tree is ever read or written, whatever a store or a state says: a path that could lead out is
  refused, and each folder of a path is opened relative to its parent and refused if it is a link.
- A file is replaced or removed only while it still is the one that was looked at; a new one never replaces anything.
- A half-written file is never visible under its own name (see :mod:`swampstore.workers.sync.temporary`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import msgspec

from swampstore.env.base import Env
from swampstore.errors import StoreForbidden, StoreFull, StoreMissing, StoreUnavailable, SwampError
from swampstore.limits import MIB
from swampstore.workers.sync.options import STATE_FOLDER

if TYPE_CHECKING:
    from swampstore.workers.sync.temporary import Partial, Temporary

FULL = {errno.ENOSPC, errno.EDQUOT}
"""What a file system without room for more says."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SYNCS = 16
_FEW = 32
"""So many files are brought to the disk one by one, more by telling the system to write all it has."""
_INODE_BITS = (1 << 63) - 1
_REASONS = {
    errno.ENOTDIR: "a file or a link is where a folder should be",
    errno.ELOOP: "a link is in the way",
    errno.EISDIR: "a folder is in the way",
    errno.ENOTEMPTY: "a folder is in the way",
    errno.EINVAL: "it is no path inside the tree",
    errno.ENAMETOOLONG: "the name is too long for this file system",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.EEXIST: "another file is there (it has just come, or its name differs only in case)",
}


class Left(SwampError):
    """A file is left alone this time; the message is the reason that the report gives."""

    code = "left-alone"


class Found(msgspec.Struct, frozen=True, gc=False):
    """A regular file as it was looked at. ``inode`` is cut to 63 bits, ``mode`` to the permission bits."""

    size: int
    mtime_ns: int
    inode: int
    mode: int

    @property
    def modified(self) -> int:
        """ms since the epoch, at least 1 (0 would say that it is not known)."""
        return max(self.mtime_ns // 1_000_000, 1)


def found_of(seen: os.stat_result) -> Found:
    return Found(seen.st_size, seen.st_mtime_ns, seen.st_ino & _INODE_BITS, seen.st_mode & 0o777)


def same_file(a: Found, b: Found) -> bool:
    """Whether nothing says that the contents differ."""
    return a.size == b.size and a.mtime_ns == b.mtime_ns and a.inode == b.inode


def reason_of(error: OSError) -> str:
    """Why a file is left alone. Raises ``StoreFull`` for a full disk, which is no matter of one file."""
    if error.errno in FULL:
        raise StoreFull(
            f"no space left for the tree: {error.strerror}", hint="free some space and sync again; nothing is lost"
        ) from error
    if error.errno in (errno.ENOTDIR, errno.ELOOP) and error.filename:
        return f"{error.filename} is a file or a link where a folder should be: move it away"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


def make_tree(path: Path) -> None:
    """Make the folder if only it is missing. Raises ``StoreMissing``, ``StoreFull`` or ``StoreForbidden``."""
    if path.is_dir():
        return
    try:
        path.mkdir()
    except FileNotFoundError as error:
        raise StoreMissing(f"{path.parent} is not a folder", hint="name a repository that exists") from error
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(f"{path}: no space left", hint="free some space and sync again") from error
        raise StoreForbidden(f"{path}: {error.strerror}", hint="check the permissions of the folder") from error


class Tree:
    """The files below one folder. Raises ``StoreMissing`` or ``StoreForbidden`` if it cannot be opened."""

    def __init__(self, path: Path, env: Env) -> None:
        self.path = path
        self._env = env
        self._parent: tuple[str, int] | None = None
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreMissing(f"{path} is not a folder", hint="create it, or name another tree") from error
        except OSError as error:
            raise StoreForbidden(f"{path}: {error.strerror}", hint="check the permissions of the folder") from error

    def close(self) -> None:
        self._forget_parent()
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- looking ------------------------------------------------------------------------------------------------

    def open_parent(self, key: str, *, create: bool = False) -> tuple[int, str]:
        """``(folder, name)`` of a key; the folder stays open until the next call. Raises ``OSError``."""
        if leads_out(key):
            raise OSError(errno.EINVAL, _REASONS[errno.EINVAL], key)
        folder, _, name = key.rpartition("/")
        if self._parent is not None and self._parent[0] == folder and os.fstat(self._parent[1]).st_nlink:
            return self._parent[1], name
        self._forget_parent()
        fd = os.dup(self.fd)
        at = 0
        for part in folder.split("/") if folder else ():
            at += len(part) + 1
            try:
                fd = _step(fd, part, create=create)
            except OSError as error:
                error.filename = folder[: at - 1]
                raise
        self._parent = (folder, fd)
        return fd, name

    def _forget_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def others(self) -> frozenset[str]:
        """Folders at the top that are trees of their own: they hold a state (several namespaces lie in one tree so)."""
        found: set[str] = set()
        with suppress(PermissionError), os.scandir(self.fd) as items:  # the walk says what cannot be looked into
            for item in items:
                if item.is_dir(follow_symlinks=False) and item.name != STATE_FOLDER:
                    with suppress(PermissionError):
                        seen = stat_at(self.fd, f"{item.name}/{STATE_FOLDER}")
                        if seen is not None and stat.S_ISDIR(seen.st_mode):
                            found.add(item.name)
        return frozenset(found)

    def look(self, key: str, *, past_folders: bool = False) -> Found | None:
        """The regular file at ``key``, or ``None`` if there is nothing. Raises ``Left`` for anything else.

        ``past_folders``: a folder is nothing (a walk would find what lies in it).
        """
        try:
            folder, name = self.open_parent(key)
            seen = stat_at(folder, name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Left(reason_of(error)) from error
        if seen is None:
            return None
        if past_folders and stat.S_ISDIR(seen.st_mode):
            return None
        if not stat.S_ISREG(seen.st_mode):
            raise Left("something that is not a regular file is in the way")
        return found_of(seen)

    def chunks(self, key: str, found: Found, chunk_bytes: int) -> Iterator[bytes]:
        """The contents of the file that was looked at. Raises ``Left`` if it is not, or not any more, that file."""
        fd = -1
        try:
            folder, name = self.open_parent(key)
            fd = os.open(name, _READ, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Left("it is not a regular file any more")
            left = found.size
            while left and (chunk := os.read(fd, min(chunk_bytes, left))):
                left -= len(chunk)
                yield chunk
            if left or not same_file(found, found_of(os.fstat(fd))):
                raise Left("it changed while it was read")
        except FileNotFoundError as error:
            raise Left("it vanished while it was read") from error
        except OSError as error:
            raise Left(reason_of(error)) from error
        finally:
            if fd >= 0:
                os.close(fd)

    def open_file(self, key: str) -> BinaryIO:
        """The regular file at ``key``, open for reading. Raises ``FileNotFoundError``, and ``Left`` for anything else."""
        try:
            folder, name = self.open_parent(key)
            fd = os.open(name, _READ, dir_fd=folder)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Left(reason_of(error)) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Left(f"{key} is not a regular file")
        return os.fdopen(fd, "rb")

    def read(self, key: str, found: Found) -> bytes:
        """The whole contents; see :meth:`chunks`."""
        return b"".join(self.chunks(key, found, max(found.size, 1)))

    def sha256(self, key: str, found: Found) -> bytes:
        """The hash of the contents; see :meth:`chunks`."""
        digest = hashlib.sha256()
        for chunk in self.chunks(key, found, MIB):
            digest.update(chunk)
        return digest.digest()

    # --- changing -----------------------------------------------------------------------------------------------

    def temporary(self, key: str, mode: int) -> Temporary:
        """A new file for ``key``, its folders made on the way; ``mode`` 0 is what new files have. Raises ``OSError``."""
        from swampstore.workers.sync.temporary import Temporary

        return Temporary(*self.open_parent(key, create=True), mode, self._env.random_bytes(8).hex())

    def partial(self, key: str, mode: int, sha256: bytes) -> Partial | None:
        """The file that collects the contents of this hash for ``key``, as far as it got; ``None`` while another uses it.

        Raises ``OSError``.
        """
        from swampstore.workers.sync.temporary import Partial, Taken

        try:
            return Partial(*self.open_parent(key, create=True), mode, sha256.hex()[:32])
        except Taken:
            return None

    def remove(self, key: str, found: Found) -> None:
        """Remove the file that was looked at, and the folders that it leaves empty. Raises ``Left``."""
        try:
            folder, name = self.open_parent(key)
            check_unchanged(folder, name, found)
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Left(reason_of(error)) from error
        self._remove_empty(key.rpartition("/")[0])

    def _remove_empty(self, folder: str) -> None:
        self._forget_parent()
        while folder:
            parent, name = self.open_parent(folder)
            try:
                os.rmdir(name, dir_fd=parent)
            except OSError:
                return  # not empty (the usual case), or not ours to remove: an empty folder does no harm
            folder = folder.rpartition("/")[0]

    def link(self, key: str, beside: str) -> None:
        """Give the file at ``key`` a second name in the same folder. Raises ``OSError``, ``FileExistsError``."""
        folder, name = self.open_parent(key)
        os.link(name, beside.rpartition("/")[2], src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)

    def settle(self, keys: list[str]) -> None:
        """Bring the files at ``keys``, their names and the way there to the disk: one by one when few, else all at once.

        A folder whose own name was lost would take its files away, as if somebody had deleted them.
        """
        with self.settling(keys):
            pass

    @contextmanager
    def settling(self, keys: list[str]) -> Iterator[None]:
        """The same while the block runs; done when it is left. Raises ``StoreUnavailable`` then."""
        opened: dict[str, int] = {}
        try:
            if len(keys) <= _FEW:
                self._open_with_the_way(keys, opened)
            tasks = [partial(_sync_one, fd) for fd in opened.values()] if len(keys) <= _FEW else [os.sync]
            with _at_the_side(tasks):
                yield
        finally:
            for fd in opened.values():
                os.close(fd)

    def _open_with_the_way(self, keys: list[str], opened: dict[str, int]) -> None:
        """Open the files at ``keys`` and every folder on the way there."""
        for key in keys:
            with suppress(OSError):  # gone again: nothing to keep
                folder, name = self.open_parent(key)
                opened[key] = os.open(name, _READ, dir_fd=folder)
                path = key
                while path and (at := path.rpartition("/")[0] + "/") not in opened:
                    opened[at] = os.dup(self.open_parent(path)[0])
                    path = at[:-1]


@contextmanager
def _at_the_side(tasks: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Carry out ``tasks`` side by side while the block runs: a file system that keeps a journal writes it once for many.

    What they raise is raised behind the block.
    """
    with ThreadPoolExecutor(_SYNCS) as threads:
        running = [threads.submit(task) for task in tasks]
        yield
    for task in running:
        task.result()


def _sync_one(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTSUP):
            return  # a file system that knows no such thing for folders
        reason = reason_of(error)
        raise StoreUnavailable(
            f"the disk of the tree: {reason}", hint="look at the system's log; sync again"
        ) from error


def leads_out(key: str) -> bool:
    """Whether a path could lead out of the tree, or to a place that another path leads to."""
    return "\0" in key or any(part in ("", ".", "..") for part in key.split("/"))


def _step(fd: int, part: str, *, create: bool) -> int:
    """Open folder ``part`` of folder ``fd``, which is closed."""
    try:
        try:
            return os.open(part, _FOLDER, dir_fd=fd)
        except FileNotFoundError:
            if not create:
                raise
        with suppress(FileExistsError):
            os.mkdir(part, 0o777, dir_fd=fd)
        return os.open(part, _FOLDER, dir_fd=fd)
    finally:
        os.close(fd)


def stat_at(folder: int, name: str) -> os.stat_result | None:
    """What lies at ``name``, links not followed; ``None`` for nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def check_unchanged(folder: int, name: str, found: Found) -> None:
    """Raise ``Left`` unless ``name`` is the file that was looked at."""
    seen = stat_at(folder, name)
    if seen is None:
        raise Left("it vanished meanwhile")
    if not stat.S_ISREG(seen.st_mode) or not same_file(found, found_of(seen)):
        raise Left("it changed meanwhile")
