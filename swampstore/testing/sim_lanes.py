"""What the shared lanes and the queues must look like, checked slot by slot and register by register.

Invariants checked: of the keys that only updates write, every commit in the commit lane has counted on from the one
before it; the mark of a lock never names a lower ticket than before; a stream holds each record once; a ticket number is
given once and in order, the finished set only grows, and a grant follows from a register that was read after the ticket
was taken.
"""

from __future__ import annotations

from collections.abc import Callable

from swampstore.errors import SwampError
from swampstore.protocols.stream import EMPTY, STREAM_MARK
from swampstore.protocols.update import LOCK_MARK
from swampstore.values.entry import Inline, Record, meta_of
from swampstore.values.names import COMMIT_LANE
from swampstore.values.segment import Segment
from swampstore.values.tickets import QueueRegister, decode_register

COUNTED = "n/"
"""Keys below this are written by updates and held locks only: a number, one more than was read, and the deed's name."""
_LAST = (1 << 64) - 1
_TAIL = "tail"


def _number(rest: str) -> int:
    return _LAST - int(rest.rpartition("/")[2], 16)


class Lanes:
    """The commits and the streams of a namespace, in the order of their slots."""

    def __init__(self, fail: Callable[[str], None]) -> None:
        self._fail = fail
        self.counters: dict[str, int] = {}
        self.tickets: dict[str, int] = {}
        self.streams: dict[str, list[tuple[str, bytes]]] = {}
        self._data: set[tuple[str, bytes]] = set()

    def take(self, segment: Segment) -> None:
        """A slot that was created just now, for the first time."""
        header = segment.header
        for record in segment.records:
            if record.key.startswith(STREAM_MARK):
                self._streamed(record)
            elif header.lane == COMMIT_LANE:
                self._committed(header.slot, record)

    def _committed(self, slot: int, record: Record) -> None:
        if record.key.startswith(LOCK_MARK):
            ticket = int.from_bytes(record.value)
            if ticket < self.tickets.get(record.key, 0):
                self._fail(f"slot {slot}: {record.key!r} goes back from ticket {self.tickets[record.key]} to {ticket}")
            self.tickets[record.key] = ticket
        elif record.key.startswith(COUNTED):
            at = meta_of(record).at
            assert isinstance(at, Inline)
            (number, deed), before = at.data.split(), self.counters.get(record.key, 0)
            value = int(number)
            if (record.key, deed) in self._data:
                self._fail(f"slot {slot}: {deed!r} has counted {record.key!r} twice")
            self._data.add((record.key, deed))
            if value != before + 1:
                self._fail(f"slot {slot}: {record.key!r} goes from {before} to {value}: an update was lost")
            self.counters[record.key] = value

    def _streamed(self, record: Record) -> None:
        name, _, position = record.key.removeprefix(STREAM_MARK).rpartition("\0")
        if position == _TAIL:
            return
        if (name, record.value) in self._data:
            self._fail(f"stream {name}: {record.value!r} was appended twice")
        self._data.add((name, record.value))
        held = self.streams.setdefault(name, [])
        if held and held[-1][0] >= position:
            self._fail(f"stream {name}: {position} follows {held[-1][0]}")
        held.append((position, record.value))

    def check_fence(self, name: str, expected: str, first: str) -> None:
        """The append whose first record is at ``first`` was fenced on ``expected`` and acknowledged."""
        before = [position for position, _ in self.streams.get(name, ()) if position < first]
        if (before[-1] if before else EMPTY) != expected:
            self._fail(f"stream {name}: {first} was fenced on {expected} and follows {before[-1:]}")

    def check_read(self, name: str, after: str, read: list[tuple[str, bytes]]) -> None:
        """A reader got ``read`` when it asked for what follows ``after``."""
        wanted = [one for one in self.streams.get(name, ()) if one[0] > after]
        if read != wanted[: len(read)]:
            self._fail(f"stream {name}: after {after} a reader got {read[:3]} ..., the lane holds {wanted[:3]} ...")


class Queues:
    """Every queue of a namespace, by the folder its objects lie in."""

    def __init__(self, fail: Callable[[str], None]) -> None:
        self._fail = fail
        self._registers: dict[str, QueueRegister] = {}
        self._highest: dict[str, int] = {}
        self._granted: dict[str, dict[int, int]] = {}
        self._read: dict[tuple[str, str], QueueRegister] = {}

    @staticmethod
    def _parts(name: str) -> tuple[str, str]:
        folder, _, rest = name.partition("/queue/")[2].partition("/")
        return folder, rest

    def put(self, who: str, name: str, body: bytes) -> None:
        """An object of a queue was written."""
        folder, rest = self._parts(name)
        if rest == "register":
            new, old = decode_register(body, name), self._registers.get(folder)
            highest = self._highest.get(folder, 0)
            if old is not None and any(old.is_finished(n) and not new.is_finished(n) for n in range(1, highest + 1)):
                self._fail(f"queue {folder}: a finished ticket is unfinished again ({old} to {new})")
            self._registers[folder] = new
        elif rest.startswith("t/"):
            number, highest = _number(rest), self._highest.get(folder, 0)
            if number != highest + 1:
                self._fail(f"queue {folder}: {who} takes ticket {number} after {highest}")
            self._highest[folder] = max(number, highest)
            self._read.pop((who, folder), None)

    def got(self, who: str, name: str, body: bytes | SwampError) -> None:
        """``who`` has read an object of a queue; an error when there is none."""
        folder, rest = self._parts(name)
        if rest == "register":
            fresh = isinstance(body, SwampError)
            self._read[who, folder] = QueueRegister("", b"") if fresh else decode_register(body, name)  # type: ignore[arg-type]

    def deleted(self, name: str, age_ms: int) -> None:
        """An object of a queue was deleted."""
        folder, rest = self._parts(name)
        if rest.startswith("t/"):
            number = _number(rest)
            register = self._registers.get(folder)
            if register is None or number > register.floor or number >= self._highest[folder] or age_ms < 3_600_000:
                self._fail(f"queue {folder}: ticket {number} is deleted, {age_ms} ms old ({register})")

    def granted(self, who: str, folder: str, number: int, capacity: int) -> None:
        """``who`` was told that it holds ticket ``number``; a queue that nobody has made has ``capacity`` places.

        A queue may be made smaller: nobody loses a place by it, so that what counts is how many there were for the last.
        """
        read = self._read.get((who, folder))
        places = read.capacity if read is not None and read.nonce else capacity
        if read is None or read.is_finished(number) or read.unfinished_below(number) >= places:
            self._fail(f"queue {folder}: ticket {number} was granted by {read}, which does not admit it")
        now = self._registers.get(folder, QueueRegister("", b""))
        held = self._granted.setdefault(folder, {})
        held[number] = places
        living = [one for one in held if not now.is_finished(one)]
        if living and len(living) > held[max(living)]:
            self._fail(f"queue {folder}: {sorted(living)} hold at once, capacity {held[max(living)]}")
