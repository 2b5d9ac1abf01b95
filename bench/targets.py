"""The targets, each with its limit: what the benchmarks compare their figures with."""

from __future__ import annotations

from typing import NamedTuple

MIB = 1024 * 1024


class Target(NamedTuple):
    """``value <= limit`` (``<`` with ``below``, ``>=`` with ``least``) is a pass. ``bench`` is who measures it.

    ``command``, where it is no benchmark that does: a proof, whose figures are copied from what it prints.
    """

    name: str
    bench: str
    text: str
    limit: float
    unit: str
    below: bool = False
    least: bool = False
    command: str = ""

    def met(self, value: float) -> bool:
        """Whether ``value`` meets the target."""
        if self.least:
            return value >= self.limit
        return value < self.limit if self.below else value <= self.limit


TARGETS = {
    target.name: target
    for target in (
        Target("append-requests", "append", "one append is one create-only write, at every size", 1, "requests"),
        Target("append-reads", "append", "one append reads and lists nothing, manifest bytes included", 0, "requests"),
        Target("append-p99-s3", "append", "p99 of one append, S3 with 20 ms per request", 40, "ms", below=True),
        Target("legacy-write", "legacy", "one write: the legacy design's time over ours", 20, "x", least=True),
        Target("legacy-gc", "legacy", "gc of 7 entries: the legacy design's time over ours", 20, "x", least=True),
        Target(
            "legacy-sync-4", "legacy", "4 syncs at once: the legacy design's slowest over ours", 20, "x", least=True
        ),
        Target(
            "legacy-sync-16", "legacy", "16 syncs at once: the legacy design's slowest over ours", 20, "x", least=True
        ),
        Target(
            "legacy-exclusive", "legacy", "requests of ours, all of these, that take a lock or a ticket", 0, "requests"
        ),
        Target("merging-p99", "merging", "append p99 at 500/s while a full merge runs, against without", 1.5, "x"),
        Target("lanes-sqlite-1", "lanes", "durable appends against SQLite FULL, 1 writer", 1.0, "x", least=True),
        Target("lanes-sqlite-4", "lanes", "durable appends against SQLite FULL, 4 writers", 2.5, "x", least=True),
        Target("lanes-sqlite-16", "lanes", "durable appends against SQLite FULL, 16 writers", 4.0, "x", least=True),
        Target("lanes-limit-1", "lanes", "durable appends against the physical limit, 1 writer", 0.75, "x", least=True),
        Target(
            "lanes-limit-4", "lanes", "durable appends against the physical limit, 4 writers", 0.75, "x", least=True
        ),
        Target(
            "lanes-limit-16", "lanes", "durable appends against the physical limit, 16 writers", 0.7, "x", least=True
        ),
        Target("lanes-fair", "lanes", "slowest against luckiest of several writers", 0.5, "x", least=True),
        Target(
            "lanes-paced-limit",
            "lanes",
            "p99 at 1,500/s by 16 writers against the physical limit's",
            2,
            "x",
            below=True,
        ),
        Target("lanes-paced-sqlite", "lanes", "p99 of SQLite at that pace against ours", 10, "x", least=True),
        Target("lanes-tasks-64", "lanes", "durable, one process, 64 tasks", 80_000, "/s", least=True),
        Target("lanes-tasks-256", "lanes", "durable, one process, 256 tasks", 150_000, "/s", least=True),
        Target("lanes-threads-64", "lanes", "durable, one process, 64 threads", 20_000, "/s", least=True),
        Target("lanes-lmdb-1", "lanes", "buffered appends against LMDB without sync, 1 writer", 1.2, "x", least=True),
        Target("lanes-lmdb-4", "lanes", "buffered appends against LMDB without sync, 4 writers", 2.5, "x", least=True),
        Target(
            "lanes-lmdb-16", "lanes", "buffered appends against LMDB without sync, 16 writers", 2.5, "x", least=True
        ),
        Target("lanes-put-many", "lanes", "buffered, `put_many` of 1,000", 300_000, "/s", least=True),
        Target("lanes-append", "lanes", "buffered, `append` of 1,000 to a stream", 500_000, "/s", least=True),
        Target("driver-put", "drivers", "CPU of one conditional put, fast driver against boto3's", 0.2, "x"),
        Target("driver-put-aio", "drivers", "the same, asyncio, against aiobotocore's", 0.2, "x"),
        Target("driver-page", "drivers", "CPU of a page of 1,000 names, fast driver", 10, "ms", below=True),
        Target("group-local", "drivers", "writes per append at 8 callers, local", 1, "writes", below=True),
        Target("group-s3", "drivers", "writes per append at 8 callers, S3 with 20 ms", 1, "writes", below=True),
        Target(
            "cold-errors", "burst-s3", "cold bursts of 11, 100, 500 and 100 processes: errors, repeats", 0, "faults"
        ),
        Target("cold-tasks-s3", "burst-s3", "p99 of 100 tasks, S3 with 25 ms (p99 100 ms)", 250, "ms", below=True),
        Target("cold-threads-s3", "burst-s3", "p99 of 100 threads, S3 with 25 ms (p99 100 ms)", 500, "ms", below=True),
        Target("cold-local", "burst-s3", "p99 of 100 tasks and of 100 threads, local", 50, "ms", below=True),
        Target(
            "cold-processes",
            "burst-s3",
            "100 processes, one append each: round trips of a store",
            2,
            "rounds",
            below=True,
        ),
        Target(
            "daemon-dollars", "burst-s3", "a daemon on an idle bucket, a month at list prices", 1, "dollars", below=True
        ),
        Target("sync-4", "sync", "4 syncs of 25 new files at once: the slowest against a lone one", 1.5, "x"),
        Target("sync-4-failed", "sync", "of the 4, how many fail", 0, "failed"),
        Target("sync-16-failed", "sync", "16 syncs at once: how many fail", 0, "failed"),
        Target("sync-16-cli", "sync", "16 `swamp datastore sync` at once, with start-up", 8, "s", below=True),
        Target("sync-16-cli-failed", "sync", "of those 16, how many fail", 0, "failed"),
        Target("idle-requests", "idle", "requests of a sync with nothing new", 2, "requests"),
        Target("pull-requests", "pull", "pull after 10 changes in the large tree: requests", 12, "requests"),
        Target("pull-seconds", "pull", "pull after 10 changes in the large tree, S3 with 20 ms", 0.5, "s", below=True),
        Target("pull-small-requests", "pull", "10,000 files of 1 KB, push and first pull: requests", 500, "requests"),
        Target("pull-aws", "pull", "their first pull against aws s3 sync", 0.2, "x"),
        Target("pull-s5cmd", "pull", "their first pull against s5cmd", 1, "x"),
        Target("pull-rclone", "pull", "their first pull against rclone", 1, "x"),
        Target("memory-million", "pull", "peak memory at a million entries: list, pull, sync", 500, "MB", below=True),
        Target("fold-rate", "throughput", "fold, segments of 10,000", 150_000, "deltas/s", least=True),
        Target("merge-rate", "throughput", "merge, entries rewritten, per core", 700_000, "entries/s", least=True),
        Target("scan-rate", "throughput", "scan of entries, per core", 700_000, "entries/s", least=True),
        Target("warm-reads", "throughput", "warm point reads on an open snapshot", 50_000, "reads/s", least=True),
        Target(
            "strict-reads", "throughput", "strict reads, 32 writers' lanes in the log", 5_000, "reads/s", least=True
        ),
        Target("manifest-bytes", "throughput", "manifest of 500,000 entries over JSON, bytes", 0.28, "x"),
        Target("manifest-cold", "throughput", "one cold key of 500,000", 1.7, "ms"),
        Target("open-large", "growth", "opening a namespace of 10 M entries", 100, "ms", below=True),
        Target("open-large-memory", "growth", "its memory", 50, "MB", below=True),
        Target("tracing-off", "tracing", "the stopwatch of an append that nobody watches", 0.5, "us", below=True),
        Target("tracing-blocked", "tracing", "append p99 with exporters that hang over without", 1.1, "x", below=True),
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
        Target("update-rounds", "update", "one update: dependent requests, with others' writes to read", 3, "rounds"),
        Target("update-p50-s3", "update", "p50 of one update, S3 with 20 ms, nothing new", 60, "ms", below=True),
        Target("update-p50-s3-new", "update", "p50 of one update, S3 with 20 ms, at three trips", 90, "ms", below=True),
        Target("update-p50-local", "update", "p50 of one update, local, durable", 2, "ms", below=True),
        Target("counter-local", "counter", "100 processes, one counter, local: all done", 3, "s", below=True),
        Target("counter-s3", "counter", "100 processes, one counter, S3: all done", 25, "s", below=True),
        Target("counter-threads-local", "counter", "100 threads, one counter, local: all done", 3, "s", below=True),
        Target("counter-threads-s3", "counter", "100 threads, one counter, S3: all done", 25, "s", below=True),
        Target("counter-wrong", "counter", "of all those increments: lost, doubled or failed", 0, "increments"),
        Target("counter-order", "counter", "commits that overtook a lower ticket", 0, "commits"),
        Target("counter-others", "counter", "updates of other keys meanwhile: in conflict or queued", 0, "updates"),
        Target("grant-kill-s3", "queue", "S3: next grant after the holder is killed", 11, "s", below=True),
        Target("grant-pause-s3", "queue", "S3: next grant after the holder is stopped", 11, "s", below=True),
        Target("grant-kill-local", "queue", "local: next grant after the holder is killed", 100, "ms", below=True),
        Target(
            "admission-jobs", "queue", "10 jobs at capacity 4: not done, too many at once, a place lost", 0, "faults"
        ),
        Target(
            "admission-bound", "queue", "300 against capacity 2, bound 50: not granted, not `QueueFull`", 0, "callers"
        ),
        Target(
            "storm-wrong", "storm", "10 signals x 200 streams x 8: lost, doubled, refused, disordered", 0, "records"
        ),
        Target("gc7-seconds", "gc", "gc of 7 of 262,000, S3 with 20 ms per request, with start-up", 2, "s", below=True),
        Target("gc7-reads", "gc", "its reads beyond the shards concerned", 3, "requests"),
        Target("gc7-appends", "gc", "its appends", 1, "requests"),
        Target("gc100k-seconds", "gc", "gc of 100,000 of 262,000, S3 with 20 ms per request", 15, "s", below=True),
        Target("gc100k-memory", "gc", "its peak memory", 300, "MB", below=True),
        Target(
            "audit-p99-s3", "audit", "p99 of 1,000 audit writes, lock held, merges; S3 20 ms", 150, "ms", below=True
        ),
        Target("audit-p99-local", "audit", "the same on a local disk", 20, "ms", below=True),
        Target("audit-outage-lost", "audit", "store away for 60 s under 50 writes/s: lost", 0, "records"),
        Target("audit-outage-doubled", "audit", "of those records: doubled", 0, "records"),
        Target("audit-outage-acks", "audit", "of those acks: dishonest", 0, "acks"),
        Target("audit-outage-drained", "audit", "from the store's return to an empty spool", 10, "s", below=True),
        Target("audit-manifest", "audit", "1,000,000 audit records: bytes of manifest", 0, "bytes"),
        Target("audit-root", "audit", "1,000,000 audit records: growth of the root", 10 * 1024, "bytes", below=True),
        Target("audit-scan", "audit", "DuckDB scan of Parquet archives: 5 M records", 1, "s", below=True),
        Target("audit-shell", "audit", "one `swamp audit append` on a local store", 0.3, "s", below=True),
        Target(
            "proof-seeds",
            "proofs",
            "seeds of the simulation played by one version",
            100_000,
            "seeds",
            least=True,
            command="make prove",
        ),
        Target(
            "proof-violations",
            "proofs",
            "of those seeds: with a violated invariant",
            0,
            "seeds",
            command="make prove",
        ),
        Target(
            "proof-faults",
            "proofs",
            "deliberate faults: found by simulation or model checker",
            20,
            "faults",
            least=True,
            command="python -m tests.mutations",
        ),
        Target(
            "proof-rounds-local",
            "proofs",
            "500 rounds of killed processes, local: writes lost or doubled",
            0,
            "writes",
            command="python -m tests.processes.rounds local --rounds 500",
        ),
        Target(
            "proof-rounds-moto",
            "proofs",
            "500 rounds of killed processes, moto: writes lost or doubled",
            0,
            "writes",
            command="python -m tests.processes.rounds moto --rounds 500",
        ),
        Target(
            "proof-rounds-emulator",
            "proofs",
            "500 rounds of killed processes, ministack: writes lost or doubled",
            0,
            "writes",
            command="python -m tests.processes.rounds emulator --rounds 500",
        ),
        Target(
            "proof-soak-lost",
            "proofs",
            "soak: writes lost or doubled",
            0,
            "writes",
            command="make soak MINUTES=120",
        ),
        Target(
            "proof-soak-minutes",
            "proofs",
            "soak: how long",
            120,
            "minutes",
            least=True,
            command="make soak MINUTES=120",
        ),
        Target(
            "proof-soak-memory",
            "proofs",
            "soak: growth of the process that grew most, first to last quarter",
            24,
            "MB",
            below=True,
            command="make soak MINUTES=120",
        ),
        Target(
            "proof-soak-descriptors",
            "proofs",
            "soak: the same of descriptors",
            8,
            "descriptors",
            command="make soak MINUTES=120",
        ),
        Target(
            "proof-fuzz",
            "proofs",
            "hostile inputs without a crash, a hang or 64 MB",
            1_000_000,
            "inputs",
            least=True,
            command="make fuzz",
        ),
        Target("make-test", "suite", "the everyday tests", 360, "s", below=True),
    )
}
