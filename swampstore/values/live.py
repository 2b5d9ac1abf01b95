"""What readers see of records: the entries that are live at a time, made by the block.

Invariants: a tombstone, what has expired and what is the library's own is no entry; the error for an entry that cannot
be read names its key.
"""

from __future__ import annotations

from swampstore.limits import META_BYTES
from swampstore.values.block import Block
from swampstore.values.entry import EPHEMERAL, TOMBSTONE, Entry, Record, decode_meta, entry_of
from swampstore.values.frame import UNREADABLE
from swampstore.values.keys import INTERNAL
from swampstore.values.version import VERSION_BYTES, put_of

_ONE_LENGTH = {VERSION_BYTES}


def live_entry(record: Record | None, now_ms: int) -> Entry | None:
    """The entry of a winning record, if it is one at ``now_ms``. Raises ``CorruptObject``."""
    if record is None or record.flags & TOMBSTONE or (record.expires and record.expires <= now_ms):
        return None
    return entry_of(record)


def without_internal(rows: Block) -> Block:
    """``rows`` without the library's own keys."""
    if INTERNAL not in "".join(rows.keys):
        return rows
    return rows.pick([at for at, key in enumerate(rows.keys) if INTERNAL not in key])


def live_entries(rows: Block, now_ms: int) -> list[Entry]:
    """The entries among winning records, in key order. Raises ``CorruptObject``."""
    rows = without_internal(rows)
    if 0 < rows.expires_first <= now_ms or rows.flagged(TOMBSTONE):
        lives = (
            not flags & TOMBSTONE and not 0 < time <= now_ms
            for flags, time in zip(rows.flags, rows.expires, strict=True)
        )
        rows = rows.pick([at for at, lives_on in enumerate(lives) if lives_on])
    if not rows.flagged(EPHEMERAL) and max(map(len, rows.values), default=0) <= META_BYTES:
        versions = rows.versions
        if set(map(len, versions)) != _ONE_LENGTH:
            versions = list(map(put_of, versions))
        try:
            return list(map(Entry, rows.keys, versions, rows.expires, map(decode_meta, rows.values)))
        except UNREADABLE:
            pass  # below the error is told of the one entry
    return list(map(entry_of, rows.records()))
