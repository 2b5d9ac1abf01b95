"""``swamp datastore snapshot create``: keep what the namespace holds now under a name."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "create",
    examples="""
    swamp datastore snapshot create before-upgrade
    swamp datastore snapshot create monday --namespace ops --json
    """,
)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.", show_default=False)],
) -> None:
    """Keep what the namespace holds now as snapshot NAME, until it is deleted.

    Nothing is copied: the log is folded, and what the namespace names by then is kept from being swept.
    """
    with session.opened() as opened:
        opened.existing(session.settings.namespace)
        done = opened.face.namespace(session.settings.namespace).save(name)
    if session.json:
        output.document(done)
        return
    output.line(f"saved {output.count(done.records, 'record')} of namespace {session.settings.namespace} as {name}")
    output.note("what it holds is not swept until it is deleted: swamp datastore snapshot delete " + name)
