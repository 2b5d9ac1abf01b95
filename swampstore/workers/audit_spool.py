"""The spool: a folder on this machine where audit records wait for a store that cannot be reached.

    <base>/<hash of the store's URL>/spool.json            whose spool it is, and its format
    <base>/<hash of the store's URL>/<namespace>/*.rec     one file for each write (see :mod:`swampstore.values.spool`)
    <base>/<hash of the store's URL>/<namespace>/drain     a lock file: who holds it delivers
    <base>/<hash of the store's URL>/<namespace>/*.bad     files that cannot be read, set aside, never deleted

Invariants:
- A bundle is there as a whole or not at all: it is written beside, synced, and renamed; then its folder is synced.
- Bundles are delivered in the order in which they were written, whatever the clocks of this machine did meanwhile.
- A bundle is deleted only after its records were acknowledged by the store.
- What cannot be kept raises (``SpoolFull``, ``SpoolUnusable``): a record is never dropped silently.
- Folders belong to one user and are closed to all others (0700, files 0600).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from swampstore.env.base import Env
from swampstore.errors import CorruptObject, SpoolFull, SpoolUnusable
from swampstore.limits import SPOOL_BUNDLES, SPOOL_BYTES
from swampstore.values.entry import Record
from swampstore.values.spool import (
    FORMAT,
    Bundle,
    BundleName,
    bundle_name,
    decode_bundle,
    encode_bundle,
    parse_bundle_name,
)
from swampstore.workers.spool_place import BAD, store_folder

ABOUT = "spool.json"
_LOCK = "drain"
_TEMP = ".tmp-"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP}
_COUNT_EVERY = 256
"""Writes of this process after which the spool is counted anew; between two counts it knows only its own."""


class SpoolStatus(msgspec.Struct, frozen=True):
    """What waits on this machine for one namespace. ``oldest_s`` is in seconds, 0 when nothing waits or clocks went back.

    ``writes`` counts files, ``records`` what is in them. ``set_aside`` are files that cannot be read. ``problem`` says why
    the spool cannot be used, or why it was not delivered when this process last tried.
    """

    path: str
    writes: int = 0
    records: int = 0
    bytes: int = 0
    oldest_s: float = 0.0
    set_aside: int = 0
    problem: str = ""


class _About(msgspec.Struct, frozen=True):
    format: int
    store: str


_decode_about = msgspec.json.Decoder(_About).decode


class AuditSpool:
    """The spool of one namespace of the store at ``url``. Safe to share between the threads of a process."""

    def __init__(self, base: Path, url: str, namespace: str, env: Env, *, max_bytes: int = SPOOL_BYTES) -> None:
        self.url = url
        self.namespace = namespace
        self.problem = ""
        self._env = env
        self._store = store_folder(base, url)
        self.folder = self._store / namespace
        self._max_bytes = max_bytes
        self._mutex = threading.Lock()
        self._ready = False
        self._place = 0
        self._writes = 0
        self._room = (0, 0)

    # --- writing ------------------------------------------------------------------------------------------------

    def put(self, records: Sequence[Record]) -> tuple[str, bool]:
        """Keep ``records`` as one bundle; its name, and whether the disk has it for sure (it can sync).

        Raises ``SpoolFull``, ``SpoolUnusable``; then nothing is kept.
        """
        data = encode_bundle(Bundle(self.url, self.namespace, list(records)))
        try:
            with self._mutex:
                self._make_ready()
                self._make_room(len(data))
                name = bundle_name(self._next_place(), self._env.wall_ms(), records, len(data), self._dice())
            return name, self._write(name, data)
        except OSError as error:
            if error.errno in _FULL:
                raise SpoolFull(
                    f"no space left in {self.folder}: the records are kept nowhere",
                    hint="free some space, write them again",
                ) from error
            raise self._unusable(f"cannot be written: {error}") from error

    def _dice(self) -> bytes:
        return self._env.random_bytes(8)

    def _make_ready(self) -> None:
        """Make the folders and say whose they are; once in a process."""
        if self._ready:
            return
        self._store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._store, self.folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._close_to_others(folder)
        self.check()
        about = self._store / ABOUT
        if not about.exists():
            self._write_beside(about, msgspec.json.encode(_About(FORMAT, self.url)))
            self.check()
        _sync_folder(self._store.parent)
        self._ready = True

    def _close_to_others(self, folder: Path) -> None:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise self._unusable("is not a folder of this user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(0o700)

    def check(self) -> None:
        """Raise ``SpoolUnusable`` for a spool of another store or of another version of this program."""
        try:
            text = (self._store / ABOUT).read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(f"cannot be read: {error}") from error
        try:
            about = _decode_about(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._unusable(f"has a {ABOUT} that cannot be read: {error}") from error
        if about.format != FORMAT:
            raise self._unusable(f"has format {about.format}, this program writes and reads {FORMAT}")
        if about.store != self.url:
            raise self._unusable(f"belongs to the store {about.store}")

    def _unusable(self, why: str) -> SpoolUnusable:
        return SpoolUnusable(
            f"the spool {self._store} {why}; nothing in it was touched",
            hint="look into it; to use another place set SWAMP_SPOOL_DIR",
        )

    def _make_room(self, size: int) -> None:
        """Raise ``SpoolFull`` unless ``size`` more bytes fit. Counts what others wrote now and then."""
        if self._writes % _COUNT_EVERY == 0:
            held = self.bundles()
            self._room = (len(held), sum(one.bytes for one in held))
            self._place = max([self._place, *(one.place for one in held[-1:])])
        count, total = self._room
        if count >= SPOOL_BUNDLES or total + size > self._max_bytes:
            raise SpoolFull(
                f"{count} writes with {total} bytes wait in {self.folder}, limit {SPOOL_BUNDLES} and {self._max_bytes}: "
                "the records are kept nowhere",
                hint="bring the store back, or deliver what waits: swamp audit drain",
            )
        self._writes += 1
        self._room = (count + 1, total + size)

    def _next_place(self) -> int:
        """Above every place that this process gave or saw; the wall clock only spreads those of several processes."""
        self._place = max(self._place + 1, max(self._env.wall_ms(), 0) << 12)
        return self._place

    def _write(self, name: str, data: bytes) -> bool:
        synced = self._write_beside(self.folder / name, data)
        return _sync_folder(self.folder) and synced

    def _write_beside(self, path: Path, data: bytes) -> bool:
        """Write ``path`` as a whole, by way of another name; whether it was synced."""
        temp = path.parent / f"{_TEMP}{self._dice().hex()}"
        try:
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(fd, left) :]
                synced = _sync(fd)
            finally:
                os.close(fd)
            os.rename(temp, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temp)
            raise
        return synced

    # --- looking ------------------------------------------------------------------------------------------------

    def _files(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def bundles(self) -> list[BundleName]:
        """What waits, in order, from the names alone."""
        found = (parse_bundle_name(name) for name in self._files())
        return sorted(one for one in found if one is not None)

    def status(self) -> SpoolStatus:
        """Depth and age; never raises: what is wrong with the spool stands in ``problem``."""
        path = str(self.folder)
        try:
            self.check()
            files = self._files()
        except (SpoolUnusable, OSError) as error:
            return SpoolStatus(path, problem=str(error))
        found = [one for one in map(parse_bundle_name, files) if one is not None]
        oldest = min((one.time for one in found), default=0)
        return SpoolStatus(
            path,
            writes=len(found),
            records=sum(one.records for one in found),
            bytes=sum(one.bytes for one in found),
            oldest_s=max(self._env.wall_ms() - oldest, 0) / 1000 if found else 0.0,
            set_aside=sum(name.endswith(BAD) for name in files),
            problem=self.problem if found else "",
        )

    # --- delivering ---------------------------------------------------------------------------------------------

    @contextmanager
    def delivering(self) -> Iterator[bool]:
        """Whether this is the one that delivers now; it is until the block ends, or the process. Raises ``SpoolUnusable``."""
        self.check()
        if not self.folder.is_dir():
            yield True
            return
        try:
            fd = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._unusable(f"cannot be locked: {error}") from error
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            self._clean()
            yield True
        finally:
            os.close(fd)

    def _clean(self) -> None:
        """Remove what a process that died, an hour ago or longer, had only begun to write."""
        now = self._env.wall_ms() / 1000
        for name in self._files():
            if name.startswith(_TEMP):
                with suppress(OSError):
                    path = self.folder / name
                    if now - path.stat().st_mtime > 3600:
                        path.unlink()

    def read(self, name: BundleName) -> Bundle | None:
        """A bundle; ``None`` when it is gone. Raises ``CorruptObject``, ``UnknownFormat``, ``SpoolUnusable``."""
        path = self.folder / name.name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(f"cannot be read: {error}") from error
        bundle = decode_bundle(data, str(path))
        if (bundle.store, bundle.namespace) != (self.url, self.namespace):
            raise CorruptObject(f"{path} is for {bundle.store}, namespace {bundle.namespace!r}", name=str(path))
        return bundle

    def set_aside(self, name: BundleName) -> None:
        """Keep a file that cannot be read, out of the way of the others."""
        with suppress(FileNotFoundError):
            os.rename(self.folder / name.name, self.folder / f"{name.name}{BAD}")

    def remove(self, names: Sequence[str]) -> None:
        """Forget bundles whose records the store has acknowledged."""
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(self.folder / name)
        with self._mutex:
            count = self._room[0] - len(names)
            self._room = (max(count, 0), self._room[1] if count > 0 else 0)


def _sync(fd: int) -> bool:
    """Whether what was written is on the disk; some file systems cannot tell."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
        return False
    return True


def _sync_folder(folder: Path) -> bool:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _sync(fd)
    finally:
        os.close(fd)
