"""``swamp datastore namespace delete``: a preview unless ``--yes`` is given."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore.errors import NotFound
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "delete",
    examples="""
    swamp datastore namespace delete old-team          (only shows what would go)
    swamp datastore namespace delete old-team --yes
    """,
)
def delete(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The namespace.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only show what would go.")] = False,
) -> None:
    """Delete everything in namespace NAME. Without --yes only show what would go.

    Stop the writers of the namespace first: one that goes on leaves a log without its beginning behind.
    """
    with session.opened() as opened:
        found = opened.face.delete_namespace(name, dry_run=True)
        if not found.objects:
            raise NotFound(f"no namespace {name!r} in {opened.face.url}", hint="see: swamp datastore namespace list")
        if yes:
            found = opened.face.delete_namespace(name, dry_run=False)
    if session.json:
        output.document(found)
        return
    what = f"{output.count(found.objects, 'object')} ({output.size(found.bytes)}) of namespace {name}"
    output.line(f"deleted {what}" if yes else f"would delete {what} in {opened.face.url}")
    if found.kept:
        output.line(f"kept {output.count(found.kept, 'object')} there that this program did not make")
    if not yes:
        output.line("nothing was deleted; add --yes to do it")
