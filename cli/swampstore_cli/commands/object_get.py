"""``swamp object get``: contents to standard output or into a file, checked by their hash."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated

import typer

from swampstore.errors import Misuse, NotFound
from swampstore.values.entry import Entry
from swampstore_cli import output
from swampstore_cli.nearby import chunks_of
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session
from swampstore_cli.whole_file import replacing

app = new_app()


@command(
    app,
    "get",
    examples="""
    swamp object get reports/a.json
    swamp object get backups/db.tar --output db.tar
    swamp object get reports/a.json --meta --json
    """,
)
def get(
    session: Session,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Such as reports/a.json.", show_default=False)],
    out: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write here, in one step.", show_default=False)
    ] = "-",
    meta: Annotated[bool, typer.Option("--meta", help="Show what is known of it instead of the contents.")] = False,
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", metavar="NAME", help="As it was in this saved snapshot.")
    ] = None,
) -> None:
    """Write the contents of KEY to standard output, or with --output into a file.

    The hash is checked. A file appears only when its contents are complete and right.
    With --meta --json all fields are there, null where nothing is known.
    """
    if session.json and not meta and out == "-":
        raise Misuse(
            "--json prints what is known of a key, not its contents",
            hint="add --meta for the entry as JSON, or --output FILE to write the contents into a file",
        )
    with session.namespace() as namespace:
        source = namespace if snapshot is None else namespace.snapshot(saved=snapshot)
        if meta:
            entry = source.get(key)
            if entry is None:
                where = f"snapshot {snapshot!r}" if snapshot is not None else f"namespace {namespace.name!r}"
                raise NotFound(f"no entry {key!r} in {where}", hint="see: swamp object list")
            _show(entry, json=session.json)
            return
        chunks = chunks_of(session, namespace, key) if snapshot is None else source.read_chunks(key)
        if out == "-":
            for chunk in chunks:
                output.write_bytes(chunk)
            return
        size = save(out, chunks)
    if session.json:
        output.document({"key": key, "namespace": namespace.name, "size": size, "output": os.path.abspath(out)})
    else:
        told = output.note if is_output(out) else output.line
        told(f"wrote {output.size(size)} to {output.printable(out)}")


def is_output(path: str) -> bool:
    """Whether ``path`` leads to standard output: nothing else may be printed there."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(1))
    except OSError:
        return False


def save(path: str, chunks: Iterable[bytes]) -> int:
    """Write ``chunks`` to ``path`` as a whole; the number of bytes. Nothing is left behind on error."""
    with replacing(path) as file:
        return sum(file.write(chunk) for chunk in chunks)


def _show(entry: Entry, *, json: bool) -> None:
    if json:
        output.document(output.entry(entry))
        return
    moments = {"created", "modified", "expires"}
    for name, value in entry.describe().items():
        text = output.moment(value) if name in moments else output.printable(str(value))
        output.line(f"{name + ':':<13}{text}")
