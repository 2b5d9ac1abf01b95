"""``swamp datastore queue list``."""

from __future__ import annotations

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "list",
    examples="""
    swamp datastore queue list
    swamp datastore queue list --namespace ops --json
    """,
)
def list_queues(session: Session) -> None:
    """List the queues and locks of the namespace that anybody ever waited for, and how long they are."""
    with session.namespace() as namespace:
        found = [namespace.queue(name).status() for name in namespace.queues()]
    if session.json:
        queues = [{"queue": one.queue, "capacity": one.capacity, "unfinished": one.unfinished} for one in found]
        output.document({"namespace": session.settings.namespace, "queues": queues})
        return
    rows = [(one.queue, str(one.capacity), str(one.held), str(one.waiting)) for one in found]
    if rows:
        output.table(("QUEUE", "CAPACITY", "HELD", "WAITING"), rows, frozenset({1, 2, 3}))
