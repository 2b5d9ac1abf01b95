"""One look at a namespace, and how much was appended and folded between two looks.

Invariants:
- Rates come from positions in the log, which only rise; a lane that is gone counts nothing.
- A store that does not answer is a sample too: the view shows the error and goes on.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from swampstore.client.blocking import finish
from swampstore.client.status import NamespaceStatus, Positions, look
from swampstore.errors import FixTheCall, SwampError

if TYPE_CHECKING:
    from swampstore.client.core import CoreNamespace
    from swampstore_cli.watch.phases import PhaseTimes

QUEUES_EVERY = 5
KEPT = 1800
"""Samples that are remembered: an hour at the default interval."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """``at`` is ms since the epoch, rates are per second since the sample before, ``answer_ms`` what the look took.

    ``phases`` maps ``operation phase`` to its p99 in ms, where metrics of the writing processes are at hand.
    """

    at: int
    error: str = ""
    status: NamespaceStatus | None = None
    answer_ms: float = 0.0
    append_rate: float = 0.0
    bytes_rate: float = 0.0
    publish_rate: float = 0.0
    phases: dict[str, float] = {}

    @property
    def depth(self) -> int:
        """Segments that are not folded yet."""
        return self.status.log_depth if self.status else 0


class _Last(msgspec.Struct, frozen=True):
    """What the next sample is compared with."""

    at: float
    positions: Positions
    root_version: int


class Watched:
    """One namespace and its last samples."""

    def __init__(self, core: CoreNamespace, phases: PhaseTimes | None = None) -> None:
        self.name = core.name
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self._core = core
        self._phases = phases
        self._last: _Last | None = None
        self._looks = 0

    def look(self) -> Sample:
        """Take a sample. Raises only what no later sample can mend (``FixTheCall``)."""
        sample = self._look()
        self.samples.append(sample)
        return sample

    def _look(self) -> Sample:
        with_queues = self._looks % QUEUES_EVERY == 0
        self._looks += 1
        began = time.monotonic()
        now = time.time_ns() // 1_000_000
        try:
            status, positions = finish(look(self._core.place, self._core.register, queues=with_queues))
        except FixTheCall:
            raise
        except SwampError as error:
            return Sample(at=now, error=str(error))
        ended = time.monotonic()
        status = msgspec.structs.replace(status, spool=self._core.delivery.status())
        if not with_queues and self.samples and self.samples[-1].status is not None:
            status = msgspec.structs.replace(status, queues=self.samples[-1].status.queues)
        last, self._last = self._last, _Last(ended, positions, status.root_version)
        slots = size = versions = 0.0
        if last is not None and ended > last.at:
            span = ended - last.at
            slots, size = positions.slots_since(last.positions) / span, positions.bytes_since(last.positions) / span
            versions = max(status.root_version - last.root_version, 0) / span
        return Sample(
            at=now,
            status=status,
            answer_ms=(ended - began) * 1000,
            append_rate=slots,
            bytes_rate=size,
            publish_rate=versions,
            phases=self._phases.look() if self._phases else {},
        )
