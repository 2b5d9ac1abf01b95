"""Reading the log: which slots there are, which of them are not folded, and what they hold.

Invariants:
- A lane is read as the contiguous run of slots past its watermark; what lies behind a gap is not yet part of the log.
- A list is only ever paired with a root that was read after it began to be listed, or side by side with it within less
  than the delete grace: then a slot that is missing from the list is either folded in that root or behind a gap.
- A segment that is gone means the root has moved: start again from the root, a bounded number of times.
- A segment is broken only when two whole reads agree on it; a newer format is never "broken".
- A lane that is a file is read to its end with every listing (:mod:`swampstore.protocols.tails`): what it shows is a prefix
  of whole frames, read after the listing began.
- Slots that an older root covers may be left out of a listing, and a lane be told only up to the first that is missing.
  Such a listing counts only if the root, read after it, covers what was left out and not that first one
  (:func:`_reaches`): then nobody had deleted it, and it shows what a listing of everything would.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import msgspec

from swampstore.env.clock import Span
from swampstore.errors import CorruptObject, Damaged, NotFound, SwampError
from swampstore.limits import (
    DELETE_GRACE_MS,
    LANE_BYTES_PER_SEGMENT,
    LIST_PAGE,
    LIST_PAGES,
    MIB,
    SEGMENT_RAW_BYTES,
    SEGMENTS_PER_FETCH,
)
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.protocols.slots import (
    NO_TAILS,
    Broken,
    FileSlot,
    ListedSlot,
    SegmentGone,
    Slot,
    Tail,
    Tails,
    etag_of,
)
from swampstore.protocols.tails import fetch_frames, read_tails
from swampstore.stores.base import Get, Got, Info, List, Outcome, Page, Request
from swampstore.stores.lanes import LaneLook, lanes_of
from swampstore.values.names import LANE_PART
from swampstore.values.root import NO_ROOT, Root
from swampstore.values.segment import Segment, decode_segment

__all__ = ["Broken", "Listing", "SegmentGone", "Slot", "Unfolded", "fetch", "list_and_root", "unfolded"]

_log = logging.getLogger("swampstore")

_WHOLE = (0, SEGMENT_RAW_BYTES + MIB)
"""More than any segment takes: what somebody blew up to gigabytes is not read into memory to find that out."""
LOST_ROOT_HINT = "restore the root from a backup (bucket versioning); without one: swamp datastore doctor --repair"

SEGMENT_WEIGHT = 8
"""Decoded size of a segment in memory, as a multiple of its stored size (measured on index entries)."""


class Listing(msgspec.Struct, frozen=True):
    """What one listing of the log showed. ``time`` is the store's time when it began, in ms.

    ``lanes`` maps a lane to its slots in order, ``modified`` to their store times (ms) in the same order; ``files`` maps
    a lane that is a file to its tail. ``bytes`` is the size of all names listed, of lane files what is used of it.
    ``etags`` are those of the slots, as ``modified``.
    """

    lanes: dict[str, list[int]]
    modified: dict[str, list[int]]
    foreign: tuple[str, ...]
    time: int
    names: int
    bytes: int = 0
    files: dict[str, Tail] = {}
    etags: dict[str, list[str]] = {}

    def shows(self, lane: str) -> bool:
        """Whether anything of ``lane`` is there."""
        return lane in self.lanes or lane in self.files


async def list_and_root(place: Place, register: Register, *, most_bytes: int | None = None) -> tuple[Listing, Seen]:
    """The log's listing and a root that may be paired with it: two requests side by side when one page is enough.

    One more request for each lane that is a file; of all those together ``most_bytes`` are read, if that is given.
    """
    listing, seen, _ = await list_root_and(place, register, (), most_bytes=most_bytes)
    return listing, seen


async def list_root_and(
    place: Place, register: Register, extra: Sequence[Request], *, most_bytes: int | None = None, folded: bool = True
) -> tuple[Listing, Seen, Sequence[Outcome]]:
    """Like :func:`list_and_root`, with the outcomes of ``extra`` requests of the same parallel round.

    Without ``folded`` only what is not folded is wanted: all else may be left out, where that is cheaper.
    """
    span = Span(place.env)
    before = place.clock.now_ms() if place.clock.calibrated else 0
    known = place.caches.tails.get(place.names.log, NO_TAILS)
    after = {} if folded else _covered(place, register)
    page, look, root, others = await _first_page(place, register, extra, known, after)
    place.clock.calibrate(page.time)  # before the root: one that is missing is dated by this clock
    seen = register.take(root)
    began = page.time
    span.saw(began)
    items = list(page.items)
    for _ in range(LIST_PAGES):
        if not page.more:
            break
        page = await place.store.list(place.names.log, start_after=items[-1].name, limit=LIST_PAGE)
        items += page.items
    if page.more or len(items) > LIST_PAGE * LIST_PAGES:
        raise Damaged(f"{place.names.log}: more than {LIST_PAGE * LIST_PAGES} names", name=place.names.log)
    place.clock.calibrate(page.time)
    span.saw(page.time)
    # A machine that stood still between the two answers shows in the store's times alone. Where a missing root has none,
    # it was looked for after what this process knew the time to be before.
    timed = seen.root.version or (isinstance(root, NotFound) and root.time)
    looked = seen.time if timed else before
    if max(span.seconds() * 1000, page.time - looked) >= DELETE_GRACE_MS / 2:
        seen = await register.read()
    if seen.root.version == 0 and not register.known_new:
        await refuse_lost_root(place)
        register.known_new = True
    listing, files = parse_listing(place, items, began)
    if files or look is not None:
        new = (known, look) if look is not None else None
        listing, gone = await with_tails(place, listing, files, seen.root, looked=new, most_bytes=most_bytes)
        if gone:
            seen = await register.read()  # it covers what was in the file that is gone
    if look is not None and not _reaches(listing, after, seen.root):
        return await list_root_and(place, register, extra, most_bytes=most_bytes)
    return listing, seen, others


def _covered(place: Place, register: Register) -> dict[str, int]:
    """The shared lanes that the last root read covers something of, and up to which slot; none where it is no use."""
    lanes = lanes_of(place.store)
    root = register.last.root if register.last and lanes is not None and lanes.chosen else NO_ROOT
    return {lane: root.watermark(lane) for lane in root.shared if root.watermark(lane)}


def _reaches(listing: Listing, after: Mapping[str, int], root: Root) -> bool:
    """Whether a listing that told of lanes only what is behind ``after`` holds all that ``root`` does not cover.

    It does when each lane's watermark lies between the slot it began behind and the last one found: no root that was
    published before the next one was looked for covers that, so nobody had deleted it.
    """
    return all(slot <= root.watermark(lane) <= listing.lanes.get(lane, [slot])[-1] for lane, slot in after.items())


async def _first_page(
    place: Place, register: Register, extra: Sequence[Request], known: Tails, after: Mapping[str, int]
) -> tuple[Page, LaneLook | None, Outcome, Sequence[Outcome]]:
    """The first page of the log, a look at the lane files that are known already, the root, and the others.

    Side by side; where lanes are looked at together with the listing, that comes first.
    """
    lanes = lanes_of(place.store)
    if lanes is not None:
        look = await lanes.look(place.names.log, LANE_PART, known.ends, after)
        if look is not None:
            root, *others = await place.store.many([register.request(), *extra])
            return look.page, look, root, others
    page, root, *others = await place.store.many([List(place.names.log, limit=LIST_PAGE), register.request(), *extra])
    if isinstance(page, SwampError):
        raise page
    assert isinstance(page, Page)
    return page, None, root, others


async def with_tails(
    place: Place,
    listing: Listing,
    files: Sequence[Info],
    root: Root,
    *,
    looked: tuple[Tails, LaneLook] | None = None,
    most_bytes: int | None = None,
) -> tuple[Listing, bool]:
    """``listing`` with the tails of its lane files behind the watermarks of ``root``; and whether one was gone by then.

    Such a file is not in the result. Whoever goes on with it must read the root again: a published one covers the file.
    """
    lanes = {lane: info for info in files if (lane := place.names.parse_lane_file(info.name)) is not None}
    found, gone = await read_tails(place, lanes, root, looked=looked, most_bytes=most_bytes)
    size = listing.bytes - sum(info.size for info in files) + found.bytes
    names = listing.names + (len(looked[1].there) if looked is not None else 0)
    return msgspec.structs.replace(listing, files=found.tails, names=names, bytes=size), gone


async def refuse_lost_root(place: Place) -> None:
    """Raise ``Damaged`` when there is no root but there are shards: only a namespace that had a root has those."""
    folder = place.names.folder("shard")
    page = await place.store.list(folder, limit=1)
    if not page.items:
        return
    try:
        await place.store.head(place.names.root)  # it may have come, and been merged, since it was looked for
    except NotFound:
        raise Damaged(
            f"{place.names.root} is missing, but there are shards: a root has been lost",
            name=place.names.root,
            hint=LOST_ROOT_HINT,
        ) from None


def parse_listing(place: Place, items: Sequence[Info], began: int) -> tuple[Listing, list[Info]]:
    """What ``items`` show, and those of them that are lane files, not read yet."""
    lanes: dict[str, list[int]] = {}
    modified: dict[str, list[int]] = {}
    etags: dict[str, list[str]] = {}
    foreign: list[str] = []
    files: list[Info] = []
    for item in items:
        parsed = place.names.parse_segment(item.name)
        if parsed is not None:
            lanes.setdefault(parsed[0], []).append(parsed[1])
            modified.setdefault(parsed[0], []).append(item.modified)
            etags.setdefault(parsed[0], []).append(item.etag)
        elif place.names.parse_lane_file(item.name) is not None:
            files.append(item)
        else:
            foreign.append(item.name)
    size = sum(item.size for item in items)
    return Listing(lanes, modified, tuple(foreign), began, len(items), size, etags=etags), files


def unfolded(listing: Listing, root: Root) -> list[Slot]:
    """The slots past the root's watermarks, lane by lane, each lane up to its first gap; of lane files
    what lies behind it.

    Raises ``Damaged`` when there is no root and a lane does not begin at slot 1: a root has been lost.
    """
    slots: list[Slot] = []
    for lane, listed in listing.lanes.items():
        if root.version == 0 and listed[0] != 1:
            raise Damaged(
                f"the log of lane {lane} begins at slot {listed[0]}, but the namespace has no root",
                name=lane,
                hint=LOST_ROOT_HINT,
            )
        if root.retired(lane):
            continue
        wanted = root.watermark(lane) + 1
        etags = listing.etags.get(lane)
        for at, slot in enumerate(listed):
            if slot == wanted:
                slots.append((lane, slot) if etags is None else ListedSlot(lane, slot, etags[at]))
                wanted += 1
            elif slot > wanted:
                break
    for lane, tail in listing.files.items():
        if tail.slots and not root.retired(lane):
            slots += tail.past(root.watermark(lane))
    return slots


class Unfolded:
    """The unfolded slots of one listing after the other, worked out again only when something has changed.

    ``depth`` is that of the last ones (see :func:`depth_of`).
    """

    def __init__(self) -> None:
        self.depth = 0
        self._last: tuple[Listing, Root, tuple[Slot, ...]] | None = None

    def of(self, listing: Listing, root: Root) -> tuple[Slot, ...]:
        """See :func:`unfolded`."""
        if self._last is not None:
            before, held, slots = self._last
            same = before.lanes == listing.lanes and before.etags == listing.etags
            if held is root and same and before.files == listing.files:
                return slots
        slots = tuple(unfolded(listing, root))
        self.depth = depth_of(slots)
        self._last = (listing, root, slots)
        return slots


def listed_slots(listing: Listing) -> list[Slot]:
    """Every slot that is listed, folded or not, behind a gap or not; of lane files what was read."""
    slots: list[Slot] = [
        ListedSlot(lane, slot, etag)
        for lane, held in listing.lanes.items()
        for slot, etag in zip(held, listing.etags[lane], strict=True)
    ]
    for tail in listing.files.values():
        slots += tail.slots
    return slots


def oldest_ms(listing: Listing, slots: Sequence[Slot]) -> int:
    """When the oldest of ``slots`` was written (store's time, ms); 0 when there is none."""
    first = {slot[0]: slot for slot in reversed(slots)}
    return min((listed_ms(listing, slot) for slot in first.values()), default=0)


def listed_ms(listing: Listing, slot: Slot) -> int:
    """When ``slot`` of ``listing`` was written (store's time, ms), of a file slot its first record."""
    if isinstance(slot, FileSlot):
        return slot.made_ms or listing.time
    lane, number = slot
    return listing.modified[lane][listing.lanes[lane].index(number)]


def segments_in(slots: Sequence[Slot]) -> int:
    """How many segments ``slots`` are: each frame of a lane file counts as one."""
    return sum(slot.frames if isinstance(slot, FileSlot) else 1 for slot in slots)


def depth_of(slots: Sequence[Slot]) -> int:
    """What it costs to read ``slots``, as a number of segments: many frames of a lane file are read as one."""
    size: dict[str, int] = {}
    objects = 0
    for slot in slots:
        if isinstance(slot, FileSlot):
            size[slot[0]] = size.get(slot[0], 0) + slot.bytes
        else:
            objects += 1
    return objects + sum(-(-held // LANE_BYTES_PER_SEGMENT) for held in size.values())


async def fetch(place: Place, slots: Sequence[Slot]) -> list[Segment | Broken]:
    """What each of ``slots`` holds, in order, from the cache or read side by side.

    Raises ``SegmentGone`` if one was deleted meanwhile, ``UnknownFormat`` for one of a newer program.
    """
    frames = [slot for slot in slots if isinstance(slot, FileSlot)]
    found = await fetch_frames(place, frames) if frames else {}
    missing: list[Slot] = []
    for slot in slots:
        if isinstance(slot, FileSlot):
            continue
        cached = known_segment(place, slot)
        if cached is None:
            missing.append(slot)
        else:
            found[slot] = cached
    for start in range(0, len(missing), SEGMENTS_PER_FETCH):
        part = missing[start : start + SEGMENTS_PER_FETCH]
        answers = await place.store.many([Get(place.names.segment(*slot), span=_WHOLE) for slot in part])
        for slot, answer in zip(part, answers, strict=True):
            name = place.names.segment(*slot)
            if isinstance(answer, NotFound):
                raise SegmentGone(f"{name} is gone")
            if isinstance(answer, SwampError):
                raise answer
            assert isinstance(answer, Got)
            found[slot] = decoded = await _decode(place, slot, answer.body)
            if isinstance(decoded, Segment):
                keep_segment(place, slot, answer.etag, decoded)
    return [found[slot] for slot in slots]


def known_segment(place: Place, slot: Slot) -> Segment | None:
    """What the cache holds of the very object that was listed in ``slot``."""
    etag = etag_of(slot)
    return place.caches.segments.get(_segment_key(place, slot, etag)) if etag else None


def keep_segment(place: Place, slot: Slot, etag: str, segment: Segment) -> None:
    """Put ``segment`` into the cache, as what the object ``etag`` in ``slot`` holds."""
    weight = segment.stored_bytes * SEGMENT_WEIGHT + 1000
    place.caches.segments.put(_segment_key(place, slot, etag), segment, weight)


def _segment_key(place: Place, slot: Slot, etag: str) -> str:
    return f"{place.names.segment(*slot)} {etag}"


async def _decode(place: Place, slot: Slot, body: bytes) -> Segment | Broken:
    """Decode a segment; before it is called broken it is read once more (a cut answer is no damage)."""
    name = place.names.segment(*slot)
    try:
        return decode_segment(body, name, *slot)
    except CorruptObject as first:
        try:
            again = await place.store.get(name, span=_WHOLE)
        except NotFound as gone:
            raise SegmentGone(f"{name} is gone") from gone
        assert isinstance(again, Got)
        if again.body == body:
            _log.warning("a damaged segment is passed over, what it held is missing: %s", first)
            return Broken(slot, name, str(first))
        return decode_segment(again.body, name, *slot)
