"""The metrics: their names, kinds, labels and meaning. The reference page says the same; a test compares them.

Invariant: every label has a small fixed set of values (operations, phases, verbs, outcomes); no key, namespace, host or
path ever becomes one.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Metric(NamedTuple):
    """``kind`` is ``histogram``, ``counter`` or ``gauge``; a counter's name is followed by ``_total``."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


OPERATION = Metric("swampstore_operation_seconds", "histogram", ("op",), "how long operations took")
PHASE = Metric("swampstore_phase_seconds", "histogram", ("op", "phase"), "how long each phase of an operation took")
REQUEST = Metric(
    "swampstore_request_seconds",
    "histogram",
    ("verb",),
    "how long the store took to answer (side by side: the slowest)",
)
OUTCOMES = Metric("swampstore_operations", "counter", ("op", "outcome"), "operations by how they ended")
RECORDS = Metric("swampstore_records", "counter", ("op",), "records, entries or files that operations handled")
REQUESTS = Metric("swampstore_requests", "counter", ("verb", "outcome"), "requests to the store by how they ended")
BYTES = Metric("swampstore_bytes", "counter", ("direction",), "bytes of bodies, sent to the store or received from it")
RETRIES = Metric("swampstore_retries", "counter", (), "times that requests were sent again after a pause")
CONFLICTS = Metric("swampstore_conflicts", "counter", (), "attempts of updates and fenced appends that met another's")
FOLDED_SEGMENTS = Metric("swampstore_folded_segments", "counter", (), "segments that were folded")
FOLDED_RECORDS = Metric("swampstore_folded_records", "counter", (), "records that were folded")
MERGED_RECORDS = Metric("swampstore_merged_records", "counter", (), "records that were merged into shards")
MERGED_BYTES = Metric("swampstore_merged_bytes", "counter", (), "bytes of shards that merges wrote")
DEPTH = Metric("swampstore_log_depth_segments", "gauge", (), "unfolded segments of the log that was read last")
SPOOLED_RECORDS = Metric("swampstore_spooled_records", "counter", (), "audit records that were kept on this machine")
DELIVERED_RECORDS = Metric("swampstore_delivered_records", "counter", (), "audit records delivered from this machine")
SPOOLED = Metric("swampstore_spool_records", "gauge", (), "audit records that wait on this machine for the store")
SPOOL_AGE = Metric("swampstore_spool_oldest_seconds", "gauge", (), "how long the oldest of them has waited")
DROPPED = Metric("swampstore_dropped_events", "counter", ("sink",), "events lost because an exporter fell behind")

METRICS: Final = (
    OPERATION,
    PHASE,
    REQUEST,
    OUTCOMES,
    RECORDS,
    REQUESTS,
    BYTES,
    RETRIES,
    CONFLICTS,
    FOLDED_SEGMENTS,
    FOLDED_RECORDS,
    MERGED_RECORDS,
    MERGED_BYTES,
    SPOOLED_RECORDS,
    DELIVERED_RECORDS,
    DEPTH,
    SPOOLED,
    SPOOL_AGE,
    DROPPED,
)

COUNTED: Final = {
    "retries": RETRIES,
    "conflicts": CONFLICTS,
    "folded_segments": FOLDED_SEGMENTS,
    "folded_records": FOLDED_RECORDS,
    "merged_records": MERGED_RECORDS,
    "merged_bytes": MERGED_BYTES,
    "spooled_records": SPOOLED_RECORDS,
    "delivered_records": DELIVERED_RECORDS,
}
"""The metric of each of :data:`swampstore.env.phases.COUNTERS`."""

BUCKETS_S: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper ends of the histograms' buckets, in seconds: from a local append to a patient wait."""
