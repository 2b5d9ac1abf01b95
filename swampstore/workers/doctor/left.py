"""What lies in the log and counts for nothing: segments that retired writers left behind, and frames of a lane file behind
one that the disk has lost. What of them is not there yet, and whether it may be applied.

Invariant: a record may be applied only if no tombstone above its version can have been forgotten: tombstones are
forgotten below a line that never falls, so a version at or above today's line is safe.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from swampstore.protocols.log import Listing, fetch
from swampstore.protocols.place import Place
from swampstore.protocols.slots import Broken, FileSlot, SegmentGone, Slot
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.values.entry import Record
from swampstore.values.root import Root
from swampstore.values.segment import Segment
from swampstore.values.version import version_ms
from swampstore.workers.doctor.damage import Damage, damages
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.lanes import left_behind
from swampstore.workers.doctor.sight import Sight
from swampstore.workers.tombstones import tombstone_line_ms


class Leftover(msgspec.Struct, frozen=True):
    """One segment, or part of a file. ``missing`` are its records that nothing newer stands for.

    ``lost_at`` is where the frame of the file lies that cannot be read; -1 for what a retired writer has left behind.
    """

    slot: Slot
    name: str
    missing: tuple[Record, ...]
    safe: bool
    problem: str = ""
    lost_at: int = -1


async def leftovers(
    place: Place, listing: Listing, root: Root, snapshot: Snapshot, damaged: Sequence[Damage]
) -> AsyncIterator[Leftover]:
    """Every listed segment of a retired writer, then what lies behind the damage of lane files, in order."""
    for slot in left_behind(listing, root):
        try:
            (found,) = await fetch(place, [slot])
        except SegmentGone:
            continue
        yield await _leftover(place, root, snapshot, slot, found)
    for damage in damaged:
        for found in damage.behind:
            left = await _leftover(place, root, snapshot, (damage.lane, damage.lost_at), found)
            yield msgspec.structs.replace(left, name=damage.name, lost_at=damage.lost_at)


async def _leftover(place: Place, root: Root, snapshot: Snapshot, slot: Slot, found: Segment | Broken) -> Leftover:
    lane, number = slot
    name = place.names.lane_file(lane) if isinstance(slot, FileSlot) else place.names.segment(lane, number)
    if isinstance(found, Broken):
        return Leftover(slot, name, (), False, found.reason)
    missing = []
    for record in found.records:
        held = await snapshot.record(record.key)
        if held is None or held.version < record.version:
            missing.append(record)
    line = tombstone_line_ms(root)
    safe = all(version_ms(record.version) >= line for record in missing)
    return Leftover(slot, name, tuple(missing), safe)


async def check_left(sight: Sight) -> list[Finding]:
    """Segments left behind: what is missing of them, and whether a repair can bring it back."""
    if not (left_behind(sight.listing, sight.root) or sight.listing.files):
        return []
    damaged = await damages(sight.place, sight.listing)
    found = [_told(damage) for damage in damaged]
    if sight.lost or not (found or left_behind(sight.listing, sight.root)):
        return found
    snapshot = await SnapshotReader(sight.place, sight.register).open()
    async for one in leftovers(sight.place, sight.listing, sight.root, snapshot, damaged):
        if one.lost_at >= 0:
            found += _behind(one)
        elif one.problem:
            text = f"it arrived after its writer was retired, and cannot be read: {one.problem}"
            found.append(Finding("left-behind", "warning", one.name, text, "it is kept, and applied by nobody"))
        elif not one.missing:
            text = "it arrived after its writer was retired; what it holds is there by now"
            found.append(Finding("left-behind-settled", "note", one.name, text))
        elif one.safe:
            text = f"{len(one.missing):,} records arrived after their writer was retired and are not applied"
            hint = "repair appends them again, with the same versions"
            found.append(Finding("left-behind", "warning", one.name, text, hint, True))
        else:
            text = f"{len(one.missing):,} records arrived after their writer was retired, too late to be applied"
            hint = "they are older than tombstones that may be forgotten: write their keys again if they are wanted"
            found.append(Finding("left-behind", "warning", one.name, text, hint))
    return found


def _told(damage: Damage) -> Finding:
    text = f"the frame at {damage.lost_at} cannot be read, and good ones follow: what it held is missing"
    hint = "the disk has lost it, or the machine stopped before it was written; restore the file from a backup if there is one"
    return Finding("lane-damaged", "error", damage.name, text, hint)


def _behind(one: Leftover) -> list[Finding]:
    """What lies behind a lost frame, as far as it is not there by now."""
    if one.problem:
        text = f"behind the frame that is lost, one cannot be read either: {one.problem}"
        return [Finding("lane-behind", "warning", one.name, text, "it is kept, and applied by nobody")]
    if not one.missing:
        return []
    text = f"{len(one.missing):,} records lie behind the frame that is lost at {one.lost_at}, and are not applied"
    if one.safe:
        hint = "repair appends them again, with the same versions"
        return [Finding("lane-behind", "error", one.name, text, hint, True)]
    hint = "they are older than tombstones that may be forgotten: write their keys again if they are wanted"
    return [Finding("lane-behind", "error", one.name, text, hint)]
