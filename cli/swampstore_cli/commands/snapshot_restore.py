"""``swamp datastore snapshot restore``: a preview unless ``--yes`` is given."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.progress import Progress
from swampstore_cli.session import Session

_SHOWN = 20

app = new_app()


@command(
    app,
    "restore",
    examples="""
    swamp datastore snapshot restore before-upgrade                  (only shows what would change)
    swamp datastore snapshot restore before-upgrade --yes
    swamp datastore snapshot restore before-upgrade --prefix reports/ --yes
    """,
)
def restore(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The snapshot.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only show what would change.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change (the default).")] = False,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="PREFIX", help="Only keys that begin so.", show_default=False)
    ] = "",
    verify: Annotated[
        str,
        typer.Option("--verify", metavar="HOW", help="Look for contents by their sizes, or read them in full."),
    ] = "sizes",
) -> None:
    """Bring the entries back to snapshot NAME by writing the difference. Without --yes only show it.

    Streams, locks and audit records stay as they are, and so does what was written while it runs. If a part of the
    snapshot is gone, nothing is changed.
    """
    from swampstore.client.blocking import finish
    from swampstore.workers.restore import restore as work

    if yes and dry_run:
        raise Misuse("both --yes and --dry-run", hint="give one of them")
    if verify not in ("sizes", "full"):
        raise Misuse(f"--verify {verify}", hint="sizes or full")
    with session.opened() as opened:
        core = opened.core.namespace(session.settings.namespace)
        try:
            with Progress() as progress:
                report = finish(
                    work(core, name, dry_run=not yes, prefix=prefix, full=verify == "full", progress=progress)
                )
        except KeyboardInterrupt:
            if yes:
                output.note("what was restored so far stays; run it again to go on")
            raise
    if session.json:
        output.document(report)
        return
    for action, key in report.examples[:_SHOWN]:
        output.line(f"{action:<7} {output.printable(key)}")
    if report.differences > _SHOWN:
        output.line("...")
    verb = "restored" if yes else "would restore"
    output.line(
        f"{verb} {output.count(report.differences, 'key')}: {report.created:,} to create, {report.changed:,} to change, "
        f"{report.deleted:,} to delete; {report.unchanged:,} are as they were"
    )
    if report.expired:
        output.line(f"  expired since  {report.expired:,} (they stay away)")
    if report.pending:
        output.line(f"  without number {report.pending:,} new data versions (they would be deleted too)")
    if not yes:
        output.line("nothing was changed; add --yes to do it")
