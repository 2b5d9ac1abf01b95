"""``swamp datastore status``: the state of each namespace from two requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.status import NamespaceStatus

app = new_app()

_HEADER = ("NAMESPACE", "RECORDS", "SHARDS", "MANIFEST", "LOG", "OLDEST", "LEADER", "ROOT")
_NUMBERS = frozenset({1, 2, 3, 4, 5, 7})


@command(
    app,
    "status",
    examples="""
    swamp datastore status
    swamp datastore status --namespace ops --json
    """,
)
def status(session: Session) -> None:
    """Show the state of every namespace in the store, or of the one named with --namespace.

    RECORDS counts what the manifest holds, LOG the segments that are not folded yet, OLDEST the age of the first of
    them. A log that stays long means that no compactor runs: see swamp datastore compact --watch.
    """
    with session.opened() as opened:
        found = [opened.face.namespace(name).status() for name in opened.names(session.named)]
        if session.named is not None and not (found[0].root_version or found[0].log_segments):
            opened.existing(session.named)
    if session.json:
        output.document({"store": opened.face.url, "namespaces": found})
        return
    output.line(f"store {opened.face.url} (by {session.settings.origin})")
    if not found:
        output.line("it holds no namespace yet; the first write makes one")
        return
    output.line()
    output.table(_HEADER, (_row(one) for one in found), _NUMBERS)
    for one in found:
        if one.quarantined:
            output.line(f"\n{one.namespace}: {output.count(one.quarantined, 'broken segment')} set aside")


def _row(one: NamespaceStatus) -> tuple[str, ...]:
    return (
        one.namespace,
        f"{one.records:,}",
        f"{one.shards:,}",
        output.size(one.shard_bytes),
        f"{one.log_depth:,}",
        output.age(one.oldest_unfolded_s) if one.log_depth else "-",
        one.leader or "-",
        f"{one.root_version:,}",
    )
