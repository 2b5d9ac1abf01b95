"""What a sync did or would do, for people and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from swampstore_cli import output

if TYPE_CHECKING:
    from swampstore.workers.sync import SyncReport

_SHOWN = 20


def document(namespace: str, tree: Path, report: SyncReport) -> dict[str, Any]:
    """The report of one namespace, as JSON."""
    return {"namespace": namespace, "tree": str(tree), **report.to_dict()}


def show(report: SyncReport, lead: str = "") -> None:
    """Everything of one sync; ``lead`` begins the line that sums it up."""
    if report.dry_run:
        _preview(report, lead)
    elif report.idle:
        output.line(f"{lead}nothing to do: {output.count(report.unchanged, 'file')} unchanged, {report.seconds:.1f} s")
    else:
        output.line(lead + _summary(report) + f", {report.unchanged:,} unchanged, {report.seconds:.1f} s")
    if report.not_here:
        brought = "swamp datastore hydrate PATH brings them"
        output.line(f"{output.count(report.not_here, 'content')} left in the namespace: {brought}")
    _noteworthy(report)


def told(report: SyncReport, lead: str = "") -> None:
    """One pass of a watch: a line if anything moved, and what is to be told in any case."""
    if not report.idle:
        output.line(f"{lead}{_summary(report)}, {report.seconds:.1f} s")
    _noteworthy(report)


def _summary(report: SyncReport) -> str:
    parts = [
        f"pushed {report.pushed:,} ({output.size(report.bytes_up)})",
        f"pulled {report.pulled:,} ({output.size(report.bytes_down)})",
        f"deleted {report.deleted_local:,} here and {report.deleted_remote:,} there",
    ]
    return ", ".join(parts)


def _preview(report: SyncReport, lead: str) -> None:
    if not report.changes:
        output.line(f"{lead}nothing to do (dry run)")
        return
    rows = [(change.action, output.size(change.size) if change.size else "-", change.path) for change in report.changes]
    output.table(("action", "size", "path"), rows, right=frozenset({1}))
    files = sum(planned.files for planned in report.planned.values())
    if files > len(report.changes):
        output.line(f"... and {files - len(report.changes):,} more")
    kinds = [
        f"{planned.files:,} {action}" + (f" ({output.size(planned.bytes)})" if planned.bytes else "")
        for action, planned in sorted(report.planned.items())
    ]
    output.line(f"{lead}{output.count(files, 'change')}: {', '.join(kinds)}; nothing was done (dry run)")


def _noteworthy(report: SyncReport) -> None:
    if report.reset:
        output.line("the namespace was replaced since the last sync: everything was compared anew, nothing deleted")
    for conflict in report.conflicts:
        kept = output.printable(conflict.kept_as)
        output.line(f"conflict: {output.printable(conflict.path)}: kept the {_other(conflict.winner)} as {kept}")
    for path in report.revived[:_SHOWN]:
        output.line(f"revived: {output.printable(path)}: one side had deleted it, the other changed it")
    for plain in report.not_versions[:_SHOWN]:
        output.note(f"synced as plain files: {output.printable(plain.path)}: {output.printable(plain.reason)}")
    if len(report.not_versions) > _SHOWN:
        output.note(f"... and {len(report.not_versions) - _SHOWN:,} more folders; --json lists them all")
    if report.expired:
        output.note(f"{output.count(report.expired, 'file')} past the lifetime in their metadata: left alone")
    for skipped in report.skipped[:_SHOWN]:
        output.note(f"skipped: {output.printable(skipped.path)}: {output.printable(skipped.reason)}")
    if len(report.skipped) > _SHOWN:
        output.note(f"... and {len(report.skipped) - _SHOWN:,} more skipped; --json lists them all")


def _other(winner: str) -> str:
    return {"local": "namespace's version", "remote": "local version"}.get(winner, "older version")
