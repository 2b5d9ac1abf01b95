"""``swamp datastore queue show``: the tickets of one queue. Its table serves the locks too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.protocols.queue_status import QueueStatus, TicketStatus

app = new_app()

_HEADER = ("TICKET", "STATE", "POSITION", "WHO", "AGE", "IDLE", "PURPOSE")
_NUMBERS = frozenset({0, 2, 4, 5})


@command(
    app,
    "show",
    examples="""
    swamp datastore queue show sandbox
    swamp datastore queue show sandbox --json
    """,
)
def show(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The queue's or lock's name.", show_default=False)],
) -> None:
    """Show who holds a place in the queue NAME (position 0) and who waits.

    STATE is queued, running, stuck (no progress for longer than its run limit) or dead (no sign of life; it will be
    passed over). IDLE is the time since its grant or its last progress.
    """
    with session.namespace() as namespace:
        found = namespace.queue(name).status()
    if session.json:
        output.document(found)
        return
    output.line(title(found))
    tickets(found.tickets)


def title(found: QueueStatus) -> str:
    """One line about a queue."""
    return f"{output.printable(found.queue)}: capacity {found.capacity}, {found.held} held, {found.waiting} waiting"


def tickets(found: Iterable[TicketStatus]) -> None:
    """The table of tickets."""
    rows = [_row(one) for one in found]
    if rows:
        output.table(_HEADER, rows, _NUMBERS)


def _row(one: TicketStatus) -> tuple[str, ...]:
    return (
        str(one.ticket),
        one.state,
        str(one.position),
        f"{one.host}:{one.pid}" if one.host else "unreadable",
        output.age(one.age_s) if one.host else "-",
        "-" if one.idle_s is None else output.age(one.idle_s),
        one.purpose or "-",
    )
