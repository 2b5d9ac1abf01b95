"""What a gc, a prune or a run gc did, or would do: a table for people, the known shape for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swampstore_cli import datum, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swampstore.workers.gc.report import GcReport, Removed

_ROWS = 20
REASONS = {"expired": "expired", "superseded": "superseded", "run-gone": "run is gone", "old-run": "old"}


def show(report: GcReport, where: str, thing: str = "version", *, table: bool = True) -> None:
    """The table and the sum; ``thing`` is what most of it is."""
    if not report.removed:
        output.line(f"nothing to delete in {where}")
        return
    if table:
        _show_table(report)
    reasons = (
        (report.expired, "expired"),
        (report.superseded, "superseded"),
        (report.run_gone, "of runs that are gone"),
        (report.old_runs, "of old runs"),
    )
    parts = ", ".join(f"{count:,} {reason}" for count, reason in reasons if count)
    verb = "would delete" if report.dry_run else "deleted"
    output.line(f"{verb} {output.count(report.removed, thing)} ({parts}), {output.size(report.bytes)}, in {where}")
    if not report.dry_run and report.bytes:
        output.line("the space comes back with later compactions: contents a day after, packs when half of one is gone")


def _show_table(report: GcReport) -> None:
    rows = _rows(report.shown)
    datum.stream_table(("DATA", "VERSIONS", "REASON", "SIZE"), rows[:_ROWS], frozenset({1, 3}), indent="  ")
    unseen = len(rows) - _ROWS
    if unseen > 0 or report.removed > len(report.shown):
        output.line("  ... and more; --json names up to 1,000")


def _rows(shown: Sequence[Removed]) -> list[tuple[str, str, str, str]]:
    """One row for each datum and reason, in the order they were found."""
    sums: dict[tuple[str, str], list[int]] = {}
    for one in shown:
        name = f"{one.model_type}:{one.model_id} {one.name}" if one.model_id else one.key
        row = sums.setdefault((name, REASONS.get(one.reason, one.reason)), [0, 0])
        row[0] += 1
        row[1] += one.bytes
    return [(name, f"{count:,}", reason, output.size(size)) for (name, reason), (count, size) in sums.items()]


def document(report: GcReport, namespace: str, **more: Any) -> None:
    """The one JSON document. Lists hold up to 1,000, counts are whole."""
    gone = [_shape(one) for one in report.shown if one.reason != "superseded"]
    superseded = [_shape(one) for one in report.shown if one.reason == "superseded"]
    expired = report.expired + report.run_gone + report.old_runs
    output.document(
        {
            "namespace": namespace,
            "dryRun": report.dry_run,
            "expiredDataCount": expired,
            "expiredData" if report.dry_run else "expiredEntries": gone,
            "dataEntriesExpired": expired,
            "versionGcItems": superseded,
            "versionsDeleted": report.removed,
            "bytesReclaimed": report.bytes,
            "indexEntries": report.entries,
            "segments": report.segments,
            "limited": report.removed > len(report.shown),
            "seconds": round(report.seconds, 3),
            **more,
        }
    )


def _shape(one: Removed) -> dict[str, Any]:
    return {
        "type": one.model_type,
        "modelId": one.model_id,
        "dataName": one.name,
        "version": one.ordinal,
        "path": one.key,
        "reason": one.reason,
        "size": one.bytes,
    }
