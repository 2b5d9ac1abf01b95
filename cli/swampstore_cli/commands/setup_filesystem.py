"""``swamp datastore setup filesystem``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from swampstore.errors import BadURL
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session
from swampstore_cli.setting_up import set_up

app = new_app()


@command(
    app,
    "filesystem",
    examples="""
    swamp datastore setup filesystem /data/team
    swamp datastore setup filesystem ~/swamp --namespace ops
    """,
)
def filesystem(
    session: Session,
    path: Annotated[str, typer.Argument(metavar="PATH", help="The directory; made if it is missing.")],
    force: Annotated[bool, typer.Option("--force", help="Replace another store named in .swamp.yaml.")] = False,
) -> None:
    """Keep the repo's store in a directory that its processes share.

    Makes the directory, proves that it refuses broken preconditions, and writes .swamp.yaml in the repo.
    """
    if not path:
        raise BadURL("the path is empty", hint="name a directory: swamp datastore setup filesystem /srv/team")
    absolute = os.path.abspath(os.path.expanduser(path))
    session.check_apart(f"file://{absolute}")
    set_up(session, f"filesystem:{absolute}", {"type": "filesystem", "path": absolute}, force=force)
