"""Everything that a command started, found by its session, and its end.

A shell with job control and ``timeout(1)`` put what they start into process groups of their own, so the group of the
command is not all of it; its session is, until somebody leaves that too. Also a program: ``command_session.py SESSION
GRACE`` stops a session, with nothing but the standard library.

Invariants:
- Only processes of the session are signalled. Where the kernel does not list processes (no ``/proc``) that is the group
  of the command alone.
- Left behind, at most, is what took itself out of the session (``setsid``), what this user may not signal, and what the
  kernel does not let go of within ``END_S``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

END_S = 5.0
_LOOK_S = 0.05


def signal_session(session: int, number: int) -> None:
    """Send a signal once to every process of the session: to the group of the command, then to each one beside it."""
    _signal_group(session, number)
    for pid in _living(session):
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) != session:
                os.kill(pid, number)


def end_session(session: int) -> None:
    """Kill every process of the session, also those that are forked meanwhile; returns once they are gone."""
    until, pause = time.monotonic() + END_S, 0.002
    while True:
        _signal_group(session, signal.SIGKILL)
        left = _living(session)
        if not left or time.monotonic() >= until:
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(2 * pause, _LOOK_S)


def stop_session(session: int, grace_s: float) -> None:
    """SIGTERM, and for what is still there after ``grace_s`` SIGKILL."""
    until = time.monotonic() + grace_s
    signal_session(session, signal.SIGTERM)
    while _is_there(session) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    end_session(session)


def _signal_group(group: int, number: int) -> bool:
    """Whether there is anything left of the group."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # gone already; macOS says the latter of a group of zombies
        return False
    return True


def _is_there(session: int) -> bool:
    return bool(_living(session)) if os.path.exists("/proc/self/stat") else _signal_group(session, 0)


def _living(session: int) -> list[int]:
    """The processes of a session that have not ended, as far as the kernel lists processes."""
    found: list[int] = []
    with suppress(FileNotFoundError, PermissionError):
        for name in os.listdir("/proc"):
            with suppress(ValueError, OSError):
                pid = int(name)
                if os.getsid(pid) == session and not _has_ended(pid):
                    found.append(pid)
    return found


def _has_ended(pid: int) -> bool:
    """Whether it only waits for its parent to ask how it ended. The state stands behind the name, which may hold anything."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])


if __name__ == "__main__":
    stop_session(int(sys.argv[1]), float(sys.argv[2]))
