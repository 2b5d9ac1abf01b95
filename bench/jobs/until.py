"""The end of jobs that go on until they are told: their standard input ends."""

from __future__ import annotations

import sys
import threading


def input_ended() -> threading.Event:
    """It is set when that has come. To be called once the job has begun."""
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    return ended
