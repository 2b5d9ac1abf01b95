"""``swamp datastore snapshot delete``."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "delete",
    examples="""
    swamp datastore snapshot delete before-upgrade          (only shows what would go)
    swamp datastore snapshot delete before-upgrade --yes
    """,
)
def delete(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The snapshot.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only show what would go.")] = False,
) -> None:
    """Delete snapshot NAME; what only it held is swept later. Without --yes only show it.

    The namespace itself is not touched. A damaged snapshot can be deleted too.
    """
    from swampstore.client.blocking import finish
    from swampstore.protocols.saved import find_saved

    with session.opened() as opened:
        namespace = opened.face.namespace(session.settings.namespace)
        core = opened.core.namespace(session.settings.namespace)
        found = namespace.delete_saved(name) if yes else finish(find_saved(core.place, name))
    if session.json:
        output.document({"name": name, "time": found.time, "deleted": yes})
        return
    what = f"snapshot {name} of {output.moment(found.time)}"
    output.line(f"deleted {what}" if yes else f"would delete {what}")
    if not yes:
        output.line("nothing was deleted; add --yes to do it")
