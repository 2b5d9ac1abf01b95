"""The targets, each with its limit: what the benchmarks compare their figures with."""

from __future__ import annotations

from typing import NamedTuple

MIB = 1024 * 1024


class Target(NamedTuple):
    """``value <= limit`` (or ``<`` with ``below``) is a pass. ``bench`` is the benchmark that measures it."""

    name: str
    bench: str
    text: str
    limit: float
    unit: str
    below: bool = False

    def met(self, value: float) -> bool:
        """Whether ``value`` meets the target."""
        return value < self.limit if self.below else value <= self.limit


TARGETS = {
    target.name: target
    for target in (
        Target("append-requests", "append", "one append is one create-only write, at every size", 1, "requests"),
        Target("append-reads", "append", "one append reads and lists nothing, manifest bytes included", 0, "requests"),
        Target("append-p99-s3", "append", "p99 of one append, S3 with 20 ms per request", 40, "ms", below=True),
        Target("sync-4", "sync", "4 syncs of 25 new files at once: the slowest against a lone one", 1.5, "x"),
        Target("sync-4-failed", "sync", "of the 4, how many fail", 0, "failed"),
        Target("sync-16-failed", "sync", "16 syncs at once: how many fail", 0, "failed"),
        Target("sync-16-cli", "sync", "16 `swamp datastore sync` at once, with start-up", 8, "s", below=True),
        Target("sync-16-cli-failed", "sync", "of those 16, how many fail", 0, "failed"),
        Target("idle-requests", "idle", "requests of a sync with nothing new", 2, "requests"),
        Target("start-help", "start", "`swamp --help`", 0.25, "s", below=True),
        Target("start-put-local", "start", "one local `swamp object put`", 0.25, "s", below=True),
        Target("start-put-s3", "start", "one `swamp object put` on S3", 0.7, "s", below=True),
        Target("import-seconds", "import", "import of the 262,000-entry index, index only", 15, "s", below=True),
        Target("import-memory", "import", "its peak memory", 500, "MB", below=True),
        Target("import-objects", "import", "the same with local objects checked by a listing", 90, "s", below=True),
        Target("manifest-ratio", "import", "manifest bytes over JSON bytes", 0.25, "x"),
        Target("lookup-rounds", "import", "point look-up, cold: dependent requests", 3, "rounds"),
        Target("lookup-bytes", "import", "point look-up, cold: bytes read", 1 * MIB, "bytes"),
        Target("change7-shards", "change7", "7 changes: shards written beyond those touched", 0, "shards"),
        Target("change7-seconds", "change7", "7 changes: fold and merge", 2, "s", below=True),
        Target("change7-append", "change7", "7 changes: the append, local", 50, "ms", below=True),
        Target("make-test", "suite", "the everyday tests", 360, "s", below=True),
    )
}
