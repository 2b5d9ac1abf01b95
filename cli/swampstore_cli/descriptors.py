"""Standard input, output and error that the caller has closed (``<&-``, ``>&-``): made whole before anything is opened.

Otherwise the next file that is opened, a store's lock or an end of a pipe, would be one of them, and whatever is printed would
go there.

Invariants: what is printed to a closed output vanishes, as asked for, and the command ends as ever, so nobody does again what
was done. Reading from a closed input is an error under any name (``-``, ``/dev/stdin``), never an empty value.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from swampstore.errors import Misuse


class _ClosedInput(io.RawIOBase):
    """What reads from it is told so."""

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0

    def readinto(self, into: Any) -> int:  # noqa: ARG002
        raise Misuse("standard input is closed", hint="name a file, or give it something to read: < FILE")


def fill() -> None:
    """Open what is closed of the three."""
    for number in range(3):  # in this order: what is opened gets the lowest number that is free
        try:
            os.fstat(number)
        except OSError:
            # In place of the input a folder: whoever is given it reads nothing there, by whatever name.
            opened = os.open(os.devnull, os.O_WRONLY) if number else os.open("/", os.O_RDONLY)
            os.set_inheritable(opened, True)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_ClosedInput()))
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (as long as the process)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
