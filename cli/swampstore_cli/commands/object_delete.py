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

    A key that is not there is no error: it is counted apart, and after the command it is not there. If none is there
    nothing is written, and lane, slot and durable are null in JSON.
    """
    with session.opened(one_shot=True) as opened:
        namespace = opened.face.namespace(session.settings.namespace)
        held = namespace.get_many(keys)
        there = [key for key, entry in held.items() if entry is not None]
        absent = [key for key, entry in held.items() if entry is None]
        ack = namespace.append([Delete(key=key) for key in there]) if there else None
        if ack is None:
            opened.existing(namespace.name)
    if session.json:
        told = {name: getattr(ack, name, None) for name in ("lane", "slot", "durable")}
        output.document({"deleted": there, "absent": absent, "namespace": namespace.name, **told})
        return
    gone = f" ({output.count(len(absent), 'key')} not there)" if absent else ""
    output.line(f"deleted {output.count(len(there), 'key')} in namespace {namespace.name}{gone}")
