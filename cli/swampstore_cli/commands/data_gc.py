"""``swamp data gc``: what has expired and what retention gives up goes, after a preview."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import confirm, gc_report, output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "gc",
    examples="""
    swamp data gc --dry-run
    swamp data gc --yes
    swamp data gc --yes --namespace infra --json
    swamp data gc --auto on
    """,
)
def gc(
    session: Session,
    dry_run: confirm.DRY_RUN = False,
    yes: confirm.YES = False,
    auto: Annotated[
        str, typer.Option("--auto", metavar="on|off", help="Whether the compactor does it.", show_default=False)
    ] = "",
) -> None:
    """Delete the versions whose lifetime is over, and those that a datum's retention (--keep) gives up.

    Shows what would go first, and deletes only with --yes, or when a person at a terminal says yes. The newest version
    of a datum is never given up by retention. What has expired is invisible before; this frees what it takes. It takes no
    lock, reads only what has something to give, and appends: writers and readers do not notice.

    With --auto on the compactors of the namespace do it from now on, at most once an hour; what is shown is what the
    first time would take.
    """
    confirm.check(yes=yes, dry_run=dry_run)
    if auto not in ("", "on", "off"):
        raise Misuse(f"--auto {auto!r} is neither on nor off")
    if auto and (yes or dry_run):
        raise Misuse("--auto goes without --yes and --dry-run", hint="it changes a setting, and deletes nothing itself")
    with session.opened() as opened:
        namespace = opened.face.namespace(opened.existing(session.settings.namespace))
        if auto:
            namespace.set_retention(auto=auto == "on")
            if not session.json:
                state = "runs a gc by itself" if auto == "on" else "leaves gc to you"
                output.line(f"the compactor of namespace {namespace.name} {state}")
        report = namespace.gc(dry_run=not yes)
        if not session.json:
            gc_report.show(report, f"namespace {namespace.name}")
            if report.dry_run and report.removed and not auto and _confirmed(dry_run):
                gc_report.show(namespace.gc(dry_run=False), f"namespace {namespace.name}", table=False)
            return
        more = {"auto": namespace.retention().auto} if auto else {}
    gc_report.document(report, namespace.name, **more)


def _confirmed(dry_run: bool) -> bool:
    return confirm.confirmed("delete these versions?", yes=False, dry_run=dry_run, json=False)
