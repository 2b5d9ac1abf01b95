"""What a round of compaction did, for people and for ``--json``."""

from __future__ import annotations

import msgspec


class FoldReport(msgspec.Struct):
    """One fold. ``published`` is false when there was nothing to fold or another process was first."""

    published: bool = False
    segments: int = 0
    deltas: int = 0
    dropped: int = 0
    quarantined: int = 0
    spilled: bool = False
    raced: bool = False
    not_leader: bool = False


class MergeReport(msgspec.Struct):
    """One merge of level 0 into shards. Bytes are stored bytes."""

    published: bool = False
    runs: int = 0
    deltas: int = 0
    shards_read: int = 0
    shards_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    tombstones_dropped: int = 0
    entries: int = 0
    raced: bool = False


class SweepReport(msgspec.Struct):
    """What was deleted, by kind; ``bytes`` where sizes are known. ``waiting`` is garbage whose grace runs still."""

    segments: int = 0
    runs: int = 0
    contents: int = 0
    orphans: int = 0
    bytes: int = 0
    waiting: int = 0


class CompactReport(msgspec.Struct):
    """A round: fold, merge if due, sweep. ``seconds`` is wall time."""

    fold: FoldReport
    merge: MergeReport
    sweep: SweepReport
    root_version: int = 0
    seconds: float = 0.0
