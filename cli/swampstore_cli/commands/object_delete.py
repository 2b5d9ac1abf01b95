"""``swamp object delete``: one append of tombstones."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore.values.deltas import Delete
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "delete",
    examples="""
    swamp object delete reports/a.json
    swamp object delete cache/a cache/b cache/c
    """,
)
def delete(
    session: Session,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="The keys to delete.", show_default=False)],
) -> None:
    """Delete keys, all in one atomic step.

    A key that is not there is no error: after the command it is not there.
    """
    with session.namespace(one_shot=True) as namespace:
        ack = namespace.append([Delete(key=key) for key in keys])
    if session.json:
        output.document(
            {
                "deleted": keys,
                "namespace": namespace.name,
                "lane": ack.lane,
                "slot": ack.slot,
                "durable": ack.durable,
            }
        )
    else:
        output.line(f"deleted {output.count(len(keys), 'key')} in namespace {namespace.name}")
