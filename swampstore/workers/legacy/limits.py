"""Limits of reading a legacy store. What exceeds one is refused with ``CorruptObject``, naming the object."""

from __future__ import annotations

from swampstore.limits import KIB, MIB

INDEX_BYTES = 2048 * MIB
INDEX_META_BYTES = 16 * MIB
INDEX_PARTITIONS = 200_000
CHUNK_BYTES = 4 * MIB
CHUNKS_AT_ONCE = 4
"""Ranged reads in flight: this times ``CHUNK_BYTES`` is the memory that reading an index takes."""
PARTITIONS_AT_ONCE = 16
PARTITION_WHOLE_BYTES = MIB
"""Partitions up to this size are read whole, several at once; larger ones in chunks."""
PARSE_BYTES = 16 * KIB
"""The parser is fed in pieces of this size, so that a hostile piece is seen before it costs much memory."""
BRACKETS_PER_PIECE = PARSE_BYTES // 8
"""An index entry takes 60 bytes and one bracket; nesting as dense as this is not an index."""
ENTRY_BYTES = MIB
LOCK_BYTES = 64 * KIB
ASSUMED_LOCK_TTL_MS = 3_600_000
"""A lock file that cannot be read counts as live for so long after it was written."""
LOCK_TTL_MAX_MS = 366 * 24 * 3_600_000
NAMESPACE_LIST_PAGE = 100
ENDED_GRACE_MS = 30 * 24 * 3_600_000
"""How long a version that was past its lifetime before its import can be read here."""
