"""``swamp stream append``."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore.errors import Misuse, TooLarge
from swampstore_cli import output
from swampstore_cli.commands.object_put import STDIN, contents
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

EMPTY_WORD = "empty"

app = new_app()


@command(
    app,
    "append",
    examples="""
    echo started | swamp stream append runs/1
    swamp stream append runs/1 event.json --expect-tail 0000000000000001000000
    swamp stream append log events.ndjson --lines
    """,
)
def append(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The stream, such as runs/1.", show_default=False)],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What to append; - or nothing: standard input.", show_default=False)
    ] = STDIN,
    expect_tail: Annotated[
        str,
        typer.Option("--expect-tail", metavar="T", help=f"Only if T is the tail ({EMPTY_WORD}: no record yet)."),
    ] = "",
    lines: Annotated[bool, typer.Option("--lines", help="Each line is a record; else all is one.")] = False,
) -> None:
    """Append to the stream NAME, all records or none, and print its new tail.

    Without --expect-tail it always lands. With it, of all who name one tail exactly one wins; for the others it is a
    conflict (exit code 3): read what was missed, decide again.
    """
    with contents(file) as data:
        if not isinstance(data, bytes):
            raise TooLarge("that is too much for one append", hint="append it in parts")
        records = data.splitlines() if lines else [data]
    if not records:
        raise Misuse("there is no line to append", hint="give at least one")
    with session.namespace(one_shot=True) as namespace:
        ack = namespace.stream(name).append(records, expected_tail=tail_of(expect_tail))
    if session.json:
        output.document(
            {"stream": name, "tail": ack.tail, "positions": ack.positions, "lane": ack.lane, "slot": ack.slot}
        )
    else:
        output.line(ack.tail)


def tail_of(text: str) -> str | None:
    """A tail as given on the command line; ``None`` when it was not."""
    from swampstore.protocols.stream import EMPTY

    return EMPTY if text == EMPTY_WORD else text or None
