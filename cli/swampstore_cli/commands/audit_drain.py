"""``swamp audit drain``: deliver what waits on this machine for the store.

Invariant: exit code 0 means that nothing waits here any more and nothing was set aside, whoever delivered it:
``swamp audit drain && poweroff`` leaves no record behind.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from swampstore.errors import SwampError, TryAgain
from swampstore_cli import output
from swampstore_cli.moments import pause_s
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session
from swampstore_cli.spool_shown import SPOOLED_EXIT, lines_of

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.workers.audit_drain import DrainReport
    from swampstore.workers.audit_spool import SpoolStatus

_LOOK_S = 0.2

app = new_app()


@command(
    app,
    "drain",
    examples="""
    swamp audit drain && poweroff
    swamp audit drain --show
    swamp audit drain --json --store s3://bucket/team
    """,
)
def drain(
    session: Session,
    show: Annotated[bool, typer.Option("--show", help="Only say what waits: deliver nothing, ask no store.")] = False,
    wait: Annotated[
        str, typer.Option("--wait", metavar="SPAN", help="How long to wait for another process that delivers.")
    ] = "60s",
) -> None:
    """Deliver the audit records that wait on this machine for the store, in order, each once.

    Every command that uses the store does this on the way; this one says what came of it, and why it cannot be done. All
    namespaces of the store, or the one named with --namespace.

    Exit code 0 says that nothing is left, 76 that records wait still (another process delivers them, or they need a newer
    version), 75 that the store does not answer, and 1 that files were set aside because they cannot be read: what they held
    is not in the store. --show gives the same codes, but for 75.
    """
    wait_s = pause_s(wait, "--wait")
    failure: SwampError | None = None
    if show:
        url, spools = session.spooled()
        wanted = [name for name in spools if session.named in (None, name)]
        found: list[dict[str, Any]] = [{"namespace": name, "spool": spools[name]} for name in wanted]
    else:
        url, found, failure = _delivered(session, time.monotonic() + wait_s)
    if session.json:
        output.document({"store": url, "spools": found})
    else:
        _show(found)
    if failure is not None:
        raise failure
    code = _exit_code([one["spool"] for one in found])
    if code:
        raise typer.Exit(code)


def _delivered(session: Session, until: float) -> tuple[str, list[dict[str, Any]], SwampError | None]:
    """What came of each namespace, and the error to end with: one that says no more of the others stops the rest."""
    found: list[dict[str, Any]] = []
    failure: SwampError | None = None
    with session.opened() as opened:
        names = [session.named] if session.named is not None else opened.core.spools.waiting()
        for name in names:
            namespace = opened.face.namespace(name)
            report: dict[str, Any] = {}
            try:
                report = msgspec.to_builtins(_until_not_busy(namespace, until))
            except SwampError as error:
                failure = error
            found.append({"namespace": name, **report, "spool": namespace.spool_status()})
            if isinstance(failure, TryAgain):
                break
        return opened.core.url, found, failure


def _until_not_busy(namespace: Namespace, until: float) -> DrainReport:
    """Deliver; where another process is at it, wait until it is done, and take over what it leaves."""
    waited = False
    while True:
        report = namespace.drain_spool()
        if not report.busy or time.monotonic() >= until:
            return report
        if not waited:
            output.note(f"{namespace.name}: another process is delivering; waiting for it")
        waited = True
        time.sleep(_LOOK_S)


def _exit_code(spools: list[SpoolStatus | None]) -> int:
    """Who tries again as long as it is 76 ends with nothing waiting, and learns then what was set aside."""
    known = [one for one in spools if one is not None]
    if any(one.writes for one in known):
        return SPOOLED_EXIT
    return int(any(one.set_aside or one.problem for one in known))


def _show(found: list[dict[str, Any]]) -> None:
    if not found:
        output.line("nothing waits on this machine")
    for one in found:
        name = one["namespace"]
        if "records" in one:
            busy = "; another process is delivering still" if one["busy"] else ""
            output.line(f"{name}: delivered {output.count(one['records'], 'record')}{busy}")
        for text in lines_of(name, one["spool"]):
            output.line(text)
