"""How long tombstones are needed.

Invariants: a tombstone outlives every put it may have to hide. It is dropped only 48 hours below the retire floor and
the birth of every writer that has a watermark: no older put of its key can arrive any more.
"""

from __future__ import annotations

from swampstore.limits import TOMBSTONE_AGE_MS
from swampstore.values.names import lane_writer
from swampstore.values.root import Root
from swampstore.values.version import writer_birth


def tombstone_line_ms(root: Root) -> int:
    """Tombstones with a version before this time (ms) are needed by nobody; 0 or less when all are."""
    births = [writer_birth(writer) for lane in root.watermarks if (writer := lane_writer(lane)) is not None]
    return min([root.retire_floor, *births]) - TOMBSTONE_AGE_MS
