"""A command in a process group of its own, which ends with it: nothing that it started runs on behind its caller's back.

Invariants:
- When the block is left, in whatever way, the group is gone; when this process is killed in the middle, a guard ends the
  group (:mod:`swampstore_cli.poll_guard`).
- The command begins after its guard: a shell holds its place until it is sent a first line. Should this process end
  before that, by a signal or an interrupt, there is no such line, and the shell ends without having begun it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from swampstore_cli.poll_guard import guarded

_GATE = 'read -r begin && exec "$@"'
GRACE_S = 5.0
"""Between SIGTERM and SIGKILL; also how long output is waited for that a process left behind may still hold open."""


@contextmanager
def grouped(
    command: Sequence[str], *, stderr: int | None, env: Mapping[str, str] | None = None, polite_s: float = 0.0
) -> Iterator[subprocess.Popen[bytes]]:
    """The running command, its input and output in pipes; interrupted, it has ``polite_s`` to end by itself.

    A command that cannot be started ends with 127 or 126, as in shells. Raises ``OSError`` when there is no process left.
    """
    with subprocess.Popen(
        ["/bin/sh", "-c", _GATE, "swamp", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=env,
        start_new_session=True,
    ) as child:
        try:
            with guarded(child.pid, GRACE_S):
                _begin(child)
                yield child
        except (KeyboardInterrupt, SystemExit):
            if polite_s:
                signal_group(child.pid, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    child.communicate(timeout=polite_s)
            raise
        finally:
            signal_group(child.pid, signal.SIGKILL)
            child.wait()


def _begin(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # somebody has killed it already
        child.stdin.write(b"\n")
        child.stdin.flush()


def signal_group(group: int, number: int) -> None:
    """Send a signal to all of a group, if there is any of it left."""
    with suppress(ProcessLookupError, PermissionError):  # gone already; macOS says the latter of a group of zombies
        os.killpg(group, number)
