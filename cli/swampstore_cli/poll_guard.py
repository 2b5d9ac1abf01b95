"""What ends the command of a poller or an update when they themselves were killed and cannot: a shell that waits for a word.

It reads from a pipe that only its caller holds open. The word comes when the run is over; without it the pipe closes
because the caller has died, by whatever signal, and the command's session is stopped as the caller would stop it.

Invariant: the files in ``keep`` stay open, and the locks on them held, until the command is gone. With the file that is
a poller's place in the queue of a local store the next poller does not begin beside what the dead one had started. In a
queue on S3 there is no such file; there the next one waits for the end of the place's time, which is longer than the
command is given here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from swampstore_cli import command_session

_SCRIPT = (
    'read -r over || "$2" -I -S "$3" "$0" "$1" || '
    '{ kill -s TERM -- "-$0" && sleep "$1"; kill -s KILL -- "-$0"; }'  # the interpreter has gone meanwhile
)


@contextmanager
def guarded(session: int, grace_s: float, keep: Sequence[int] = ()) -> Iterator[None]:
    """While the block runs: should this process die, all of ``session`` gets SIGTERM, and SIGKILL after ``grace_s``.

    Raises ``OSError`` if no process can be started.
    """
    with subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT, str(session), str(grace_s), sys.executable or "python3", command_session.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C at the terminal is not for it
        pass_fds=keep,
    ) as guard:
        try:
            yield
        finally:
            with suppress(BrokenPipeError):  # somebody has killed it: the run is over all the same
                guard.communicate(b"over\n")
