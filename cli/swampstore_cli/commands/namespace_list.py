"""``swamp datastore namespace list``."""

from __future__ import annotations

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "list",
    examples="""
    swamp datastore namespace list
    swamp datastore namespace list --store s3://my-bucket/team --json
    """,
)
def list_names(session: Session) -> None:
    """List the names of the namespaces in the store, in order."""
    with session.opened() as opened:
        names = opened.face.namespaces()
    if session.json:
        output.document({"store": opened.face.url, "namespaces": names})
    else:
        for name in names:
            output.line(name)
