"""Audit records that wait on this machine: how many, since when, and whether they can be delivered at all."""

from __future__ import annotations

from swampstore.workers.audit_spool import SpoolStatus
from swampstore.workers.doctor.finding import Finding

_LONG_S = 3600.0


def check_spool(status: SpoolStatus | None) -> list[Finding]:
    """What to say of the spool of the namespace; nothing when it is empty, or when there is none."""
    if status is None:
        return []
    found: list[Finding] = []
    if status.writes:
        text = f"{status.records:,} audit records wait on this machine, the oldest for {status.oldest_s:,.0f} s"
        severity = "error" if status.oldest_s > _LONG_S else "warning"
        hint = "they are delivered when the store answers; to see why not yet: swamp audit drain"
        found.append(Finding("spool-waiting", severity, status.path, text, hint))  # type: ignore[arg-type]
    if status.set_aside:
        text = f"{status.set_aside} files with audit records cannot be read; they were set aside (*.bad)"
        found.append(Finding("spool-damaged", "error", status.path, text, "their records may be lost; keep the files"))
    if status.problem:
        found.append(Finding("spool-problem", "error", status.path, status.problem, "see: swamp audit drain"))
    return found
