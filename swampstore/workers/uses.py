"""Which contents are still named: by any record of the manifest, by an unfolded segment, by a quarantined one.

Invariants:
- The log is listed before the root is read, so a delta is seen in one of the two.
- Every version of an entry counts, shadowed ones too; so does every listed segment past a watermark, behind a gap or not.
- A segment that cannot be decoded may name anything that was in the store when it was written: all of that is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from swampstore.errors import NotFound, SwampError
from swampstore.limits import CLOCK_OFF_MS, READ_RESTARTS, SEGMENTS_PER_FETCH
from swampstore.protocols.log import Listing, fetch, list_and_root, listed_ms
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.protocols.slots import Broken, SegmentGone, Slot, Tail
from swampstore.protocols.tails import read_behind
from swampstore.stores.base import Get, Got, Head, Headed
from swampstore.values.entry import Record, content_of
from swampstore.values.lane_file import HEADER_BYTES, misplaced
from swampstore.values.names import lane_writer, unique_ms
from swampstore.values.root import Root
from swampstore.values.run import decode_block
from swampstore.values.version import version_ms, writer_birth
from swampstore.workers.run_reader import RunReader

_YOUNG_MS = 3_600_000


class Uses(msgspec.Struct, frozen=True):
    """Of the contents asked about, those ``named``; ``held_until_ms``: any content made before may be named."""

    seen: Seen
    named: frozenset[str]
    held_until_ms: int

    def free(self, name: str) -> bool:
        """Whether nothing can name the content ``<kind>/<unique>``."""
        return name not in self.named and unique_ms(name.rpartition("/")[2]) > self.held_until_ms


async def list_then_root(place: Place, register: Register) -> tuple[Listing, Seen]:
    """A listing of the log and a root read after it ended."""
    listing, _ = await list_and_root(place, register)
    return listing, await register.read()


async def find_uses(place: Place, register: Register, contents: Iterable[str]) -> Uses:
    """Which of ``contents`` (``<kind>/<unique>``) are named. Reads the whole manifest, a few shards at a time."""
    wanted = frozenset(contents)
    for _ in range(READ_RESTARTS):
        listing, seen = await list_then_root(place, register)
        try:
            named, held = await _in_log(place, listing, seen.root, wanted)
        except SegmentGone:
            continue
        named |= _named((*seen.root.inline, *seen.root.eph.inline), wanted)
        named |= await _in_runs(place, seen.root, wanted)
        return Uses(seen, frozenset(named), held)
    raise SegmentGone(f"{place.names.namespace}: the log moved during {READ_RESTARTS} reads in a row")


def _named(records: Iterable[Record], wanted: frozenset[str]) -> set[str]:
    return {name for record in records if (name := content_of(record)) is not None and name in wanted}


async def _in_runs(place: Place, root: Root, wanted: frozenset[str]) -> set[str]:
    refs = (*root.level0, *root.shards, *root.eph.runs)
    reader = RunReader(place, refs)
    named: set[str] = set()
    for ref in refs:
        for info, stored in await reader.next():
            named |= _named(decode_block(info, stored, place.full(ref.name)), wanted)
    return named


async def _in_log(place: Place, listing: Listing, root: Root, wanted: frozenset[str]) -> tuple[set[str], int]:
    """Contents named past the watermarks and in the quarantine, and until when (ms) everything is held."""
    past: list[Slot] = [
        (lane, slot) for lane, slots in listing.lanes.items() for slot in slots if slot > root.watermark(lane)
    ]
    for lane, tail in listing.files.items():
        past += tail.past(root.watermark(lane))
    quarantined = await _still_there(place, root)
    named, held = await _out_of_reach(place, listing, root, wanted)
    slots = list(dict.fromkeys((*past, *quarantined)))
    for start in range(0, len(slots), SEGMENTS_PER_FETCH):
        for found in await fetch(place, slots[start : start + SEGMENTS_PER_FETCH]):
            if isinstance(found, Broken):
                written = quarantined.get(found.slot) or listed_ms(listing, found.slot)
                held = max(held, written + CLOCK_OFF_MS)
            else:
                named |= _named(found.records, wanted)
    return named, held


async def _out_of_reach(place: Place, listing: Listing, root: Root, wanted: frozenset[str]) -> tuple[set[str], int]:
    """The same for what lane files hold and nobody reads: broken frames that were passed over, damage, what lies behind."""
    named: set[str] = set()
    held = 0
    for item in root.quarantine:
        if place.names.parse_lane_file(item.name) in listing.files:
            held = max(held, item.time + CLOCK_OFF_MS)
    suspects = [tail for tail in listing.files.values() if _suspect(tail, listing.time)]
    if await _misplaced(place, suspects):
        held = max(held, listing.time)
    for tail in suspects:
        for found in await read_behind(place, tail):
            if isinstance(found, Broken):
                held = max(held, listing.time)
            else:
                named |= _named(found.records, wanted)
                held = max([held, *(version_ms(record.version) + CLOCK_OFF_MS for record in found.records)])
    return named, held


def _suspect(tail: Tail, now_ms: int) -> bool:
    """Whether a lane file may hold more than is read of it: it does not end in free space, or is there for long.

    Where the disk has lost a whole frame to zeros it looks as if it ended there; but no content that a frame names is
    deleted within an hour of it.
    """
    writer = lane_writer(tail.lane)
    return tail.stuck or (writer is not None and now_ms - writer_birth(writer) > _YOUNG_MS)


async def _misplaced(place: Place, tails: Sequence[Tail]) -> bool:
    """Whether one of the files is another lane's: until it is moved back, it may name anything."""
    answers = await place.store.many([Get(tail.name, span=(0, HEADER_BYTES)) for tail in tails]) if tails else ()
    for tail, answer in zip(tails, answers, strict=True):
        if isinstance(answer, Got):
            if misplaced(answer.body, tail.lane, tail.name):
                return True
        elif isinstance(answer, SwampError) and not isinstance(answer, NotFound):
            raise answer
    return False


async def _still_there(place: Place, root: Root) -> dict[Slot, int]:
    """The quarantined segments that exist, with the store's time (ms) they were written at."""
    slots = [slot for item in root.quarantine if (slot := place.names.parse_segment(item.name)) is not None]
    answers = await place.store.many([Head(place.names.segment(*slot)) for slot in slots]) if slots else ()
    there: dict[Slot, int] = {}
    for slot, answer in zip(slots, answers, strict=True):
        if isinstance(answer, Headed):
            there[slot] = answer.info.modified
        elif isinstance(answer, SwampError) and not isinstance(answer, NotFound):
            raise answer
    return there
