"""The tails of lane files: what lies in them behind the watermark, read once and from then on only what is new.

Invariants:
- A tail is a prefix of whole frames behind the watermark of the root it was read with, or behind one that was lower: it
  ends at the first frame that is not good, and nothing behind that is looked at here.
- What was read of a file never changes (nobody truncates or rewrites), so it is kept; what a root covers is forgotten.
- A file that is gone was covered by a root: whoever misses it reads the root again before it says so.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import msgspec

from swampstore.errors import CorruptObject, NotFound, SwampError
from swampstore.limits import KIB, LANE_FILE_BYTES, MIB
from swampstore.protocols.place import Place
from swampstore.protocols.slots import (
    NO_TAILS,
    Broken,
    FileSlot,
    SegmentGone,
    Slot,
    Stretch,
    Tail,
    Tails,
    stretch_header,
)
from swampstore.stores.base import Get, Got, Outcome
from swampstore.stores.lanes import LOOK_BYTES, LaneLook
from swampstore.values.lane_file import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    WHOLE_FRAME_BYTES,
    BrokenFrame,
    Frames,
    decode_frames,
    decode_header,
    find_frame,
)
from swampstore.values.root import Root
from swampstore.values.segment import Segment
from swampstore.values.version import version_ms

STRETCH_WEIGHT = 8
"""Decoded size of frames in memory, as a multiple of their stored size."""
_LOOK_BYTES = 4 * KIB
"""Read of a file that is known: most often there is nothing new."""
_FIRST_BYTES = 64 * KIB
_MOST_BYTES = MIB
_REST_BYTES = 2 * LANE_FILE_BYTES


async def read_tails(
    place: Place,
    lanes: Iterable[str],
    root: Root,
    *,
    looked: tuple[Tails, LaneLook] | None = None,
    most_bytes: int | None = None,
) -> tuple[Tails, bool]:
    """The tails of ``lanes`` behind the watermarks of ``root``; and whether a file is gone that was looked for.

    ``looked`` are tails that were known, and a look at them: of the files that it has found, which are not in ``lanes``,
    only what goes on behind what it has read is asked for.

    With ``most_bytes`` about that many bytes are read at most, shared by all lanes: the others are told by ``more``.
    Raises ``UnknownFormat`` for the file of a newer program, and what the store raises.
    """
    lanes = list(lanes)
    place.caches.fresh[place.names.log] = {}
    if looked is not None and not lanes and _nothing_new(*looked, root):
        return looked[0], False
    tails, readings = _looked_at(place, *looked, root) if looked is not None else ({}, [])
    known = place.caches.tails.get(place.names.log, NO_TAILS).tails
    readings += [_Reading(place, lane, root.watermark(lane), known.get(lane)) for lane in lanes]
    share = max(most_bytes // len(readings), _MOST_BYTES) if most_bytes is not None and readings else None
    due = [one for one in readings if not one.done]
    while due:
        answers = await place.store.many([one.request() for one in due])
        for one, answer in zip(due, answers, strict=True):
            one.take(answer, share)
        due = [one for one in due if not one.done]
    for one in readings:
        if one.gone:
            tails.pop(one.lane, None)
        else:
            tails[one.lane] = one.tail()
    found = place.caches.tails[place.names.log] = Tails.of(root, tails)
    return found, any(one.gone for one in readings)


def _nothing_new(known: Tails, look: LaneLook, root: Root) -> bool:
    """Whether a look at all files of ``known`` has found what is known, to be read with the root it was read with."""
    return known.at_rest and known.root is root and not look.found and len(look.there) == len(known.tails)


def _looked_at(place: Place, known: Tails, look: LaneLook, root: Root) -> tuple[dict[str, Tail], list[_Reading]]:
    """The known tails of those that a look has found, in their order; and the readings that will replace some of them."""
    tails: dict[str, Tail] = {}
    readings: list[_Reading] = []
    for lane, tail in known.tails.items():
        if lane not in look.there:
            continue
        body, watermark = look.found.get(lane, b""), root.watermark(lane)
        if body or tail.end < watermark or (tail.slots and tail.slots[0].start < watermark):
            readings.append(_Reading(place, lane, watermark, tail, body))
        elif tail.stuck or tail.more:
            tail = msgspec.structs.replace(tail, stuck=False, more=False)
        tails[lane] = tail
    return tails, readings


class _Reading:
    """The reading of one file, from what is known of it to its end."""

    def __init__(
        self, place: Place, lane: str, watermark: int, known: Tail | None, peeked: bytes | None = None
    ) -> None:
        self._place = place
        self._name = place.names.lane_file(lane)
        self._slots: list[FileSlot] = []
        self._at = max(watermark, HEADER_BYTES)
        self._header = not watermark and known is None
        self._size = _LOOK_BYTES if known else _FIRST_BYTES
        self._fresh = 0
        self._more = self._stuck = False
        self.lane = lane
        self.done = self.gone = False
        if known is not None and known.end >= self._at:
            self._go_on(known)
            if peeked is not None and self._at == known.end:
                self._decode(peeked, LOOK_BYTES, None)

    def _go_on(self, known: Tail) -> None:
        """Take over what is known behind the watermark; read on behind it."""
        watermark = self._at
        for slot in known.slots:
            if slot.start < watermark < slot.end:
                cached = _cached(self._place, slot)
                rest = cached.past(watermark) if cached else None
                if rest is None:
                    return  # somebody else's fold ended within it: read again from there
                self._slots.append(_keep(self._place, self._name, rest))
            elif slot.end > watermark:
                self._slots.append(slot)
        self._at = known.end

    def request(self) -> Get:
        """What to read next."""
        if self._header:
            return Get(self._name, span=(0, HEADER_BYTES + self._size))
        return Get(self._name, span=(self._at, self._size))

    def take(self, answer: Outcome, share: int | None) -> None:
        """Take in what was read."""
        if isinstance(answer, NotFound):
            self.done = self.gone = True
            return
        if isinstance(answer, SwampError):
            raise answer
        assert isinstance(answer, Got)
        body, asked = answer.body, self._size
        if self._header:
            self._check_header(body)
            body = body[HEADER_BYTES:]
            self._header = False
        self._decode(body, asked, share)

    def _decode(self, body: bytes, asked: int, share: int | None) -> None:
        frames = decode_frames(body, self.lane, self._at, self._name)
        start, self._at = self._at, frames.end
        self._fresh += frames.end - start
        for piece in pieces_of(self.lane, self._name, start, frames):
            self._append(piece)
        if not frames.cut or len(body) < asked:
            rest = body[frames.end - start :][:FRAME_HEAD_BYTES]
            self.done, self._stuck = True, bool(rest.strip(b"\0"))
        elif share is not None and self._fresh >= share:
            self.done = self._more = True
        else:
            self._size = min(max(asked * 4, _FIRST_BYTES), _MOST_BYTES if frames.count else WHOLE_FRAME_BYTES)

    def _check_header(self, body: bytes) -> None:
        """Only a newer format matters: frames prove by themselves to whom they belong."""
        try:
            decode_header(body, self._name)
        except CorruptObject:
            return

    def _append(self, piece: Stretch | Broken) -> None:
        """Put a piece behind the others; small ones grow together, so that there are few of them."""
        if isinstance(piece, Broken):
            assert isinstance(piece.slot, FileSlot)
            self._slots.append(piece.slot)
            return
        while self._slots:
            last = self._slots[-1]
            if last.bytes > 2 * piece.stored_bytes or last.bytes + piece.stored_bytes > _MOST_BYTES:
                break
            held = _cached(self._place, last)
            if held is None:
                break
            self._place.caches.segments.pop(_key(self._name, last))
            self._place.caches.fresh[self._place.names.log].pop(_key(self._name, last), None)
            self._slots.pop()
            piece = held.joined(piece)
        self._slots.append(_keep(self._place, self._name, piece))

    def tail(self) -> Tail:
        return Tail(self.lane, self._name, tuple(self._slots), self._at, self._more, self._stuck)


async def read_behind(place: Place, tail: Tail) -> list[Stretch | Broken]:
    """Good frames that lie behind the end of ``tail``, behind something that is not one: the disk has lost what was there.

    Such frames count for nothing, and are never deleted. Reads the rest of the file. Raises ``SegmentGone``.
    """
    try:
        got = await place.store.get(tail.name, span=(tail.end, _REST_BYTES))
    except NotFound as error:
        raise SegmentGone(f"{tail.name} is gone") from error
    assert isinstance(got, Got)
    body, at = got.body, 0
    found: list[Stretch | Broken] = []
    while (start := find_frame(body[at:], tail.lane, tail.end + at)) is not None:
        offset = tail.end + at + start
        frames = decode_frames(body[at + start :], tail.lane, offset, tail.name)
        found += pieces_of(tail.lane, tail.name, offset, frames)
        at = frames.end - tail.end - 1
    return found


# --- pieces ------------------------------------------------------------------------------------------------------------


def pieces_of(lane: str, name: str, start: int, frames: Frames) -> list[Stretch | Broken]:
    """``frames``, read from ``start`` of the file ``name`` on: what can be read together, and broken ones alone."""
    pieces: list[Stretch | Broken] = []
    first = 0
    for bad in frames.broken:
        at = frames.ends.index(bad.end)
        if at > first:
            pieces.append(_stretch(lane, start, frames, first, at))
        pieces.append(_broken(lane, name, bad))
        start, first = bad.end, at + 1
    if first < frames.count:
        pieces.append(_stretch(lane, start, frames, first, frames.count))
    return pieces


def _stretch(lane: str, start: int, frames: Frames, first: int, last: int) -> Stretch:
    """The frames number ``first`` up to before ``last``, the first of which begins at ``start``."""
    end = frames.ends[last - 1]
    header = stretch_header(lane, end, closing=frames.closed and last == frames.count)
    if last - first == frames.count:
        return Stretch(header, frames.records, end - start, start, frames.ends, frames.upto)
    skip = frames.upto[first - 1] if first else 0
    upto = array("Q", (count - skip for count in frames.upto[first:last]))
    records = frames.records[skip : frames.upto[last - 1]]
    return Stretch(header, records, end - start, start, frames.ends[first:last], upto)


def _broken(lane: str, name: str, bad: BrokenFrame) -> Broken:
    return Broken(FileSlot(lane, bad.end, bad.start), name, f"the frame at {bad.start}: {bad.reason}")


def _key(name: str, slot: FileSlot) -> str:
    return f"{name}:{slot.start}:{slot.end}"


def _keep(place: Place, name: str, piece: Stretch) -> FileSlot:
    """Put a stretch into the cache; its slot."""
    made_ms = version_ms(piece.records[0].version) if piece.records else 0
    frames = len(piece.ends) - (not piece.upto[-1] or (len(piece.upto) > 1 and piece.upto[-1] == piece.upto[-2]))
    slot = FileSlot(piece.header.lane, piece.header.slot, piece.start, frames, made_ms)
    place.caches.segments.put(_key(name, slot), piece, piece.stored_bytes * STRETCH_WEIGHT + 1000)
    place.caches.fresh.setdefault(place.names.log, {})[_key(name, slot)] = piece
    return slot


def _cached(place: Place, slot: FileSlot) -> Stretch | None:
    """What the cache holds of ``slot``, by itself or as the end of what it was cut from."""
    name, fresh = place.names.lane_file(slot.lane), place.caches.fresh.get(place.names.log, {})
    for held in (slot, slot.whole):
        found = fresh.get(_key(name, held)) or place.caches.segments.get(_key(name, held))
        if isinstance(found, Stretch):
            return found.past(slot.start)
    return None


async def fetch_frames(place: Place, slots: Sequence[FileSlot]) -> dict[Slot, Segment | Broken]:
    """What ``slots`` hold, from the cache or read side by side. Raises ``SegmentGone`` when a file is gone or replaced."""
    found: dict[Slot, Segment | Broken] = {}
    missing: list[FileSlot] = []
    for slot in slots:
        cached = _cached(place, slot)
        if cached is None:
            missing.append(slot)
        else:
            found[slot] = cached
    fresh = place.caches.fresh.get(place.names.log, {})
    for slot in slots:
        fresh.pop(_key(place.names.lane_file(slot.lane), slot.whole), None)
    requests = [Get(place.names.lane_file(slot.lane), span=(slot.start, slot.bytes)) for slot in missing]
    answers = await place.store.many(requests) if requests else ()
    for slot, answer in zip(missing, answers, strict=True):
        if isinstance(answer, SwampError) and not isinstance(answer, NotFound):
            raise answer
        found[slot] = _decoded(place, slot, answer)
    return found


def _decoded(place: Place, slot: FileSlot, answer: Outcome) -> Stretch | Broken:
    name = place.names.lane_file(slot.lane)
    if isinstance(answer, Got):
        frames = decode_frames(answer.body, slot.lane, slot.start, name)
        pieces = pieces_of(slot.lane, name, slot.start, frames)
        if frames.end == slot.end and len(pieces) == 1:
            piece = pieces[0]
            if isinstance(piece, Stretch):
                _keep(place, name, piece)
            return piece
    place.caches.tails.pop(place.names.log, None)
    raise SegmentGone(f"{name} is gone, or no longer what it was")
