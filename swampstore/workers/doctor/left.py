"""Segments that retired writers left behind: what of them is not there yet, and whether it may be applied.

Invariant: a record may be applied only if no tombstone above its version can have been forgotten: tombstones are
forgotten below a line that never falls, so a version at or above today's line is safe.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from swampstore.protocols.log import Broken, Listing, SegmentGone, Slot, fetch
from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.values.entry import Record
from swampstore.values.root import Root
from swampstore.values.version import version_ms
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.lanes import left_behind
from swampstore.workers.doctor.sight import Sight
from swampstore.workers.tombstones import tombstone_line_ms


class Leftover(msgspec.Struct, frozen=True):
    """One segment left behind. ``missing`` are its records that nothing newer stands for."""

    slot: Slot
    name: str
    missing: tuple[Record, ...]
    safe: bool
    problem: str = ""


async def leftovers(place: Place, listing: Listing, root: Root, snapshot: Snapshot) -> AsyncIterator[Leftover]:
    """Every listed segment of a retired writer, in order."""
    line = tombstone_line_ms(root)
    for lane, slots in left_behind(listing, root).items():
        for slot in slots:
            name = place.names.segment(lane, slot)
            try:
                (found,) = await fetch(place, [(lane, slot)])
            except SegmentGone:
                continue
            if isinstance(found, Broken):
                yield Leftover((lane, slot), name, (), False, found.reason)
                continue
            missing = []
            for record in found.records:
                held = await snapshot.record(record.key)
                if held is None or held.version < record.version:
                    missing.append(record)
            safe = all(version_ms(record.version) >= line for record in missing)
            yield Leftover((lane, slot), name, tuple(missing), safe)


async def check_left(sight: Sight) -> list[Finding]:
    """Segments left behind: what is missing of them, and whether a repair can bring it back."""
    if not left_behind(sight.listing, sight.root):
        return []
    found: list[Finding] = []
    snapshot = await SnapshotReader(sight.place, sight.register).open()
    async for one in leftovers(sight.place, sight.listing, sight.root, snapshot):
        if one.problem:
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
