"""Deleting log segments that a published root covers.

Invariants:
- A segment is deleted only when a root whose watermark covers it was published at least the delete grace ago, by the
  store's time: either the root just read, or an older one by its settling mark. Slots at or below a watermark are inert
  for ever, so a crash or a second sweeper changes nothing.
- Quarantined segments, and those of lanes without a watermark, are never deleted.
- A lane file goes as a whole, when it is covered to its end in this sense (or holds nothing), and only by the verb that
  looks at its end again with the lock of its owner in hand (model ``lane_file``).
"""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.protocols.log import Listing
from swampstore.protocols.place import Place
from swampstore.protocols.register import Seen, ripe
from swampstore.stores.lanes import lanes_of
from swampstore.values.lane_file import HEADER_BYTES
from swampstore.values.root import Settling


def covered(place: Place, listing: Listing, roots: Sequence[Seen]) -> list[str]:
    """Names of the listed segments that may be deleted now.

    ``roots`` are what this round has read and published, oldest first: a publish moves a ripe mark up, so the root found
    at the beginning may be the only one whose mark is ripe.
    """
    marks = _ripe_marks(roots)
    kept = _kept(roots)
    found: list[str] = []
    for lane, slots in listing.lanes.items():
        floor = max((mark.watermarks.get(lane, 0) for mark in marks), default=0)
        names = [place.names.segment(lane, slot) for slot in slots if slot <= floor]
        found += [name for name in names if name not in kept] if kept else names
    return found


def covered_files(listing: Listing, roots: Sequence[Seen]) -> dict[str, int]:
    """The listed lane files of which nothing is left to read, by name; and how far that is known. They may be in use."""
    marks, kept = _ripe_marks(roots), _kept(roots)
    found: dict[str, int] = {}
    for lane, tail in listing.files.items():
        floor = max([HEADER_BYTES, *(mark.watermarks.get(lane, 0) for mark in marks)])
        if tail.end <= floor and not tail.more and tail.name not in kept:
            found[tail.name] = floor
    return found


def _ripe_marks(roots: Sequence[Seen]) -> list[Settling]:
    return [mark for seen in roots for mark in _marks(seen) if ripe(mark, seen.time)]


def _kept(roots: Sequence[Seen]) -> set[str]:
    return {item.name for seen in roots for item in seen.root.quarantine}


def _marks(seen: Seen) -> list[Settling]:
    """The mark a root carries, and the root itself: it was published when it was last modified."""
    marks = [Settling(seen.modified, seen.root.watermarks)] if seen.root.version else []
    return marks + ([seen.root.settling] if seen.root.settling is not None else [])


async def sweep_log(place: Place, listing: Listing, *roots: Seen) -> int:
    """Delete what ``roots`` cover of ``listing``; how many segments and lane files."""
    names = covered(place, listing, roots)
    if names:
        await place.store.delete(names)
    lanes, removed = lanes_of(place.store), 0
    if lanes is not None:
        for name, floor in covered_files(listing, roots).items():
            removed += await lanes.remove_lane(name, floor)
    return len(names) + removed
