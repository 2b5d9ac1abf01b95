"""What ends the command of a poller or an update when they themselves were killed and cannot: a shell that waits for a word.

It reads from a pipe that only its caller holds open. The word comes when the run is over; without it the pipe closes
because the caller has died, by whatever signal, and the command's process group is stopped as the caller would stop it.
So of two pollers of one name, the one that takes over never runs beside what the dead one had started for long.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SCRIPT = 'read -r over || { kill -s TERM -- "-$0" && sleep "$1"; kill -s KILL -- "-$0"; }'


@contextmanager
def guarded(group: int, grace_s: float) -> Iterator[None]:
    """While the block runs: should this process die, process group ``group`` gets SIGTERM, and SIGKILL after ``grace_s``.

    Raises ``OSError`` if no process can be started.
    """
    with subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT, str(group), str(grace_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C at the terminal is not for it
    ) as guard:
        try:
            yield
        finally:
            with suppress(BrokenPipeError):  # somebody has killed it: the run is over all the same
                guard.communicate(b"over\n")
