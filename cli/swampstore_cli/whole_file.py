"""A file that a command writes: there as a whole or not at all, and until then what was there before.

Invariants:
- A file of its own is written beside its place under a private name, synced, and renamed; on any failure, Ctrl-C and a
  full disk among them, that name is removed and the old file is as it was. A link is followed, permissions stay.
- What is no file of its own is written through, never replaced: a pipe, a device, and the names of open descriptors
  (``/dev/stdout`` may well lead to a file, but to one that the shell has open).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from swampstore.errors import Misuse
from swampstore_cli import output

_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/dev/stdout|/dev/stderr|/(?:dev|proc/self)/fd/([0-9]{1,6})")
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP}


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A file to write what shall stand in ``path``; it does once the block has ended well. Raises ``Misuse``, ``OSError``."""
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise Misuse(f"{path} is a folder", hint="name a file in it")
    described = _DESCRIPTOR.fullmatch(os.path.abspath(path))
    if described or (os.path.exists(target) and not os.path.isfile(target)):
        with _through(path, described) as file:
            yield file
        return
    temp = os.path.join(os.path.dirname(target), f".swamp-{os.getpid()}-{os.urandom(6).hex()}.part")
    try:
        with _new(temp, target) as file:
            yield file
            file.flush()
            _sync(file.fileno())
        os.replace(temp, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temp)
        raise


@contextmanager
def _through(path: str, described: re.Match[str] | None) -> Iterator[IO[bytes]]:
    """What takes bytes and cannot be replaced, as it is."""
    try:
        output.flush()  # it may go to the same place
        with open(os.dup(_number(described)) if described else path, "wb") as file:
            yield file
    except BrokenPipeError:
        output.reader_gone()


def _number(described: re.Match[str]) -> int:
    return _STANDARD.get(described[0]) or int(described[1])


def _new(temp: str, target: str) -> IO[bytes]:
    """A new file with the permissions of the one that it will replace.

    When it cannot be made, the error names the folder, for nobody asked for a file of this name.
    """
    try:
        mode = os.stat(target).st_mode & 0o777
    except FileNotFoundError:
        mode = None
    try:
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else mode)
    except OSError as error:
        error.filename = os.path.dirname(temp)
        raise
    if mode is not None:
        os.fchmod(fd, mode)  # what the umask took away
    return open(fd, "wb")


def _sync(fd: int) -> None:
    """The bytes are on the disk before the name is, or a loss of power leaves an empty file in place of the old one."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
