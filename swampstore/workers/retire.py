"""Writer retirement: how the root forgets writers that are no more, and never one that may still come back.

A writer's lane without a watermark is *new* if it was born after the retire floor and *retired* otherwise. What a retired
writer left in the log is never applied and never deleted; the quarantine names it. Age alone must not decide:
compaction may have been down for days.

Invariants (checked by a small model beside the design):
- The floor rises at most to an hour before the leader's listing began, and only if, with the watermarks published in the
  same CAS, that listing shows nothing unfolded of a writer that is not retired already. A writer acknowledges its first
  segment within 5 minutes of its birth or never, so every acknowledged one born below the floor has a watermark.
- A watermark is dropped only of a writer born at or before the floor that is closed, or born 25 hours before the listing
  (writers end after 24), only if the same watermark stood in a root read before that listing began, and only if the
  listing shows no segment of it at all.
"""

from __future__ import annotations

import msgspec

from swampstore.errors import StaleWrite
from swampstore.limits import QUARANTINE, RETIRE_AGE_MS, RETIRE_FLOOR_LAG_MS
from swampstore.protocols.log import Listing
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.values.names import lane_writer
from swampstore.values.root import NO_ROOT, Quarantined, Root
from swampstore.values.version import writer_birth
from swampstore.workers.leadership import Leadership


def retire(place: Place, prior: Root | None, listing: Listing, new: Root) -> Root:
    """``new``, about to be published, with the floor raised, watermarks dropped and leftovers named, as far as allowed.

    ``prior`` is a root read before ``listing`` began (``None``: none was); ``new`` holds the watermarks of this fold.
    """
    if new.version == 0 and not new.watermarks:
        return new
    floor = _floor(listing, new)
    dropped = _droppable(prior or NO_ROOT, listing, new, floor)
    watermarks = {lane: slot for lane, slot in new.watermarks.items() if lane not in dropped}
    retired = msgspec.structs.replace(
        new,
        retire_floor=floor,
        watermarks=watermarks,
        closed=tuple(lane for lane in new.closed if lane not in dropped),
    )
    return msgspec.structs.replace(retired, quarantine=_with_leftovers(place, listing, retired))


async def retire_alone(
    register: Register,
    leadership: Leadership,
    place: Place,
    prior: Root | None,
    listing: Listing,
    seen: Seen,
    *,
    stay: bool,
) -> int:
    """Retire by a publish of its own, when there is nothing to fold; how many watermarks were dropped.

    The floor alone is not worth one: an idle namespace costs nothing.
    """
    old = seen.root
    new = retire(place, prior, listing, old)
    if old.watermarks == new.watermarks and old.quarantine == new.quarantine:
        return 0
    try:
        await register.publish(seen, leadership.sign(old, new, stay=stay))
    except StaleWrite:
        return 0
    return len(old.watermarks) - len(new.watermarks)


def _floor(listing: Listing, new: Root) -> int:
    for lane, slots in listing.lanes.items():
        if lane_writer(lane) is not None and not new.retired(lane) and slots[-1] > new.watermark(lane):
            return new.retire_floor
    for lane, tail in listing.files.items():
        if not new.retired(lane) and (tail.more or tail.past(new.watermark(lane))):
            return new.retire_floor
    return max(new.retire_floor, listing.time - RETIRE_FLOOR_LAG_MS)


def _droppable(prior: Root, listing: Listing, new: Root, floor: int) -> set[str]:
    closed = frozenset(new.closed)
    dropped: set[str] = set()
    for lane, slot in new.watermarks.items():
        writer = lane_writer(lane)
        if writer is None or listing.shows(lane) or prior.watermarks.get(lane) != slot:
            continue
        birth = writer_birth(writer)
        if birth <= floor and (lane in closed or birth <= listing.time - RETIRE_AGE_MS):
            dropped.add(lane)
    return dropped


def _with_leftovers(place: Place, listing: Listing, root: Root) -> tuple[Quarantined, ...]:
    """The quarantine with the listed segments of retired writers (as many as fit: unnamed ones are not deleted either)."""
    known = {item.name for item in root.quarantine}
    found = [
        Quarantined(name, "left behind by a writer that was retired before it arrived", listing.time)
        for lane, slots in listing.lanes.items()
        if root.retired(lane)
        for slot in slots
        if (name := place.names.segment(lane, slot)) not in known
    ]
    found += [
        Quarantined(tail.name, "left behind by a writer that was retired before it arrived", listing.time)
        for lane, tail in listing.files.items()
        if root.retired(lane) and tail.slots and tail.name not in known
    ]
    return (*root.quarantine, *found[: max(QUARANTINE // 2 - len(known), 0)])
