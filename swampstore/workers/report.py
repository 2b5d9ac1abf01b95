"""What a round of compaction did, for people and for ``--json``."""

from __future__ import annotations

import msgspec

from swampstore.workers.gc.report import GcReport


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
    phases: dict[str, float] = {}
    """Where the time went, in seconds by phase."""


class MergeReport(msgspec.Struct):
    """One merge of level 0 into shards, or (``middle``) of runs of level 0 into larger ones. Bytes are stored bytes."""

    published: bool = False
    middle: bool = False
    runs: int = 0
    deltas: int = 0
    shards_read: int = 0
    shards_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    tombstones_dropped: int = 0
    entries: int = 0
    raced: bool = False
    phases: dict[str, float] = {}
    """Where the time went, in seconds by phase."""


class SweepReport(msgspec.Struct):
    """What was deleted, by kind; ``bytes`` where sizes are known. ``waiting`` is garbage whose grace runs still."""

    segments: int = 0
    runs: int = 0
    contents: int = 0
    orphans: int = 0
    bytes: int = 0
    waiting: int = 0


class RepackReport(msgspec.Struct):
    """``bytes`` come back once the old packs have had their grace: their size less what lived in them.

    ``left`` are packs that wait for the next repack.
    """

    published: bool = False
    raced: bool = False
    packs: int = 0
    packs_made: int = 0
    members: int = 0
    shards_written: int = 0
    bytes: int = 0
    live_bytes: int = 0
    left: int = 0


class SortReport(msgspec.Struct):
    """One sort of audit archives, or one look after old ones. ``files`` counts those written, ``freed`` garbage.

    ``problem`` says why it could not be done (an archive that cannot be read); the round goes on.
    """

    published: bool = False
    raced: bool = False
    records: int = 0
    files: int = 0
    freed: int = 0
    problem: str = ""


class CompactReport(msgspec.Struct):
    """A round: fold, merge if due, sweep. ``seconds`` is wall time."""

    fold: FoldReport
    merge: MergeReport
    sweep: SweepReport
    retired: int = 0
    """Writers whose watermark was dropped by a publish of its own."""
    root_version: int = 0
    seconds: float = 0.0
    gc: GcReport | None = None
    """What automatic retention did, when it was its turn."""
    repack: RepackReport | None = None
    archive: SortReport | None = None
    """What became of audit archives, when it was their turn."""

    @property
    def busy(self) -> bool:
        """Whether the round found something to do."""
        swept = self.sweep.segments + self.sweep.runs + self.sweep.contents + self.sweep.orphans
        tidied = (self.gc is not None and self.gc.segments > 0) or (self.repack is not None and self.repack.published)
        tidied = tidied or (self.archive is not None and self.archive.published)
        return self.fold.published or self.fold.raced or self.merge.published or self.merge.raced or swept > 0 or tidied


def add_folds(a: FoldReport, b: FoldReport) -> FoldReport:
    """Two folds of one round as one report."""
    return FoldReport(
        published=a.published or b.published,
        segments=a.segments + b.segments,
        deltas=a.deltas + b.deltas,
        dropped=a.dropped + b.dropped,
        quarantined=a.quarantined + b.quarantined,
        spilled=a.spilled or b.spilled,
        raced=b.raced,
        not_leader=b.not_leader,
        phases={name: a.phases.get(name, 0.0) + b.phases.get(name, 0.0) for name in (*a.phases, *b.phases)},
    )


def add_sweeps(a: SweepReport, b: SweepReport) -> SweepReport:
    """Two sweeps of one round as one report; ``waiting`` is that of the one that looked."""
    return SweepReport(
        segments=a.segments + b.segments,
        runs=a.runs + b.runs,
        contents=a.contents + b.contents,
        orphans=a.orphans + b.orphans,
        bytes=a.bytes + b.bytes,
        waiting=max(a.waiting, b.waiting),
    )
