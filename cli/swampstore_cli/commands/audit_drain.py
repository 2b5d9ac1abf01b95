"""``swamp audit drain``: deliver what waits on this machine for the store."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session
from swampstore_cli.spool_shown import lines_of

app = new_app()


@command(
    app,
    "drain",
    examples="""
    swamp audit drain
    swamp audit drain --show
    swamp audit drain --json --store s3://bucket/team
    """,
)
def drain(
    session: Session,
    show: Annotated[bool, typer.Option("--show", help="Only say what waits.")] = False,
) -> None:
    """Deliver the audit records that wait on this machine for the store, in order, each once.

    Every command that uses the store does this on the way; this one says what came of it, and why it cannot be done. All
    namespaces of the store, or the one named with --namespace.
    """
    from swampstore.workers.spool_place import spooled_namespaces

    with session.opened() as opened:
        core = opened.core
        waiting = spooled_namespaces(core.spool, core.url) if core.spool is not None else []
        names = [session.named] if session.named is not None else waiting
        found: list[dict[str, Any]] = []
        for name in names:
            namespace = opened.face.namespace(name)
            report = {} if show else msgspec.to_builtins(namespace.drain_spool())
            found.append({"namespace": name, **report, "spool": namespace.spool_status()})
    if session.json:
        output.document({"store": core.url, "spools": found})
        return
    if not found:
        output.line("nothing waits on this machine")
    for one in found:
        _show(one, shown_only=show)


def _show(one: dict[str, Any], *, shown_only: bool) -> None:
    name = one["namespace"]
    if not shown_only:
        busy = "; another process is delivering" if one["busy"] else ""
        output.line(f"{name}: delivered {output.count(one['records'], 'record')}{busy}")
    for text in lines_of(name, one["spool"]):
        output.line(text)
