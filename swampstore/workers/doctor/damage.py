"""Lane files with a hole in them: a frame that cannot be read, and good ones behind it.

A torn frame at the end of a file is normal (its owner died, or is just writing it). One in the middle is damage: readers
stop there for ever, so what lies behind counts for nothing though it was acknowledged. Such a file is never deleted.

Invariants: nothing is called damaged that an owner at work may just be writing; nothing is changed.
"""

from __future__ import annotations

import msgspec

from swampstore.errors import NotFound
from swampstore.protocols.log import Listing
from swampstore.protocols.place import Place
from swampstore.protocols.slots import Broken, SegmentGone, Stretch, Tail
from swampstore.protocols.tails import read_behind
from swampstore.stores.base import Got
from swampstore.values.lane_file import WHOLE_FRAME_BYTES, decode_frames


class Damage(msgspec.Struct, frozen=True):
    """The frame at ``lost_at`` of a lane file cannot be read; ``behind`` is what can be, further on."""

    lane: str
    name: str
    lost_at: int
    behind: tuple[Stretch | Broken, ...]


async def damages(place: Place, listing: Listing) -> list[Damage]:
    """The damaged ones among the lane files of ``listing``. Reads the rest of each, most often a hole.

    Of all of them: where the disk has lost a whole frame to zeros, a file looks as if it ended there.
    """
    found: list[Damage] = []
    for tail in listing.files.values():
        try:
            behind = await read_behind(place, tail)
            if behind and not await _moved_on(place, tail):
                found.append(Damage(tail.lane, tail.name, tail.end, tuple(behind)))
        except (NotFound, SegmentGone):
            continue  # it was swept meanwhile
    return found


async def _moved_on(place: Place, tail: Tail) -> bool:
    """Whether there is a good frame by now where the tail ended: its owner was at work."""
    got = await place.store.get(tail.name, span=(tail.end, WHOLE_FRAME_BYTES))
    assert isinstance(got, Got)
    return decode_frames(got.body, tail.lane, tail.end, tail.name).count > 0
