"""What a reader of the log takes as one piece: a slot of a lane, and how the frames of a lane file become one.

A lane that is a file (:mod:`swampstore.values.lane_file`) has no slots of its own. What stands for them is the offset
behind a frame: the watermark of such a lane is one, and a :class:`FileSlot` says "everything of this file from ``start`` up to
there". It is a slot to whoever only asks which lane and how far.

Invariants: a file slot begins and ends between two frames; those of a tail follow each other without a gap; the numbers
of a lane rise, whatever it is stored as. A lane that many share has the same numbers again when its namespace is deleted
and made anew: what was read of a slot counts only for the very object (its ETag) that it was read from.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from swampstore.errors import TryAgain
from swampstore.values.root import NO_ROOT, Root
from swampstore.values.segment import Segment, SegmentHeader

Slot: TypeAlias = tuple[str, int]
"""``(lane, slot)``; as it was listed a :class:`ListedSlot`; of a lane file ``(lane, offset)``, a :class:`FileSlot`"""


class ListedSlot(tuple[str, int]):
    """``(lane, slot)`` of a segment, and the ETag of the object that a listing showed there."""

    etag: str

    def __new__(cls, lane: str, number: int, etag: str) -> ListedSlot:
        slot = super().__new__(cls, (lane, number))
        slot.etag = etag
        return slot


def etag_of(slot: Slot) -> str:
    """The ETag of the object in ``slot``; empty where none was listed."""
    return slot.etag if isinstance(slot, ListedSlot) else ""


class FileSlot(tuple[str, int]):
    """``(lane, end)`` of some frames of a lane file, from ``start`` on.

    ``frames`` counts those with records: one that only says that the lane ends is nothing to be folded.
    ``made_ms`` is the time in the version of the first record (the store's, as its writer knew it; 0: none).
    """

    start: int
    frames: int
    made_ms: int
    _cut_from: FileSlot | None
    """``None`` when it was not cut: a slot that held itself would wait for the cyclic collector."""

    def __new__(cls, lane: str, end: int, start: int, frames: int = 1, made_ms: int = 0) -> FileSlot:
        slot = super().__new__(cls, (lane, end))
        slot.start, slot.frames, slot.made_ms, slot._cut_from = start, frames, made_ms, None
        return slot

    @property
    def lane(self) -> str:
        return self[0]

    @property
    def end(self) -> int:
        return self[1]

    @property
    def bytes(self) -> int:
        return self[1] - self.start

    @property
    def whole(self) -> FileSlot:
        """What it was cut from; itself, if it was not."""
        return self if self._cut_from is None else self._cut_from

    def past(self, offset: int) -> FileSlot:
        """What of it lies behind ``offset``, which is between two of its frames."""
        if offset <= self.start:
            return self
        rest = FileSlot(self[0], self[1], offset, 1, self.made_ms)
        rest._cut_from = self.whole
        return rest


def new_since(before: Sequence[Slot], now: Sequence[Slot]) -> list[Slot] | None:
    """What ``now`` holds and ``before`` does not, both past the same watermarks; ``None`` if something has gone back, or
    another object lies in a slot."""
    if before is now:
        return []
    ends = {slot[0]: slot[1] for slot in before if isinstance(slot, FileSlot)}
    known = {(slot, etag_of(slot)) for slot in before if not isinstance(slot, FileSlot)}
    new: list[Slot] = []
    for slot in now:
        if isinstance(slot, FileSlot):
            if slot.end > ends.get(slot.lane, 0):
                new.append(slot.past(ends.get(slot.lane, 0)))
        elif (held := (slot, etag_of(slot))) in known:
            known.discard(held)
        else:
            new.append(slot)
    tops = {slot[0]: slot[1] for slot in now if isinstance(slot, FileSlot)}
    return None if known or any(tops.get(lane, 0) < end for lane, end in ends.items()) else new


def begin_of(slot: Slot) -> Slot:
    """What stays the same of ``slot`` until some of it is folded, however much is appended behind."""
    return (slot[0], slot.start) if isinstance(slot, FileSlot) else slot


def past(slot: Slot, number: int) -> Slot | None:
    """What of ``slot`` lies behind ``number`` of its lane, if anything."""
    if slot[1] <= number:
        return None
    return slot.past(number) if isinstance(slot, FileSlot) else slot


class Stretch(Segment, frozen=True):
    """The frames of a file slot, as a segment: its slot is where they end.

    ``ends`` are the offsets behind its frames, ``upto`` how many of the records lie before each.
    """

    start: int
    ends: array[int]
    upto: array[int]

    def slot_of(self, index: int) -> int:
        """Where the frame ends that holds record number ``index``."""
        return self.ends[bisect_right(self.upto, index)]

    def past(self, offset: int) -> Stretch | None:
        """What of it lies behind ``offset``; ``None`` unless that is between two of its frames."""
        if offset <= self.start:
            return self
        at = bisect_left(self.ends, offset)
        if at + 1 >= len(self.ends) or self.ends[at] != offset:
            return None
        skip = self.upto[at]
        upto = array("Q", (count - skip for count in self.upto[at + 1 :]))
        size = self.header.slot - offset
        return Stretch(self.header, self.records[skip:], size, offset, self.ends[at + 1 :], upto)

    def joined(self, later: Stretch) -> Stretch:
        """This one and the one that follows it, as one."""
        held = len(self.records)
        return Stretch(
            later.header,
            self.records + later.records,
            self.stored_bytes + later.stored_bytes,
            self.start,
            self.ends + later.ends,
            self.upto + array("Q", (count + held for count in later.upto)),
        )


def slot_of(segment: Segment, index: int) -> int:
    """The slot that record number ``index`` of ``segment`` was committed in."""
    return segment.slot_of(index) if isinstance(segment, Stretch) else segment.header.slot


def stretch_header(lane: str, end: int, *, closing: bool) -> SegmentHeader:
    """Frames have no headers of their own: what stands for one."""
    return SegmentHeader(lane=lane, slot=end, write_id=b"", time=0, closing=closing)


class Tail(msgspec.Struct, frozen=True):
    """What is known of one lane file: ``slots`` behind the watermark, up to ``end``.

    ``more``: there may be frames behind ``end`` that were not read. ``stuck``: what follows is neither a good frame nor
    free; so it is for an instant whenever its owner writes, and for good where a write or the disk failed.
    """

    lane: str
    name: str
    slots: tuple[FileSlot, ...]
    end: int
    more: bool = False
    stuck: bool = False

    def past(self, watermark: int) -> list[FileSlot]:
        """The slots behind ``watermark``."""
        if not self.slots or watermark <= self.slots[0].start:
            return list(self.slots)
        return [slot.past(watermark) for slot in self.slots if slot.end > watermark]


class Tails(msgspec.Struct, frozen=True):
    """The tails of all lane files of one listing, as read with ``root``; ``ends`` are where they end, ``bytes`` their sum.

    Like their dicts they never change: what was worked out from them holds for as long as they are the same objects.
    """

    root: Root
    tails: dict[str, Tail]
    ends: dict[str, int]
    bytes: int
    at_rest: bool

    @classmethod
    def of(cls, root: Root, tails: dict[str, Tail]) -> Tails:
        ends = {lane: tail.end for lane, tail in tails.items()}
        return cls(root, tails, ends, sum(ends.values()), not any(tail.more or tail.stuck for tail in tails.values()))


NO_TAILS = Tails.of(NO_ROOT, {})


class Broken(msgspec.Struct, frozen=True):
    """A segment (two reads of which agree), or a frame whose checksum holds, that cannot be decoded."""

    slot: Slot
    name: str
    reason: str


class SegmentGone(TryAgain):
    """A listed segment was deleted meanwhile: a newer root covers it."""

    code = "segment-gone"
