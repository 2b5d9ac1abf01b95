"""Reading ahead: segments and block indexes that a look-up will need, in one round instead of two.

Invariant: what is brought is as good as not brought. It goes into the caches of immutable things alone; an answer that is
missing, damaged or of a newer format is dropped, and whoever needs it asks for it and judges it as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from swampstore.errors import SwampError
from swampstore.limits import MIB, SEGMENT_RAW_BYTES, SEGMENTS_PER_FETCH
from swampstore.protocols.log import keep_segment, known_segment
from swampstore.protocols.place import Place
from swampstore.protocols.runs import INDEX_WEIGHT
from swampstore.protocols.slots import FileSlot, Slot
from swampstore.stores.base import Get, Got, Outcome
from swampstore.values.root import RunRef
from swampstore.values.run import decode_index, index_span
from swampstore.values.segment import decode_segment

_WHOLE = (0, SEGMENT_RAW_BYTES + MIB)
"""More than any segment takes; what is cut off here is dropped."""


async def read_ahead(place: Place, slots: Sequence[Slot], refs: Sequence[RunRef]) -> None:
    """Bring what is missing of ``slots`` and of the indexes of ``refs``; nothing when one of the two is there already."""
    segments = [slot for slot in slots if not isinstance(slot, FileSlot) and known_segment(place, slot) is None]
    segments = segments[:SEGMENTS_PER_FETCH]
    indexes = [ref for ref in refs if place.caches.indexes.get(ref.name) is None]
    if not segments or not indexes:
        return
    wanted = [Get(place.names.segment(*slot), span=_WHOLE) for slot in segments]
    wanted += [Get(place.full(ref.name), span=index_span(ref)) for ref in indexes]
    answers = await place.store.many(wanted)
    for slot, answer in zip(segments, answers, strict=False):
        _keep_segment(place, slot, answer)
    for ref, answer in zip(indexes, answers[len(segments) :], strict=True):
        _keep_index(place, ref, answer)


def _keep_segment(place: Place, slot: Slot, answer: Outcome) -> None:
    if isinstance(answer, Got):
        with suppress(SwampError):
            keep_segment(place, slot, answer.etag, decode_segment(answer.body, place.names.segment(*slot), *slot))


def _keep_index(place: Place, ref: RunRef, answer: Outcome) -> None:
    if isinstance(answer, Got):
        with suppress(SwampError):
            index = decode_index(answer.body, place.full(ref.name))
            place.caches.indexes.put(ref.name, index, index_span(ref)[1] * INDEX_WEIGHT)
