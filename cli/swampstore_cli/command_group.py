"""A command in a session of its own, which ends with it: nothing that it started runs on behind its caller's back.

Invariants:
- When the block is left, in whatever way, the session is gone (:mod:`swampstore_cli.command_session` says how far); when
  this process is killed in the middle, a guard ends it (:mod:`swampstore_cli.poll_guard`), which lives until then.
- The command begins after its guard: a shell holds its place until it is sent a first line. Should this process end
  before that, by a signal or an interrupt, there is no such line, and the shell ends without having begun it.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from swampstore_cli.command_session import end_session, signal_session
from swampstore_cli.poll_guard import guarded

_GATE = 'read -r begin && exec "$@"'
GRACE_S = 5.0
"""Between SIGTERM and SIGKILL; also how long output is waited for that a process left behind may still hold open."""


@contextmanager
def grouped(
    command: Sequence[str],
    *,
    stderr: int | None,
    env: Mapping[str, str] | None = None,
    polite_s: float = 0.0,
    keep: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """The running command, its input and output in pipes; interrupted, it has ``polite_s`` to end by itself.

    A command that cannot be started ends with 127 or 126, as in shells. ``keep`` are open files that the guard has open
    too. Raises ``OSError`` when there is no process left.
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
            with guarded(child.pid, GRACE_S, keep), _ended(child, polite_s):
                _begin(child)
                yield child
        except BaseException:
            end_session(child.pid)  # without a guard nothing has ended it yet
            raise
        finally:
            child.wait()


@contextmanager
def _ended(child: subprocess.Popen[bytes], polite_s: float) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if polite_s:
            signal_session(child.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.communicate(timeout=polite_s)
        raise
    finally:
        end_session(child.pid)


def _begin(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # somebody has killed it already
        child.stdin.write(b"\n")
        child.stdin.flush()
