"""``swamp datastore lock release``: go on without a holder that does not."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore.errors import Misuse, NotFound
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "release",
    examples="""
    swamp datastore lock release --force --name deploy
    swamp datastore lock release --force --name deploy --ticket 17
    """,
)
def release(
    session: Session,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="The lock; needed when several are held.", show_default=False)
    ] = "",
    ticket: Annotated[
        int, typer.Option("--ticket", metavar="N", help="This ticket, if it still holds.", show_default=False)
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Yes, although its holder may be at work.")] = False,
) -> None:
    """Pass the holder of a lock over: the next in the queue is granted.

    The holder is not stopped. If it lives and writes under the lock, its write is refused (code fenced), so nothing is
    corrupted; what it does elsewhere goes on. See who it is first: swamp datastore lock status.
    """
    with session.namespace() as namespace:
        if not name:
            held = [one for one in namespace.queues() if namespace.queue(one).status(limit=1).unfinished]
            if len(held) != 1:
                raise Misuse(
                    f"{output.count(len(held), 'lock')} held: {', '.join(held[:10])}" if held else "no lock is held",
                    hint="say which with --name",
                )
            name = held[0]
        queue = namespace.queue(name)
        holders = queue.status().holders
        chosen = next((one for one in holders if ticket in (0, one.ticket)), None)
        if chosen is None:
            raise NotFound(
                f"ticket {ticket} does not hold {name!r}" if ticket else f"nobody holds {name!r}",
                hint="see: swamp datastore lock status",
            )
        who = f"ticket {chosen.ticket} of {chosen.host or 'nobody known'}:{chosen.pid}"
        if not force:
            raise Misuse(f"{name!r} is held by {who}", hint="to go on without it add --force")
        queue.pass_over(chosen.ticket)
    if session.json:
        output.document({"lock": name, "released": chosen})
    else:
        output.line(output.printable(f"passed over {who}, which held {name}"))
