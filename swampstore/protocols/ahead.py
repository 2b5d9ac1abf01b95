"""Reading ahead: segments and block indexes that a look-up will need, in one round instead of two.

Invariant: what is brought is as good as not brought. It goes into the caches of immutable things alone; an answer that is
missing, damaged or of a newer format is dropped, and whoever needs it asks for it and judges it as ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.errors import SwampError
from swampstore.limits import MIB, SEGMENT_RAW_BYTES, SEGMENTS_PER_FETCH
from swampstore.protocols.log import SEGMENT_WEIGHT
from swampstore.protocols.place import Place
from swampstore.protocols.runs import INDEX_WEIGHT
from swampstore.protocols.slots import FileSlot, Slot
from swampstore.stores.base import Get, Got
from swampstore.values.root import RunRef
from swampstore.values.run import decode_index, index_span
from swampstore.values.segment import decode_segment

_WHOLE = (0, SEGMENT_RAW_BYTES + MIB)
"""More than any segment takes; what is cut off here is dropped."""


async def read_ahead(place: Place, slots: Sequence[Slot], refs: Sequence[RunRef]) -> None:
    """Bring what is missing of ``slots`` and of the indexes of ``refs``; nothing when one of the two is there already."""
    segments = [slot for slot in slots if not isinstance(slot, FileSlot) and not _known(place, slot)]
    segments = segments[:SEGMENTS_PER_FETCH]
    indexes = [ref for ref in refs if place.caches.indexes.get(ref.name) is None]
    if not segments or not indexes:
        return
    wanted = [Get(place.names.segment(*slot), span=_WHOLE) for slot in segments]
    wanted += [Get(place.full(ref.name), span=index_span(ref)) for ref in indexes]
    bodies = [answer.body if isinstance(answer, Got) else None for answer in await place.store.many(wanted)]
    for slot, body in zip(segments, bodies, strict=False):
        _keep_segment(place, slot, body)
    for ref, body in zip(indexes, bodies[len(segments) :], strict=True):
        _keep_index(place, ref, body)


def _known(place: Place, slot: Slot) -> bool:
    return place.caches.segments.get(place.names.segment(*slot)) is not None


def _keep_segment(place: Place, slot: Slot, body: bytes | None) -> None:
    name = place.names.segment(*slot)
    try:
        segment = decode_segment(body, name, *slot) if body is not None else None
    except SwampError:
        return
    if segment is not None:
        place.caches.segments.put(name, segment, segment.stored_bytes * SEGMENT_WEIGHT + 1000)


def _keep_index(place: Place, ref: RunRef, body: bytes | None) -> None:
    try:
        index = decode_index(body, place.full(ref.name)) if body is not None else None
    except SwampError:
        return
    if index is not None:
        place.caches.indexes.put(ref.name, index, index_span(ref)[1] * INDEX_WEIGHT)
