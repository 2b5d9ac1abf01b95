"""``swamp datastore sync``: the repo's folder and the namespace become alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.progress import Progress
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.workers.sync import SyncReport

_SHOWN = 20

app = new_app()


@command(
    app,
    "sync",
    examples="""
    swamp datastore sync
    swamp datastore sync --dry-run
    swamp datastore sync --push --prefix reports/
    """,
)
def sync_tree(
    session: Session,
    pull: Annotated[bool, typer.Option("--pull", help="Only bring the namespace's changes here.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Only bring the changes here to the namespace.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="PREFIX", help="Only keys that begin so.", show_default=False)
    ] = "",
) -> None:
    """Make the repo's .swamp/ folder and the namespace alike, both ways.

    Takes no lock: any number of processes and machines may sync at once. When both sides changed a file, the newer one
    keeps its name, the other is kept beside it and reported.
    """
    from swampstore.client.blocking import finish
    from swampstore.workers.sync import SyncOptions, sync

    settings = session.settings
    both = pull == push
    options = SyncOptions(
        push=push or both,
        pull=pull or both,
        dry_run=dry_run,
        prefix=prefix,
        directories=settings.directories,
        exclude=settings.exclude,
    )
    with session.opened(one_shot=True) as opened:
        session.check_apart(opened.core.url)
        namespace = opened.core.namespace(settings.namespace)
        with Progress() as progress:
            report = finish(sync(namespace, settings.tree, options, progress))
    if session.json:
        output.document(
            {
                "store": opened.core.url,
                "namespace": namespace.name,
                "tree": str(settings.tree),
                **report.to_dict(),
            }
        )
    else:
        _show(report)


def _show(report: SyncReport) -> None:
    from swampstore.workers.sync.report import SHOWN_CHANGES

    if report.dry_run and report.changes:
        for change in report.changes:
            output.line(f"{change.action:<14} {output.printable(change.path)}")
        more = " and more" if len(report.changes) >= SHOWN_CHANGES else ""
        output.line(f"{output.count(len(report.changes), 'change')}{more}; nothing was done (dry run)")
    elif report.idle:
        output.line(f"nothing to do: {output.count(report.unchanged, 'file')} unchanged, {report.seconds:.1f} s")
    else:
        parts = [
            f"pushed {report.pushed:,} ({output.size(report.bytes_up)})",
            f"pulled {report.pulled:,} ({output.size(report.bytes_down)})",
            f"deleted {report.deleted_local:,} here and {report.deleted_remote:,} there",
            f"{report.unchanged:,} unchanged",
        ]
        output.line(", ".join(parts) + f", {report.seconds:.1f} s")
    if report.reset:
        output.line("the namespace was replaced since the last sync: everything was compared anew, nothing deleted")
    for conflict in report.conflicts:
        kept = output.printable(conflict.kept_as)
        output.line(f"conflict: {output.printable(conflict.path)}: kept the {_other(conflict.winner)} as {kept}")
    for path in report.revived[:_SHOWN]:
        output.line(f"revived: {output.printable(path)}: one side had deleted it, the other changed it")
    for skipped in report.skipped[:_SHOWN]:
        output.note(f"skipped: {output.printable(skipped.path)}: {output.printable(skipped.reason)}")
    if len(report.skipped) > _SHOWN:
        output.note(f"... and {len(report.skipped) - _SHOWN:,} more skipped; --json lists them all")


def _other(winner: str) -> str:
    return {"local": "namespace's version", "remote": "local version"}.get(winner, "older version")
