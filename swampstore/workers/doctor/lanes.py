"""The log: are watermarks and listed slots contiguous, is it folded and swept, and what was set aside?

A slot is created only when the one before it is there, and deleted only when a published root covers it. So a slot that
is missing below a later one was there once, and was covered by some root: a root that does not cover it is an older
one, or never knew of the lane's watermark.
"""

from __future__ import annotations

from swampstore.limits import LEADER_TTL_MS, STORE_TIME_GRAIN_MS, WRITER_LIFE_S
from swampstore.protocols.log import Listing, listed_slots, oldest_ms, segments_in, unfolded
from swampstore.protocols.slots import Slot
from swampstore.values.names import lane_writer
from swampstore.values.root import Root
from swampstore.values.version import writer_birth
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight, list_log, read_root

SLOW_MS = 3_600_000
"""Folding and sweeping the log takes seconds; what waits for an hour waits for somebody."""
LEFT_BEHIND = "left behind"
REBUILT_VERSION = 10**12
"""Versions of a root that was rebuilt begin with a time in ms; no namespace publishes so many."""


async def check_lanes(sight: Sight) -> list[Finding]:
    """Gaps between a watermark and the slots behind it."""
    first = gaps(sight.listing, sight.root) if sight.root.version else {}
    if not first:
        return []
    # Pages of a listing are not one moment: look again before anything is said.
    seen, _, _ = await read_root(sight.place)
    listing = await list_log(sight.place, seen.root)
    seen, _, _ = await read_root(sight.place)
    found: list[Finding] = []
    for lane, (missing, later) in gaps(listing, seen.root).items():
        if first.get(lane, (0, 0))[0] != missing:
            continue
        name = sight.place.names.segment(lane, missing)
        text = f"it is missing, but slot {later} of its lane exists: that and all behind it is not read"
        if forgotten(seen.root, lane):
            hint = "the root has forgotten how far this lane was folded; repair writes that down again"
            found.append(Finding("lost-watermark", "error", name, text, hint, True))
        else:
            hint = "was an older root restored, or a segment deleted by hand? see: how to recover a lost root"
            found.append(Finding("log-gap", "error", name, text, hint))
    return found


def forgotten(root: Root, lane: str) -> bool:
    """Whether a gap in ``lane`` means that ``root`` does not know how far it was folded.

    It never knew the lane, or it was rebuilt: then what is missing was deleted under the root that was lost. The lanes that
    a rebuild makes up a watermark for are not among them.
    """
    return lane_writer(lane) is not None and (lane not in root.watermarks or root.version > REBUILT_VERSION)


def gaps(listing: Listing, root: Root) -> dict[str, tuple[int, int]]:
    """``lane -> (first missing slot, the first one listed behind it)`` past the watermarks."""
    found: dict[str, tuple[int, int]] = {}
    for lane, slots in listing.lanes.items():
        wanted = root.watermark(lane) + 1
        for slot in () if root.retired(lane) else slots:
            if slot > wanted:
                found[lane] = (wanted, slot)
                break
            wanted = max(wanted, slot + 1)
    return found


async def check_aside(sight: Sight) -> list[Finding]:
    """Segments in the quarantine, and names in the log that are no segment's. See also :mod:`.left`."""
    found: list[Finding] = []
    for item in sight.root.quarantine:
        if item.reason.startswith(LEFT_BEHIND):
            continue
        text = f"a segment was passed over, what it held is missing: {item.reason}"
        hint = "restore its bytes from a backup and put its keys again, or ask its writer to; it is never deleted"
        found.append(Finding("quarantined", "warning", item.name, text, hint))
    if sight.listing.foreign:
        text = f"{len(sight.listing.foreign)} names in the log that are no segment's; they are ignored"
        found.append(Finding("foreign-names", "note", sight.listing.foreign[0], text, "find out who writes there"))
    return found


def left_behind(listing: Listing, root: Root) -> list[Slot]:
    """The listed slots of retired writers."""
    return [slot for slot in listed_slots(listing) if root.version and root.retired(slot[0])]


def _birth_ms(lane: str) -> int:
    writer = lane_writer(lane)
    return writer_birth(writer) if writer is not None else 0


async def check_upkeep(sight: Sight) -> list[Finding]:
    """A log that is not folded or not swept, a leader that does nothing."""
    root, listing = sight.root, sight.listing
    found: list[Finding] = []
    slots = [] if sight.lost else unfolded(listing, root)
    waited = sight.time - oldest_ms(listing, slots) if slots else 0
    if waited > SLOW_MS:
        text = f"{segments_in(slots):,} segments are not folded, the oldest for {waited / 3_600_000:.1f} h"
        found.append(Finding("fold-behind", "warning", sight.place.names.log, text, "run: swamp datastore compact"))
    kept = {item.name for item in root.quarantine}
    old = [
        sight.place.names.segment(lane, slot)
        for lane, listed in listing.lanes.items()
        for slot, modified in zip(listed, listing.modified[lane], strict=True)
        if slot <= root.watermark(lane) and sight.time - modified > SLOW_MS
    ]
    old += [
        tail.name
        for lane, tail in listing.files.items()
        if not tail.slots and listing.time - _birth_ms(lane) > WRITER_LIFE_S * 1000 + SLOW_MS
    ]
    old = [name for name in old if name not in kept]
    if old and sight.time - sight.seen.modified > SLOW_MS:
        text = f"{len(old):,} folded segments are not deleted"
        found.append(Finding("sweep-behind", "note", old[0], text, "run: swamp datastore compact"))
    idle = sight.time - sight.seen.modified
    if root.leader is not None and waited > 4 * LEADER_TTL_MS and idle > 4 * LEADER_TTL_MS + STORE_TIME_GRAIN_MS:
        text = f"{root.leader.who or root.leader.id} leads since epoch {root.epoch} and has folded nothing for {idle / 1000:.0f} s"
        hint = "another compactor takes over by itself; or run: swamp datastore compact"
        found.append(Finding("leader-idle", "warning", sight.place.names.root, text, hint))
    return found
