"""``swamp stream read``: records as lines, or as JSON with their positions."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swampstore.errors import Misuse
from swampstore_cli import output
from swampstore_cli.commands.stream_append import tail_of
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.protocols.stream import StreamRecord

app = new_app()


@command(
    app,
    "read",
    examples="""
    swamp stream read runs/1
    swamp stream read runs/1 --after 0000000000000001000000 --limit 100 --json
    swamp stream read runs/1 --follow
    """,
)
def read(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The stream, such as runs/1.", show_default=False)],
    after: Annotated[
        str, typer.Option("--after", metavar="T", help="Only what comes after this position.", show_default=False)
    ] = "",
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="At most so many.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with records to come, until interrupted.")] = False,
) -> None:
    """Print the records of the stream NAME in order, each on a line.

    With --json there is one document; with --follow and --json one line for each record. A record that is no text has
    its data in base64.
    """
    from swampstore.protocols.stream import EMPTY

    if follow and limit is not None:
        raise Misuse("--limit together with --follow", hint="give one of them")
    with session.namespace() as namespace:
        stream, start = namespace.stream(name), tail_of(after) or EMPTY
        if follow:
            for record in stream.follow(after=start):
                _print(record, json=session.json)
                output.flush()
            return
        records = stream.read(after=start, limit=limit)
    if session.json:
        tail = records[-1].position if records else start
        output.document({"stream": name, "tail": tail, "records": [_shown(record) for record in records]})
        return
    for record in records:
        _print(record, json=False)


def _print(record: StreamRecord, *, json: bool) -> None:
    if json:
        output.line(output.encoded(_shown(record)))
    else:
        output.write_bytes(record.data if record.data.endswith(b"\n") else record.data + b"\n")


def _shown(record: StreamRecord) -> dict[str, Any]:
    try:
        return {"position": record.position, "data": record.data.decode()}
    except UnicodeDecodeError:
        return {"position": record.position, "base64": base64.b64encode(record.data).decode()}
