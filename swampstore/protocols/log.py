"""Reading the log: which slots there are, which of them are not folded, and what they hold.

Invariants:
- A lane is read as the contiguous run of slots past its watermark; what lies behind a gap is not yet part of the log.
- A list is only ever paired with a root that was read after it began to be listed, or side by side with it within less
  than the delete grace: then a slot that is missing from the list is either folded in that root or behind a gap.
- A segment that is gone means the root has moved: start again from the root, a bounded number of times.
- A segment is broken only when two whole reads agree on it; a newer format is never "broken".
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from swampstore.env.clock import Span
from swampstore.errors import CorruptObject, Damaged, NotFound, SwampError, TryAgain
from swampstore.limits import DELETE_GRACE_MS, LIST_PAGE, LIST_PAGES, MIB, SEGMENT_RAW_BYTES, SEGMENTS_PER_FETCH
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.stores.base import Get, Got, Info, List, Outcome, Page, Request
from swampstore.values.root import Root
from swampstore.values.segment import Segment, decode_segment

Slot: TypeAlias = tuple[str, int]
"""``(lane, slot)``"""

_log = logging.getLogger("swampstore")

_WHOLE = (0, SEGMENT_RAW_BYTES + MIB)
"""More than any segment takes: what somebody blew up to gigabytes is not read into memory to find that out."""
LOST_ROOT_HINT = "restore the root from a backup (bucket versioning); without one: swamp datastore doctor --repair"

SEGMENT_WEIGHT = 8
"""Decoded size of a segment in memory, as a multiple of its stored size (measured on index entries)."""


class Listing(msgspec.Struct, frozen=True):
    """What one listing of the log showed. ``time`` is the store's time when it began, in ms.

    ``lanes`` maps a lane to its slots in order, ``modified`` to their store times (ms) in the same order; ``bytes`` is
    the size of all names listed.
    """

    lanes: dict[str, list[int]]
    modified: dict[str, list[int]]
    foreign: tuple[str, ...]
    time: int
    names: int
    bytes: int = 0


class Broken(msgspec.Struct, frozen=True):
    """A segment two reads of which agree that it cannot be decoded."""

    slot: Slot
    name: str
    reason: str


class SegmentGone(TryAgain):
    """A listed segment was deleted meanwhile: a newer root covers it."""

    code = "segment-gone"


async def list_and_root(place: Place, register: Register) -> tuple[Listing, Seen]:
    """The log's listing and a root that may be paired with it: two requests side by side when one page is enough."""
    listing, seen, _ = await list_root_and(place, register, ())
    return listing, seen


async def list_root_and(
    place: Place, register: Register, extra: Sequence[Request]
) -> tuple[Listing, Seen, Sequence[Outcome]]:
    """Like :func:`list_and_root`, with the outcomes of ``extra`` requests of the same parallel round."""
    span = Span(place.env)
    before = place.clock.now_ms() if place.clock.calibrated else 0
    first = List(place.names.log, limit=LIST_PAGE)
    page, root, *others = await place.store.many([first, register.request(), *extra])
    if isinstance(page, SwampError):
        raise page
    assert isinstance(page, Page)
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
    else:
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
    return _parse(place, items, began), seen, others


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


def _parse(place: Place, items: Sequence[Info], began: int) -> Listing:
    lanes: dict[str, list[int]] = {}
    modified: dict[str, list[int]] = {}
    foreign: list[str] = []
    for item in items:
        parsed = place.names.parse_segment(item.name)
        if parsed is None:
            foreign.append(item.name)
        else:
            lanes.setdefault(parsed[0], []).append(parsed[1])
            modified.setdefault(parsed[0], []).append(item.modified)
    return Listing(lanes, modified, tuple(foreign), began, len(items), sum(item.size for item in items))


def unfolded(listing: Listing, root: Root) -> list[Slot]:
    """The slots past the root's watermarks, lane by lane, each lane up to its first gap.

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
        for slot in listed:
            if slot == wanted:
                slots.append((lane, slot))
                wanted += 1
            elif slot > wanted:
                break
    return slots


def oldest_ms(listing: Listing, slots: Sequence[Slot]) -> int:
    """When the oldest of ``slots`` was written (store's time, ms); 0 when there is none."""
    first = dict(reversed(slots))
    return min((listing.modified[lane][listing.lanes[lane].index(slot)] for lane, slot in first.items()), default=0)


async def fetch(place: Place, slots: Sequence[Slot]) -> list[Segment | Broken]:
    """What each of ``slots`` holds, in order, from the cache or read side by side.

    Raises ``SegmentGone`` if one was deleted meanwhile, ``UnknownFormat`` for one of a newer program.
    """
    found: dict[Slot, Segment | Broken] = {}
    missing: list[Slot] = []
    for slot in slots:
        cached = place.caches.segments.get(place.names.segment(*slot))
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
                place.caches.segments.put(name, decoded, decoded.stored_bytes * SEGMENT_WEIGHT + 1000)
    return [found[slot] for slot in slots]


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
