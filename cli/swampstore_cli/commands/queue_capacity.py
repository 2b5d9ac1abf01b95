"""``swamp datastore queue set-capacity``."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()

POLLERS = "poll/"
"""Begins the names of queues in which pollers of one name wait for their turn."""


@command(
    app,
    "set-capacity",
    examples="""
    swamp datastore queue set-capacity sandbox 8
    """,
)
def set_capacity(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The queue's name.", show_default=False)],
    capacity: Annotated[int, typer.Argument(metavar="N", help="How many may run at once.", show_default=False)],
) -> None:
    """Let N callers at once through the queue NAME, from now on.

    Nobody who runs is stopped: with a smaller N the next are granted when enough of them have ended. Locks and pollers
    let one in at a time, and are refused.
    """
    if capacity > 1 and name.startswith(POLLERS):
        raise Misuse(
            f"queue {name!r} is a poller's: two would poll side by side", hint="name a second one: swamp poll --name"
        )
    with session.namespace() as namespace:
        namespace.queue(name).set_capacity(capacity)
    if session.json:
        output.document({"queue": name, "capacity": capacity})
    else:
        output.line(f"the capacity of {output.printable(name)} is {capacity}")
