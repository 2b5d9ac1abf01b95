"""What became of a commit whose outcome stayed unknown.

Invariant: an answer, once given, stays true: an empty slot is filled before it is called lost.
"""

from __future__ import annotations

from swampstore.errors import AlreadyExists
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.stores.base import Create, Got
from swampstore.values.root import Root
from swampstore.values.segment import WRITE_ID_BYTES, SegmentHeader, decode_segment, encode_segment


def remembered(root: Root, lane: str, slot: int, write_id: bytes) -> bool | None:
    """What a root that covers ``slot`` says of the attempt: it counts, another's does, or it is too old to tell."""
    held = next((item for item in root.shared.get(lane, ()) if item.slot == slot), None)
    return None if held is None else held.id == write_id[:8]


async def resolve(place: Place, register: Register, lane: str, slot: int, write_id: bytes) -> bool | None:
    """Whether the attempt named by an ``AmbiguousAppend`` has committed; ``None`` if nobody can tell any more.

    An empty slot is filled with an empty commit, so that the answer, once given, stays true.
    """
    root = (await register.read()).root
    if root.watermark(lane) < slot:
        name = place.names.segment(lane, slot)
        header = SegmentHeader(lane, slot, place.env.random_bytes(WRITE_ID_BYTES), place.clock.now_ms())
        try:
            await place.store.put(name, encode_segment(header, 0, b""), Create())
        except AlreadyExists as error:
            found: Got = error.found
            landed = decode_segment(found.body, name, lane, slot).header.write_id == write_id
        else:
            landed = False
        root = (await register.read()).root
        # Covered meanwhile, the slot may have been used and deleted: what lies there then is inert.
        if root.watermark(lane) < slot:
            return landed
    return remembered(root, lane, slot, write_id)
