"""Tickets as locked files: how processes of one machine queue, with the kernel as the judge of who is alive.

A ticket is a file ``t/<number>`` that its owner has locked (``flock``) *before* it is linked into place, so nobody ever
sees a live ticket unlocked. Whoever dies loses the lock at once. A ticket that is not locked is finished.

Invariants:
- Numbers are dense and only rise: the highest file is never deleted, and whoever links one below the ``floor`` file
  (which cleaning raises before it deletes) takes another. So a number is a fencing token for ever.
- After a fork the child closes the files it inherited and never unlocks them: unlocking would free the parent's lock.

Source: the design page, "FIFO queue" (locally) and "fork"; model ``mc_flock``.
"""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Callable
from contextlib import suppress

from swampstore.errors import CorruptObject, UnsupportedPlatform
from swampstore.stores.disk import Folders, Modes, translated, write_all

try:
    import fcntl
except ImportError:  # Windows: refused where a local store is opened
    fcntl = None  # type: ignore[assignment]

_FLOOR = "floor"
_FLOOR_BYTES = 32
_NUMBER = re.compile(r"0000[0-9a-f]{12}")
"""More tickets than any queue will see: what else lies there is nobody's ticket."""
_held: weakref.WeakSet[HeldTicket] = weakref.WeakSet()


class HeldTicket:
    """A locked ticket file. The lock lives until :meth:`close`, or until the process ends however it ends."""

    def __init__(self, number: int, fd: int) -> None:
        self.number = number
        self._fd = fd
        _held.add(self)

    def fileno(self) -> int:
        """The open, locked file. A program that is started with it holds the lock too, and beyond this process."""
        return self._fd

    def close(self) -> None:
        """Give the ticket up. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _after_fork() -> None:
    for ticket in list(_held):
        ticket.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class TicketFolder:
    """The tickets of one queue in ``folder`` of the store in ``root``; ``where`` names the store in errors."""

    def __init__(self, folder: str, where: str, root: str = "") -> None:
        self._folder = folder
        self._modes = Modes.below(root or folder)
        self._folders = Folders(root or folder, durable=False, modes=self._modes)
        self._where = where

    def _path(self, number: int) -> str:
        return os.path.join(self._folder, f"{number:016x}")

    def numbers(self) -> list[int]:
        """The numbers of all ticket files, rising."""
        with translated(self._folder, self._where):
            try:
                names = os.listdir(self._folder)
            except FileNotFoundError:
                return []
        return sorted(int(name, 16) for name in names if _NUMBER.fullmatch(name))

    def take(self, dice: bytes, body: Callable[[int], bytes]) -> HeldTicket:
        """Take the next ticket; ``body(number)`` is written into it for people and tools to read.

        Raises ``UnsupportedPlatform`` on a file system whose locks do not work, ``StoreFull``, ``StoreForbidden``.
        """
        with translated(self._folder, self._where):
            self._folders.make(self._folder)
            temp = os.path.join(self._folder, f".{os.getpid()}-{dice.hex()}")
            number = max([0, *self.numbers()]) + 1
            while True:
                held = self._link_next(temp, number, body)
                if held.number >= self.floor():
                    return held
                held.close()
                number = max([held.number, *self.numbers()]) + 1

    def _link_next(self, temp: str, number: int, body: Callable[[int], bytes]) -> HeldTicket:
        fd = self._modes.open_new(temp, os.O_RDWR | os.O_EXCL)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self._check_locking(temp)
            while True:
                os.ftruncate(fd, 0)
                os.lseek(fd, 0, os.SEEK_SET)
                write_all(fd, body(number))
                try:
                    os.link(temp, self._path(number))
                except FileExistsError:
                    number += 1
                else:
                    return HeldTicket(number, fd)
        except BaseException:
            os.close(fd)
            raise
        finally:
            os.unlink(temp)

    def _check_locking(self, temp: str) -> None:
        """A second open file must find the lock taken; some network file systems pretend."""
        other = os.open(temp, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        finally:
            os.close(other)
        raise UnsupportedPlatform(
            f"the file system of {self._folder} does not keep file locks", hint="use a local disk, or an S3 store"
        )

    def locked(self, number: int) -> bool:
        """Whether the ticket's owner lives and holds it. Asks with a shared lock, so that askers do not disturb."""
        with translated(self._folder, self._where):
            try:
                fd = os.open(self._path(number), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(fd)
        return False

    def read(self, number: int) -> bytes | None:
        """What stands in a ticket; ``None`` when it is gone."""
        with translated(self._folder, self._where):
            try:
                with open(self._path(number), "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def rewrite(self, number: int, body: bytes) -> None:
        """Write another body into a ticket that is there, in place: its lock is the file's. Only its owner does so."""
        with translated(self._folder, self._where), suppress(FileNotFoundError):
            fd = os.open(self._path(number), os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(fd, body, 0)
                os.ftruncate(fd, len(body))
            finally:
                os.close(fd)

    def floor(self) -> int:
        """Tickets below this number are void."""
        with translated(self._folder, self._where):
            try:
                with open(os.path.join(self._folder, _FLOOR), "rb") as file:
                    return int(file.read(_FLOOR_BYTES) or b"0")
            except FileNotFoundError:
                return 0
            except ValueError as error:
                name = os.path.join(self._folder, _FLOOR)
                raise CorruptObject(f"{name} does not hold a number", name=name) from error

    def clean(self, dice: bytes, keep: int) -> int:
        """Delete finished tickets when more than ``keep`` files lie there; how many. Raises the floor first.

        One cleaner at a time: one that was paused would write an older floor over a newer one.
        """
        if len(self.numbers()) <= keep:
            return 0
        with translated(self._folder, self._where):
            lock = self._modes.open_new(os.path.join(self._folder, ".cleaning"), os.O_WRONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self._clean_alone(dice)
            except BlockingIOError:
                return 0
            finally:
                os.close(lock)

    def _clean_alone(self, dice: bytes) -> int:
        numbers = self.numbers()
        lowest = next((number for number in numbers if self.locked(number)), numbers[-1])
        floor = max(lowest, self.floor())
        temp = os.path.join(self._folder, f".{os.getpid()}-{dice.hex()}")
        fd = self._modes.open_new(temp, os.O_WRONLY | os.O_EXCL)
        try:
            write_all(fd, b"%d" % floor)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temp, os.path.join(self._folder, _FLOOR))
        gone = [number for number in numbers if number < floor]
        for number in gone:
            with suppress(FileNotFoundError):
                os.unlink(self._path(number))
        return len(gone)
