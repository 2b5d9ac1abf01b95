"""``swamp data get``: the contents of a version, or what is known of it."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swampstore.errors import Misuse, NotFound, TooLarge
from swampstore_cli import datum, output
from swampstore_cli.commands.object_get import is_output, save
from swampstore_cli.model_ref import find_model
from swampstore_cli.moments import moment_ms
from swampstore_cli.nearby import local_chunks
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.values.data_version import DataVersion

JSON_BYTES = 64 << 20
"""Contents that are larger go into no JSON document."""

_DEEP = 200
"""JSON with fewer brackets cannot be nested too deeply."""
app = new_app()


@command(
    app,
    "get",
    examples="""
    swamp data get aws/ec2:web-1 state
    swamp data get web-1 state --version 3
    swamp data get web-1 state --as-of 2026-11-01T10:30Z
    swamp data get web-1 log --output run.log
    swamp data get web-1 state --json
    swamp data get web-1 state --no-content
    swamp data get --workflow deploy state
    """,
)
def get(
    session: Session,
    names: Annotated[
        list[str],
        typer.Argument(metavar="MODEL NAME", help="A model (TYPE:ID, a name or an id) and a name.", show_default=False),
    ],
    version: Annotated[str, typer.Option("--version", metavar="V", help="A number, an id, or latest.")] = datum.LATEST,
    as_of: Annotated[
        str,
        typer.Option("--as-of", metavar="TIME", help="The latest at that time, or so long ago.", show_default=False),
    ] = "",
    out: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write here, in one step.", show_default=False)
    ] = "-",
    no_content: Annotated[bool, typer.Option("--no-content", help="Show what is known of it instead.")] = False,
    workflow: Annotated[
        str,
        typer.Option("--workflow", metavar="NAME", help="Of its latest run, instead of MODEL.", show_default=False),
    ] = "",
    run: Annotated[
        str, typer.Option("--run", metavar="ID", help="Of this workflow run, instead of MODEL.", show_default=False)
    ] = "",
) -> None:
    """Write the contents of a version of NAME of MODEL to standard output, or with --output into a file.

    Without --version it is the latest, also one whose number is still pending; the hash is checked. A name that was
    renamed leads to the new one, unless --version names a version. With --json it is one document that holds the
    contents too: JSON as it is, other text as text, the rest in base64 (contentEncoding tells).
    """
    chosen = datum.wanted(version)
    if as_of and (workflow or run):
        raise Misuse("--as-of goes with MODEL, not with --workflow or --run")
    with session.namespace() as namespace:
        if workflow or run:
            found = _of_run(namespace, names, workflow, run, chosen)
        else:
            found = _of_model(session, namespace, names, chosen, as_of)
        if session.json and out == "-":
            content = {} if no_content else _content(namespace, found)
            output.document(datum.full(found) | {"namespace": namespace.name} | content)
            return
        if no_content:
            _show(found)
            return
        near = None if found.pending else local_chunks(session, namespace, found.key, found.entry.meta.sha256)
        chunks = near or namespace.data(found.model, found.name).read_chunks(found.id)
        if out == "-":
            for chunk in chunks:
                output.write_bytes(chunk)
            return
        size = save(out, chunks)
    if session.json:
        output.document(datum.full(found) | {"namespace": namespace.name, "output": os.path.abspath(out)})
    else:
        told = output.note if is_output(out) else output.line
        told(f"wrote {output.size(size)} ({datum.shown_version(found)}) to {output.printable(out)}")


def _of_model(session: Session, namespace: Namespace, names: list[str], chosen: int | str, as_of: str) -> DataVersion:
    if len(names) != 2:
        raise Misuse("MODEL and NAME are needed", hint="such as swamp data get aws/ec2:web-1 state")
    model = find_model(session.settings, namespace, names[0])
    item = namespace.data(model.model, names[1])
    found = item.get(chosen, as_of=moment_ms(as_of, "--as-of") if as_of else None)
    if found is None:
        raise _missing(namespace, str(model), names[1], chosen, as_of, item.versions(limit=6))
    return found


def _missing(
    namespace: Namespace, model: str, name: str, chosen: int | str, as_of: str, there: list[DataVersion]
) -> NotFound:
    if not there:
        return NotFound(
            f"no data {name!r} of model {model} in namespace {namespace.name!r}", hint="see: swamp data list MODEL"
        )
    known = datum.shown_versions(there)
    what = f"no version {chosen} of" if chosen != datum.LATEST else "no version as of then of" if as_of else "no live"
    return NotFound(f"{what} {name!r} of model {model}", hint=f"there are {known}; see: swamp data versions MODEL NAME")


def _of_run(namespace: Namespace, names: list[str], workflow: str, run: str, chosen: int | str) -> DataVersion:
    from swampstore_cli.provenance import made_by

    if len(names) != 1:
        raise Misuse("with --workflow or --run only NAME is given", hint="such as --workflow deploy state")
    found = [one for one in made_by(namespace, workflow, run) if one.name == names[0]]
    if chosen != datum.LATEST:
        found = [one for one in found if chosen in (one.ordinal, one.id)]
    if not found:
        raise NotFound(f"no data {names[0]!r} of that run in namespace {namespace.name!r}", hint="see: swamp data list")
    found.sort(key=lambda one: one.ordinal if one.ordinal is not None else 1 << 62, reverse=True)
    for other in found[1:]:
        output.note(f"also made by that run: {other.model} {output.printable(other.name)} {datum.shown_version(other)}")
    return found[0]


def _content(namespace: Namespace, found: DataVersion) -> dict[str, Any]:
    """``content`` and ``contentEncoding``: JSON as JSON, text as text, the rest in base64."""
    if found.size > JSON_BYTES:
        raise TooLarge(
            f"contents of {output.size(found.size)} go into no JSON document",
            hint="add --output FILE for the contents, or --no-content",
        )
    data = b"".join(namespace.data(found.model, found.name).read_chunks(found.id))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return {"content": base64.b64encode(data).decode(), "contentEncoding": "base64"}
    if found.content_type.partition(";")[0].strip() == "application/json":
        import json

        try:
            content = {"content": json.loads(text), "contentEncoding": "utf-8"}
            if text.count("[") + text.count("{") > _DEEP:
                output.encoded(content)  # what is nested too deeply to be printed is text
            return content
        except (ValueError, RecursionError):
            pass  # not the JSON it says to be: then it is text
    return {"content": text, "contentEncoding": "utf-8"}


def _show(found: DataVersion) -> None:
    """What is known of it, one field per line."""
    shape = datum.full(found) | {"size": output.size(found.size)}
    for name, value in shape.items():
        if value not in (None, "", {}):
            output.line(f"{name + ':':<19}{output.printable(_plain(value))}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)
