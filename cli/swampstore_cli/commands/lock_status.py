"""``swamp datastore lock status``: the queues of capacity 1, and who is in them."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli import output
from swampstore_cli.commands.queue_show import tickets, title
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "status",
    examples="""
    swamp datastore lock status
    swamp datastore lock status --name deploy --json
    """,
)
def status(
    session: Session,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="This lock; else all in use.", show_default=False)
    ] = "",
) -> None:
    """Show who holds and who waits for the locks of the namespace.

    An update waits in the lock of its key. A holder that is stopped shows as running: its age tells. To go on without
    it: swamp datastore lock release --force.
    """
    with session.namespace() as namespace:
        names = [name] if name else namespace.queues()
        found = [namespace.queue(one).status() for one in names]
    if not name:
        found = [one for one in found if one.capacity == 1 and one.unfinished]
    if session.json:
        output.document({"namespace": session.settings.namespace, "locks": found})
        return
    if not found:
        output.line("no lock is held")
    for one in found:
        output.line(title(one))
        tickets(one.tickets)
