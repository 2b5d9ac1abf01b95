"""One run of a poller's command: started in a session of its own, read to its end, stopped when it may not go on.

Invariants:
- What the command started ends with it: a stop or a passed limit reaches its whole session, politely (SIGTERM),
  then for good (SIGKILL), and nobody is left behind when this process is interrupted or killed in the middle.
- Output is kept up to a bound and read on beyond it (a command never hangs on a full pipe); what was cut is counted.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from swampstore_cli.command_group import GRACE_S, grouped
from swampstore_cli.command_session import signal_session
from swampstore_cli.stopping import StopSignals

_PIECE = 1 << 16
_LOOK_S = 0.05


class Ended(NamedTuple):
    """``code`` is the exit code, negative for a signal; ``cut`` counts bytes of output beyond the bound."""

    code: int
    output: bytes
    error: bytes
    cut: int
    seconds: float
    timed_out: bool
    stopped: bool


def run_command(
    command: Sequence[str],
    stop: StopSignals,
    *,
    limit_s: float | None,
    output_bytes: int,
    error_bytes: int,
    keep: Sequence[int] = (),
) -> Ended:
    """Run ``command`` to its end: of its own, after ``limit_s``, or when ``stop`` is set. Keeps the last of its errors.

    The open files ``keep`` stay open until everything has ended that it started, even if this process is killed.
    """
    began = time.monotonic()
    with grouped(command, stderr=subprocess.PIPE, keep=keep) as child:
        assert child.stdin is not None
        with suppress(BrokenPipeError):
            child.stdin.close()
        reading = _Reading(child, stop, output_bytes, error_bytes)
        timed_out, stopped = reading.follow(None if limit_s is None else began + limit_s)
    seconds = time.monotonic() - began
    return Ended(
        child.returncode, bytes(reading.output), bytes(reading.error), reading.cut, seconds, timed_out, stopped
    )


class _Reading:
    """Both outputs of a child, read as they come."""

    def __init__(self, child: subprocess.Popen[bytes], stop: StopSignals, output_bytes: int, error_bytes: int) -> None:
        self.output = bytearray()
        self.error = bytearray()
        self.cut = 0
        self._child = child
        self._stop = stop
        self._most = output_bytes
        self._error_most = error_bytes

    def follow(self, until: float | None) -> tuple[bool, bool]:
        """Read until the child ended and its outputs are closed; ``(limit passed, was stopped)``."""
        timed_out = stopped = False
        force: float | None = None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        with selectors.DefaultSelector() as ready:
            for file, take in ((self._child.stdout, self._take_output), (self._child.stderr, self._take_error)):
                ready.register(file, selectors.EVENT_READ, take)
            while ready.get_map() or self._child.poll() is None:
                now = time.monotonic()
                if force is not None and now >= force:
                    break
                if force is None:
                    timed_out = until is not None and now >= until
                    stopped = self._stop.is_set()
                    ended = self._child.poll() is not None
                    if timed_out or stopped or ended:
                        force = now + GRACE_S
                    if (timed_out or stopped) and not ended:
                        signal_session(self._child.pid, signal.SIGTERM)
                self._read(ready)
        return timed_out, stopped

    def _read(self, ready: selectors.BaseSelector) -> None:
        if not ready.get_map():
            time.sleep(_LOOK_S)
            return
        for key, _ in ready.select(_LOOK_S):
            piece = os.read(key.fd, _PIECE)
            if piece:
                key.data(piece)
            else:
                ready.unregister(key.fileobj)

    def _take_output(self, piece: bytes) -> None:
        kept = piece[: max(self._most - len(self.output), 0)]
        self.output += kept
        self.cut += len(piece) - len(kept)

    def _take_error(self, piece: bytes) -> None:
        self.error += piece
        del self.error[: max(len(self.error) - self._error_most, 0)]
