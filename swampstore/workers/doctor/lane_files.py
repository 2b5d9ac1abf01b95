"""Lane files that are not what they were made as: another lane's, cut off, or with a header that cannot be read.

Readers need none of that: frames prove by themselves where they belong. So nothing here stops anybody, and what such a file
held may be missing without anything else that shows it.

Invariant: nothing is said of a file that is as its owner made it, whatever its owner does meanwhile.
"""

from __future__ import annotations

from swampstore.errors import CorruptObject, NotFound, SwampError
from swampstore.limits import LANE_FILE_BYTES
from swampstore.protocols.slots import Tail
from swampstore.stores.base import Get, Got
from swampstore.stores.lanes import lanes_of
from swampstore.values.lane_file import HEADER_BYTES, decode_header
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight


async def check_lane_files(sight: Sight) -> list[Finding]:
    """One small read of each lane file. Raises ``UnknownFormat``, and what the store raises."""
    tails = list(sight.listing.files.values())
    if not tails:
        return []
    lanes = lanes_of(sight.place.store)
    whole = LANE_FILE_BYTES if lanes is not None and lanes.sized else 0
    found: list[Finding] = []
    answers = await sight.place.store.many([Get(tail.name, span=(0, HEADER_BYTES)) for tail in tails])
    for tail, answer in zip(tails, answers, strict=True):
        if isinstance(answer, NotFound):
            continue  # swept meanwhile
        if isinstance(answer, SwampError):
            raise answer
        assert isinstance(answer, Got)
        found += _header(sight, tail, answer.body)
        if answer.size < whole:
            text = f"it ends at {answer.size:,}, and was made {whole:,} long: what it held behind that, if anything, is missing"
            hint = "it was cut off, or the machine stopped before it was on the disk; restore it from a backup if there is one"
            found.append(Finding("lane-cut", "warning", tail.name, text, hint))
    return found


def _header(sight: Sight, tail: Tail, head: bytes) -> list[Finding]:
    try:
        lane = decode_header(head, tail.name).lane
    except CorruptObject:
        text = "its header cannot be read; the frames of the file count all the same"
        hint = "the disk has lost it: look for what else it has"
        return [Finding("lane-header", "warning", tail.name, text, hint)]
    if lane == tail.lane:
        return []
    text = f"it is the file of lane {lane}: what that held is not read here, and what belongs here is missing"
    hint = f"if it is of this namespace, move it to {sight.place.names.lane_file(lane)}; it is never deleted"
    return [Finding("lane-misplaced", "error", tail.name, text, hint)]
