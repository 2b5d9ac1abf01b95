"""The segments that are not folded yet: can each of them be read?

Every reader passes over one that cannot, and so will the fold, so what it held is missing from now on. Until the fold it
counts again as soon as its bytes are back; from then on it is only a name in the quarantine.

Invariants: what is said is what the store holds, whatever this process has read before; what has been folded and deleted
meanwhile is no finding. As many are read as a reader reads, ``MOST`` at most unless all are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swampstore.errors import UnknownFormat
from swampstore.limits import SEGMENTS_PER_FETCH
from swampstore.protocols.log import fetch, unfolded
from swampstore.protocols.place import Caches, Place
from swampstore.protocols.slots import Broken, FileSlot, SegmentGone, Slot
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight

MOST = 4_096
"""Segments that wait, and are read by an examination that is not deep."""


async def check_waiting(sight: Sight, *, deep: bool = False) -> list[Finding]:
    """Read what is not folded. Raises what the store raises."""
    slots = [] if sight.lost else unfolded(sight.listing, sight.root)
    most = len(slots) if deep else MOST
    anew = replace(sight.place, caches=Caches.of(sight.place.env))
    files = [slot for slot in slots[:most] if isinstance(slot, FileSlot)]  # the look has just read them
    others = [slot for slot in slots[:most] if not isinstance(slot, FileSlot)]
    found: list[Finding] = []
    for place, part in ((sight.place, files), (anew, others)):
        for start in range(0, len(part), SEGMENTS_PER_FETCH):
            found += await _looked_at(place, part[start : start + SEGMENTS_PER_FETCH])
    if len(slots) > most:
        text = f"{len(slots) - most:,} of {len(slots):,} segments that are not folded were not read"
        found.append(Finding("log-unread", "note", sight.place.names.log, text, "--deep reads all; or compact first"))
    return found


async def _looked_at(place: Place, slots: Sequence[Slot]) -> list[Finding]:
    """The findings of ``slots``: one that stops the others is looked at alone."""
    try:
        return [_told(one) for one in await fetch(place, slots) if isinstance(one, Broken)]
    except SegmentGone:
        if len(slots) == 1:
            return []
    except UnknownFormat as error:
        if len(slots) == 1:
            hint = "upgrade swampstore on this machine"
            return [Finding("newer-format", "error", error.name or place.names.log, str(error), hint)]
    return [one for slot in slots for one in await _looked_at(place, [slot])]


def _told(one: Broken) -> Finding:
    text = f"it cannot be read and is passed over, what it held is missing: {one.reason}"
    hint = "restore its bytes from a backup before the next fold, and it counts again; or put its keys again"
    return Finding("segment-damaged", "error", one.name, text, hint)
