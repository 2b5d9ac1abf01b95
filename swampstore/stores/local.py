"""A store in a local directory: an object is a file, its name the path below the root.

Also works over files that other programs put there. Hidden from every verb: the folder ``.tmp`` of the root (temporary
files and lock files), links, devices, and file names that are not UTF-8.

Invariants:
- A name appears (``link``) or changes (``rename``) in one step, from a file that is complete and synced; a crash at any
  point leaves at most a temporary file, which :meth:`LocalStore.clean_temp` removes.
- Replace, overwrite and delete of a name exclude each other by a kernel lock; create needs none, ``link`` decides.
- The ETag is ``<mtime in ns>-<size>``. A replace or overwrite sets a time strictly later than the one it found (read
  back, as some file systems round it), and a create sets the clock in ns itself, not the coarser tick of the kernel.
- ``durable``: acknowledged means file, name and the way to it are on the disk. What refused a create is synced before
  it is reported, and the folders above before anything is deleted, so nobody builds on a name that a power failure
  could take away.

A name cannot be both an object and the folder of others here: the second is refused with ``BadName``.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
import zlib
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager, suppress

from swampstore.errors import (
    AlreadyExists,
    BadName,
    BadURL,
    NotFound,
    StaleWrite,
    StoreMissing,
    StoreUnavailable,
    Undecided,
    UnsupportedPlatform,
)
from swampstore.stores.base import (
    Body,
    Create,
    Got,
    Headed,
    Info,
    NotModified,
    Outcome,
    Page,
    Replace,
    Request,
    Stored,
    When,
    outcome,
)
from swampstore.stores.disk import (
    FOLDER_MODE,
    Folders,
    Modes,
    alive,
    later,
    read_span,
    sync_file,
    translate,
    translated,
    write_all,
)
from swampstore.stores.local_lanes import LocalLanes
from swampstore.stores.local_tails import LocalTails
from swampstore.stores.mounts import on_local_disk
from swampstore.stores.names import check_limit, check_name, check_prefix, check_span, read_chunks
from swampstore.stores.urls import check_text
from swampstore.stores.walk import Walker, etag_of, modified_ms

TEMP = ".tmp"
LOCK_STRIPES = 64
LOCK_WAIT_SECONDS = 30.0
LOCK_POLL_SECONDS = 0.001
TEMP_KEPT_SECONDS = 24 * 3600
FOLDER_RACES_MAX = 100

_TEMP_NAME = re.compile(r"(\d+)-[0-9a-f]{16}\.part")


class LocalStore:
    """See :class:`swampstore.stores.base.Store`. ``time`` is this machine's clock; no verb ever suspends.

    ``create=True`` makes a missing root. ``durable=False`` syncs nothing: a power failure may lose what was
    acknowledged in the last seconds (a crash of the process alone loses nothing). ``lanes`` lets writers' lanes be files,
    ``None`` where the folder is on a disk of this machine; ``buffered`` does without the sync of their appends. Raises ``StoreMissing``, ``BadURL``,
    ``StoreForbidden``, and ``UnsupportedPlatform`` on Windows.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        create: bool = False,
        durable: bool = True,
        lanes: bool | None = False,
        buffered: bool = False,
    ) -> None:
        if sys.platform == "win32":
            raise UnsupportedPlatform(
                "a directory cannot be a store on Windows",
                hint="use an S3 store, or run under Linux or macOS (WSL works)",
            )
        self.root = check_text(os.path.realpath(root))
        self._url = f"file://{self.root}"
        self._durable = durable
        self._swept_temp = False
        self._temp = os.path.join(self.root, TEMP)
        self._walker = Walker(self.root, TEMP)
        if os.path.exists(self.root) and not os.path.isdir(self.root):
            raise BadURL(f"{self.root} is a file, not a directory", hint="name the directory that holds the store")
        with translated("the folder", self.root):
            if create and not os.path.isdir(self.root):
                os.makedirs(self.root, FOLDER_MODE, exist_ok=True)
                Folders(os.path.dirname(self.root), durable).sync(os.path.dirname(self.root))
        if not os.path.isdir(self.root):
            raise StoreMissing(f"the directory {self.root} does not exist", hint="make it, or open it with create")
        self._modes = Modes.below(self.root)
        self._folders = Folders(self.root, durable, self._modes)
        self.lanes = LocalLanes(
            self.root,
            self._temp,
            self._folders,
            self._modes,
            LocalTails(self.root, self._walker),
            durable=durable and not buffered,
            chosen=on_local_disk(self.root) if lanes is None else lanes,
        )

    @property
    def url(self) -> str:
        return self._url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        check_span(span)
        with translated(name, self._url):
            if if_none_match is not None and etag_of(self._regular(name, os.lstat(self._path(name)))) == if_none_match:
                return NotModified(_now_ms())
            fd = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                found = self._regular(name, os.fstat(fd))
                etag = etag_of(found)
                if etag == if_none_match:
                    return NotModified(_now_ms())
                offset, length = span or (0, found.st_size)
                body = read_span(fd, offset, min(length, max(0, found.st_size - offset)))
            finally:
                os.close(fd)
        return Got(body, etag, found.st_size, modified_ms(found), _now_ms())

    async def put(self, name: str, body: Body, when: When) -> Stored:
        path = self._path(name)
        with translated(name, self._url), self._temporary(body) as temp:
            if isinstance(when, Create):
                found = self._link(name, temp, path)
            else:
                with self._locked(_stripe(name)):
                    found = self._rename(name, temp, path, when)
        return Stored(etag_of(found), _now_ms())

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        """A page may be of any size here, and one large page costs much less than many small ones."""
        check_prefix(prefix)
        check_limit(limit)
        items: list[Info] = []
        with translated(prefix, self._url):
            for info in self._walker.walk(prefix, start_after):
                if len(items) == limit:
                    return Page(tuple(items), True, _now_ms())
                items.append(info)
            if not items and not os.path.isdir(self.root):
                raise StoreMissing(f"the directory {self.root} is gone")
        return Page(tuple(items), False, _now_ms())

    async def head(self, name: str) -> Headed:
        with translated(name, self._url):
            found = self._regular(name, os.lstat(self._path(name)))
        return Headed(Info(name, found.st_size, etag_of(found), modified_ms(found)), _now_ms())

    async def delete(self, names: Sequence[str]) -> None:
        """Not synced: a deleted object may be back after a power failure, as if the delete had not been sent.

        What it follows from is: a root that was read, and covers what goes, may be the unsynced work of a dead process.
        """
        by_stripe: dict[int, list[tuple[str, str]]] = {}
        for name, path in [(name, self._path(name)) for name in names]:
            by_stripe.setdefault(_stripe(name), []).append((name, path))
        with translated(names[0] if names else "", self._url):
            self._folders.sync_above([path for same in by_stripe.values() for _, path in same if os.path.lexists(path)])
        for stripe, same in by_stripe.items():  # a lock costs more than many deletes
            there = [(name, path) for name, path in same if os.path.lexists(path)]
            if there:
                with translated(there[0][0], self._url), self._locked(stripe):
                    for name, path in there:
                        self._unlink(name, path)
        for folder in {os.path.dirname(path) for same in by_stripe.values() for _, path in same}:
            self._folders.drop_empty(folder)

    async def now(self) -> int:
        return _now_ms()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return [await outcome(self, request) for request in requests]

    async def close(self) -> None:
        """Let go of the lane files that were looked at; nothing else is kept open between calls."""
        self.lanes.close()

    def clean_temp(
        self, older_than_seconds: float = TEMP_KEPT_SECONDS, *, of: Container[int] | None = None, dry_run: bool = False
    ) -> int:
        """Remove (``dry_run``: count) temporary files that old whose process, one ``of`` these, is gone; how many.

        Raises ``StoreForbidden``.
        """
        removed = 0
        with translated(TEMP, self._url):
            try:
                entries = list(os.scandir(self._temp))
            except FileNotFoundError:
                return 0
            oldest = time.time() - older_than_seconds
            for entry in entries:
                parsed = _TEMP_NAME.fullmatch(entry.name)
                if parsed is None or (of is not None and int(parsed[1]) not in of):
                    continue
                with suppress(FileNotFoundError):  # another cleaner was first
                    if entry.stat(follow_symlinks=False).st_ctime < oldest and not alive(int(parsed[1])):
                        if not dry_run:
                            os.unlink(entry.path)
                        removed += 1
        return removed

    def _unlink(self, name: str, path: str) -> None:
        try:
            if stat.S_ISREG(os.lstat(path).st_mode):
                os.unlink(path)
        except OSError as error:
            failure = translate(error, name, self._url)
            if not isinstance(failure, NotFound):
                raise failure from error

    # --- the steps of a write ------------------------------------------------------------------------------------

    @contextmanager
    def _temporary(self, body: Body) -> Iterator[str]:
        """A temporary file with the contents of ``body``, synced; gone afterwards unless it was renamed."""
        if not self._swept_temp:
            self._swept_temp = True
            self.clean_temp()  # what crashed processes left: the first write of a process looks, once
        path = os.path.join(self._temp, f"{os.getpid()}-{os.urandom(8).hex()}.part")
        try:
            fd = self._modes.open_new(path, os.O_WRONLY | os.O_EXCL)
        except FileNotFoundError:
            self._make_root_folder(self._temp)
            fd = self._modes.open_new(path, os.O_WRONLY | os.O_EXCL)
        try:
            try:
                for chunk in read_chunks(body):
                    write_all(fd, chunk)
                moment = time.time_ns()
                os.utime(fd, ns=(moment, moment))
                if self._durable:
                    sync_file(fd)
            finally:
                os.close(fd)
            yield path
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _link(self, name: str, temp: str, path: str) -> os.stat_result:
        folder = os.path.dirname(path)
        for _ in range(FOLDER_RACES_MAX):
            try:
                os.link(temp, path, follow_symlinks=False)
            except FileExistsError:
                if os.path.isdir(path):
                    raise _is_folder(name) from None
                self._folders.sync(folder)
                raise AlreadyExists(f"{name} exists in {self._url}") from None
            except FileNotFoundError:
                self._make_folder(name, folder)  # missing, or emptied and removed by a delete meanwhile
                continue
            except NotADirectoryError:
                raise _below_object(name) from None
            found = os.lstat(temp)
            self._sync_visible(name, folder)
            return found
        raise StoreUnavailable(f"the folder of {name} was removed {FOLDER_RACES_MAX} times while it was written")

    def _rename(self, name: str, temp: str, path: str, when: When) -> os.stat_result:
        old = self._current(name, path)
        if isinstance(when, Replace):
            if old is None:
                raise NotFound(f"{name} is not in {self._url}")
            if etag_of(old) != when.etag:
                raise StaleWrite(f"{name} in {self._url} is no longer the version {when.etag}")
        found = later(temp, old, self._durable)
        folder = os.path.dirname(path)
        for _ in range(FOLDER_RACES_MAX):
            try:
                os.replace(temp, path)
            except FileNotFoundError:
                self._make_folder(name, folder)
                continue
            self._sync_visible(name, folder)
            return found
        raise StoreUnavailable(f"the folder of {name} was removed {FOLDER_RACES_MAX} times while it was written")

    def _current(self, name: str, path: str) -> os.stat_result | None:
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            raise _below_object(name) from None
        if stat.S_ISDIR(found.st_mode):
            raise _is_folder(name)
        return found

    def _sync_visible(self, name: str, folder: str) -> None:
        """Sync the folder of a name that others can see already; a fault here leaves the write undecided."""
        try:
            self._folders.sync(folder)
        except FileNotFoundError:
            return  # deleted again by somebody, with its folder: there is nothing left to make durable
        except OSError as error:
            raise Undecided(
                f"{name} in {self._url} was written, but its folder could not be synced: {error.strerror}",
                name=name,
                hint="the disk reported a fault: see the system log",
            ) from error

    def _make_folder(self, name: str, folder: str) -> None:
        if not os.path.isdir(self.root):
            raise StoreMissing(f"the directory {self.root} is gone")
        try:
            self._folders.make(folder)
        except NotADirectoryError:
            raise _below_object(name) from None

    def _make_root_folder(self, path: str) -> None:
        if not os.path.isdir(self.root):
            raise StoreMissing(f"the directory {self.root} is gone")
        self._folders.make(path)

    @contextmanager
    def _locked(self, stripe: int) -> Iterator[None]:
        """Exclude every other replace, overwrite and delete of names of this stripe, in any process here."""
        from filelock import FileLock, Timeout  # costs start-up time; a reader never needs it

        folder = os.path.join(self._temp, "locks")
        self._make_root_folder(folder)
        path = os.path.join(folder, f"{stripe:02x}")
        lock = FileLock(path, timeout=LOCK_WAIT_SECONDS, mode=self._modes.file, poll_interval=LOCK_POLL_SECONDS)
        try:
            try:
                lock.acquire()
            except Timeout:
                raise StoreUnavailable(f"the lock {path} was held for {LOCK_WAIT_SECONDS:.0f} s") from None
            yield
        finally:
            lock.release()  # does nothing where it was not taken

    def _path(self, name: str) -> str:
        check_name(name)
        if name == TEMP or name.startswith(TEMP + "/"):
            raise BadName(f"{name!r}: the folder {TEMP} is the store's own")
        return f"{self.root}/{name}"

    def _regular(self, name: str, found: os.stat_result) -> os.stat_result:
        if not stat.S_ISREG(found.st_mode):
            raise NotFound(f"{name} is not in {self._url}")
        return found


def _stripe(name: str) -> int:
    """The lock that guards a name: a fixed number of lock files serves every name."""
    return zlib.crc32(name.encode()) % LOCK_STRIPES


def _is_folder(name: str) -> BadName:
    return BadName(f"{name} is a folder of other objects in this store", hint="choose another name")


def _below_object(name: str) -> BadName:
    return BadName(f"a parent of {name} is an object in this store", hint="choose another name")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
