"""``swamp run gc``: records of old runs and outputs go, and the data that lived for a run that is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swampstore_cli import confirm, gc_report, output
from swampstore_cli.moments import span_ms
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.workers.gc.report import GcReport

app = new_app()


@command(
    app,
    "gc",
    examples="""
    swamp run gc --dry-run
    swamp run gc --older-than 7d --yes
    swamp run gc --outputs 7d --workflow-runs 6mo --yes
    """,
)
def gc(
    session: Session,
    older_than: Annotated[str, typer.Option("--older-than", metavar="SPAN", help="Such as 7d, 2w, 1mo.")] = "30d",
    outputs: Annotated[
        str, typer.Option("--outputs", metavar="SPAN", help="Another age for outputs.", show_default=False)
    ] = "",
    workflow_runs: Annotated[
        str, typer.Option("--workflow-runs", metavar="SPAN", help="Another age for workflow runs.", show_default=False)
    ] = "",
    dry_run: confirm.DRY_RUN = False,
    yes: confirm.YES = False,
) -> None:
    """Delete old outputs of methods, records of old workflow runs, and the data that lived for those runs.

    That is what lies in outputs/ and workflow-runs/, and data with the lifetime job or workflow. A run that is not known
    to have ended stays, whatever its age. Shows what would go first, and deletes only with --yes, or when a person at a
    terminal says yes. Other data is the business of swamp data gc.
    """
    confirm.check(yes=yes, dry_run=dry_run)
    ages = {"outputs": outputs or older_than, "workflow_runs": workflow_runs or older_than}
    for option, age in (("--older-than", older_than), ("--outputs", outputs), ("--workflow-runs", workflow_runs)):
        if age:
            span_ms(age, option)
    with session.opened() as opened:
        namespace = opened.face.namespace(opened.existing(session.settings.namespace))
        report = namespace.gc_runs(**ages, dry_run=not yes)
        if session.json:
            _document(report, namespace)
            return
        gc_report.show(report, f"namespace {namespace.name}", "record")
        if report.dry_run and report.removed and _confirmed(dry_run):
            report = namespace.gc_runs(**ages, dry_run=False)
            gc_report.show(report, f"namespace {namespace.name}", "record", table=False)


def _confirmed(dry_run: bool) -> bool:
    return confirm.confirmed("delete these records?", yes=False, dry_run=dry_run, json=False)


def _document(report: GcReport, namespace: Namespace) -> None:
    entries = [
        {"path": one.key, "reason": one.reason, "size": one.bytes, "type": one.model_type, "modelId": one.model_id}
        | ({"dataName": one.name, "version": one.ordinal} if one.name else {})
        for one in report.shown
    ]
    output.document(
        {
            "namespace": namespace.name,
            "dryRun": report.dry_run,
            "runsDeleted": report.old_runs,
            "versionsDeleted": report.run_gone,
            "bytesReclaimed": report.bytes,
            "entries": entries,
            "indexEntries": report.entries,
            "limited": report.removed > len(report.shown),
            "seconds": round(report.seconds, 3),
        }
    )
