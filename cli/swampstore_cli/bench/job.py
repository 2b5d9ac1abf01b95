"""What one run of ``swamp bench`` is to do, and what one operation of it took."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from swampstore.errors import SwampError

STOP_S = 10.0
"""How long a process that is told to stop may take to finish what it is writing."""


class Job(msgspec.Struct, frozen=True):
    """``count`` operations in all, by ``procs`` processes of ``threads`` each; no new one after ``seconds``.

    ``size`` is that of a record's contents in bytes; ``items`` how many entries there are to read, counters to count up,
    files to sync, or records to fold, as the workload has it. ``folder`` is for files, on this machine; the
    run makes it.
    """

    workload: str
    store: str
    namespace: str
    folder: str
    count: int
    procs: int = 1
    threads: int = 1
    size: int = 300
    items: int = 1
    cold: bool = False
    seconds: float = 30.0
    timeout: float = 60.0

    def share(self, number: int) -> int:
        """How many operations are those of process ``number`` (from 0)."""
        return self.count // self.procs + (number < self.count % self.procs)


class Sample(NamedTuple):
    """One operation: how long it took in all and in each phase (seconds), and ``ok`` or the code of its error."""

    seconds: float
    outcome: str
    phases: dict[str, float]


encode_job = msgspec.json.Encoder().encode
decode_job = msgspec.json.Decoder(Job).decode
encode_samples = msgspec.json.Encoder().encode
decode_samples = msgspec.json.Decoder(list[Sample]).decode


def told(error: SwampError) -> str:
    """An error as a process of the run tells it to the command."""
    return msgspec.json.encode({**error.describe(), "exit": error.exit_code}).decode()
