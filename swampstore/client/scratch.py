"""A folder for files that live as long as one call, and the end of those whose process was killed in the middle of it.

Invariants: a folder is held by a kernel lock for as long as it is used, so what can be locked by another is nobody's any
more; only folders of this user are looked at, by their own descriptor, and no link is followed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: what a killed process leaves stays there
    fcntl = None  # type: ignore[assignment]

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A new private folder below the one for temporary files; what was left behind there under ``prefix`` goes first."""
    _remove_left(prefix)
    folder, held = _made(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def _made(prefix: str) -> tuple[Path, int | None]:
    """A folder and its lock; ``None`` where folders cannot be locked: nobody takes it there for left behind either."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        if fcntl is None:
            return folder, None
        with suppress(FileNotFoundError):  # between two steps another process has taken it for left behind
            fd = os.open(folder, _FOLDER)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), os.stat(folder)):
                    return folder, fd
            except BlockingIOError:
                pass
            except FileNotFoundError:
                os.close(fd)
                raise
            except OSError:
                os.close(fd)
                return folder, None
            os.close(fd)


def _remove_left(prefix: str) -> None:
    """Remove the folders of processes that are gone. What cannot be removed stays."""
    if fcntl is None:
        return
    with suppress(OSError):
        base = tempfile.gettempdir()
        for name in os.listdir(base):
            if name.startswith(prefix):
                _remove_if_left(os.path.join(base, name))


def _remove_if_left(path: str) -> None:
    with suppress(OSError):
        fd = os.open(path, _FOLDER)
        try:
            if os.fstat(fd).st_uid == os.geteuid():
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)
