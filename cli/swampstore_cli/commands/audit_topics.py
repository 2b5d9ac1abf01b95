"""``swamp audit topics``: which topics there are, and how much is in them."""

from __future__ import annotations

from swampstore_cli import audit_rows, output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

_COLUMNS = ("TOPIC", "RECORDS", "NOT SORTED", "FILES", "SIZE", "FIRST", "LAST")
_NUMBERS = frozenset({1, 2, 3, 4})

app = new_app()


@command(
    app,
    "topics",
    examples="""
    swamp audit topics
    swamp audit topics --json
    """,
)
def topics(session: Session) -> None:
    """List the audit topics of the namespace, with their records, archives and spans of time.

    NOT SORTED are records that wait in the log, or in archives of mixed topics, for the compactor.
    """
    with session.opened() as opened:
        namespace = opened.face.namespace(session.settings.namespace)
        found = namespace.audit_topics()
        if not found:
            opened.existing(namespace.name)
    if session.json:
        output.document({"topics": found})
        return
    rows = (
        (
            one.topic,
            f"{one.records:,}",
            f"{one.waiting:,}",
            f"{one.files:,}",
            output.size(one.bytes),
            audit_rows.time_of(one.first),
            audit_rows.time_of(one.last),
        )
        for one in found
    )
    output.table(_COLUMNS, rows, _NUMBERS)
