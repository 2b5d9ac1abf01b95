"""``swamp datastore snapshot list``."""

from __future__ import annotations

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "list",
    examples="""
    swamp datastore snapshot list
    swamp datastore snapshot list --namespace ops --json
    """,
)
def list_snapshots(session: Session) -> None:
    """List the saved snapshots of the namespace by name, with the time they were made."""
    with session.namespace() as namespace:
        found = namespace.saved()
    if session.json:
        output.document({"namespace": session.settings.namespace, "snapshots": found})
        return
    rows = [
        (one.name, output.moment(one.time), f"{one.records:,}", output.size(one.manifest_bytes), one.problem)
        for one in found
    ]
    if rows:
        output.table(("name", "saved", "records", "manifest", ""), rows, right=frozenset({2, 3}))
