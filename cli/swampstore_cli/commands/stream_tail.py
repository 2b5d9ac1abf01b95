"""``swamp stream tail``."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "tail",
    examples="""
    swamp stream tail runs/1
    """,
)
def tail(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The stream, such as runs/1.", show_default=False)],
) -> None:
    """Print the position after the last record of the stream NAME; give it to append --expect-tail or read --after."""
    with session.namespace() as namespace:
        found = namespace.stream(name).tail()
    if session.json:
        output.document({"stream": name, "tail": found})
    else:
        output.line(found)
