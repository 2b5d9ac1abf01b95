"""``swamp data put``: a new version of a datum, by one append without any lock."""

from __future__ import annotations

import mimetypes
import os
from typing import Annotated

import typer

from swampstore_cli import output
from swampstore_cli.commands.object_put import STDIN, contents, pairs
from swampstore_cli.model_ref import HELP, find_model
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "put",
    examples="""
    swamp data put aws/ec2:web-1 state state.json
    echo '{"ok": true}' | swamp data put aws/ec2:web-1 state --content-type application/json
    swamp data put aws/ec2:web-1 log run.log --tag env=prod --lifetime 30d --keep 10
    swamp data put web-1 state state.json --ordinal
    """,
)
def put(
    session: Session,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=HELP, show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The data name, such as state.", show_default=False)],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What to store; - or nothing: standard input.", show_default=False)
    ] = STDIN,
    content_type: Annotated[
        str,
        typer.Option("--content-type", metavar="TYPE", help="A media type; else by FILE's ending.", show_default=False),
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="A tag to keep with it; repeatable.")
    ] = None,
    lifetime: Annotated[
        str,
        typer.Option("--lifetime", metavar="SPAN", help="Such as 12h, 30d, 6mo; or infinite, job, workflow."),
    ] = "infinite",
    keep: Annotated[
        str,
        typer.Option(
            "--keep",
            metavar="N|SPAN",
            help="What gc leaves: a count or an age. The newest version's word holds.",
            show_default=False,
        ),
    ] = "",
    owner: Annotated[
        list[str] | None, typer.Option("--owner", metavar="NAME=VALUE", help="A field of the owner; repeatable.")
    ] = None,
    streaming: Annotated[bool, typer.Option("--streaming", help="Mark it as written line by line.")] = False,
    ordinal: Annotated[bool, typer.Option("--ordinal", help="Wait for the version's number.")] = False,
) -> None:
    """Store the contents of FILE (or of standard input) as a new version of NAME of MODEL.

    One append, without any lock or read: when it returns, the version is durable, is the latest, and has an id that never
    changes. Its number (1, 2, 3 ...) is given when the log is folded; until then it is shown as pending. With --ordinal
    the command waits for the number, which costs a fold.
    """
    tags = pairs(tag, "tag", "type=report")
    owners = pairs(owner, "owner", "ownerRef=alice")
    kind = content_type or (mimetypes.guess_type(file)[0] or "" if file != STDIN else "")
    with session.namespace(one_shot=True) as namespace:
        found = find_model(session.settings, namespace, model)
        if found.name != found.model.id:
            tags.setdefault("modelName", found.name)
        with contents(file) as data:
            ack = namespace.data(found.model, name).put(
                data,
                content_type=kind,
                tags=tags,
                lifetime=lifetime,
                keep=keep or None,
                owner=owners,
                streaming=streaming,
                ordinal=ordinal,
            )
            size = len(data) if isinstance(data, bytes) else getattr(data, "size", 0)
    if session.json:
        output.document(
            {
                "id": ack.id,
                "name": name,
                "version": ack.ordinal,
                "pending": ack.ordinal is None,
                "modelId": found.model.id,
                "modelName": found.name,
                "modelType": found.model.type,
                "namespace": namespace.name,
                "size": size,
                "durable": ack.durable,
            }
        )
        return
    number = "pending" if ack.ordinal is None else f"v{ack.ordinal}"
    where = f"{output.printable(name)} of {output.printable(str(found))} in namespace {namespace.name}"
    output.line(f"put {number} ({output.size(size)}) of {where}{os.linesep}id {ack.id}")
