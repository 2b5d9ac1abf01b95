"""How old a lane is, and how much was appended: what decides that a lane ends and that somebody should fold.

Invariants: a lane's life is bounded on the boot clock and on the store's (a paused virtual machine stops the first); no
count here ever needs a read of the log.
"""

from __future__ import annotations

from swampstore.limits import (
    HELP_LANE_BYTES,
    HELP_LANE_PAUSE_S,
    HELP_LANE_RECORDS,
    WRITER_FIRST_ACK_S,
    WRITER_IDLE_S,
    WRITER_LIFE_S,
)

_LOOK_S = 1.0


class Life:
    """The ages of one lane. Times are seconds of the boot clock, or ms of the store's.

    ``over_at``: an append that begins later belongs into another lane. ``look_at``: when to look next.
    """

    __slots__ = ("_first", "_half_boot", "_half_ms", "_late_boot", "late_ms", "look_at", "over_at")

    def __init__(self, born_ms: int, born_boot: float) -> None:
        self._first = True
        self._half_boot = born_boot + WRITER_LIFE_S / 2
        self._half_ms = born_ms + WRITER_LIFE_S * 500
        self._late_boot = born_boot + WRITER_FIRST_ACK_S
        self.late_ms = born_ms + WRITER_FIRST_ACK_S * 1000
        self.over_at = born_boot + WRITER_IDLE_S
        self.look_at = born_boot

    def look(self, time: int, now: float) -> bool:
        """Take in an answer; whether it came in time."""
        if now > self._late_boot or time > self.late_ms:
            return False
        if self._first:
            self._first = False
            self._late_boot += WRITER_LIFE_S - WRITER_FIRST_ACK_S
            self.late_ms += (WRITER_LIFE_S - WRITER_FIRST_ACK_S) * 1000
        self.over_at = min(now + WRITER_IDLE_S, self._half_boot) if time <= self._half_ms else -1.0
        self.look_at = min(now + _LOOK_S, self._late_boot)
        return True


class Counts:
    """What was appended: in all, and since this process last helped to fold. ``alone`` counts the short way's appends.

    ``due_end`` is where in the open file so much was appended that it is time to help.
    """

    __slots__ = ("_alone", "_helped", "_left", "_records", "alone", "appends", "due_end", "frames")

    def __init__(self, now: float) -> None:
        self.alone = self.appends = self.frames = 0
        self.due_end = 0
        self._alone = self._records = 0
        self._left = HELP_LANE_BYTES
        self._helped = now

    def begins(self, end: int) -> None:
        """A new file, whose first frame goes to ``end``."""
        self.due_end = end + self._left

    def ends(self, end: int) -> None:
        """The open file is finished."""
        self._left = max(self.due_end - end, 0)

    def took(self, count: int) -> None:
        """A frame of ``count`` records landed that did not go the short way."""
        self.frames += 1
        self._records += count

    @property
    def unhelped(self) -> int:
        """Records since the last help."""
        return self._records + self.alone - self._alone

    def due(self, end: int, now: float) -> bool:
        """Whether somebody should look after the log by now."""
        much = self.unhelped >= HELP_LANE_RECORDS and now - self._helped >= HELP_LANE_PAUSE_S
        return much or end >= self.due_end

    def helped(self, end: int, now: float) -> None:
        """The log was just looked after; the open file, if there is one, ends at ``end``."""
        self._records, self._alone, self._helped = 0, self.alone, now
        self._left = HELP_LANE_BYTES
        self.due_end = end + HELP_LANE_BYTES
