"""``swamp audit drain``: deliver what waits on this machine for the store.

Invariant: exit code 0 means that nothing waits here any more and nothing was set aside, whoever delivered it:
``swamp audit drain && poweroff`` leaves no record behind.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import msgspec
import typer

from swampstore.errors import SwampError
from swampstore.workers.audit_drain import DrainReport
from swampstore_cli import output
from swampstore_cli.moments import pause_s
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session
from swampstore_cli.spool_shown import SPOOLED_EXIT, end_away, is_away, lines_of

if TYPE_CHECKING:
    from swampstore.client.audit_delivery import Delivery
    from swampstore.workers.audit_spool import SpoolStatus

_LOOK_S = 0.2

app = new_app()


class Failed(NamedTuple):
    """A namespace of which not everything could be delivered; ``away``: for the store is."""

    namespace: str
    error: SwampError
    away: bool


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
    version), 75 that the store is away (it does not answer, or is gone, full or read-only), and 1 that somebody has to look:
    the store refuses them, or files were set aside because they cannot be read, and what they held is not in the store.
    --show gives the same codes, but for 75.
    """
    wait_s = pause_s(wait, "--wait")
    failed: list[Failed] = []
    if show:
        url, spools = session.spooled()
        wanted = [name for name in spools if session.named in (None, name)]
        found: list[dict[str, Any]] = [{"namespace": name, "spool": spools[name]} for name in wanted]
    else:
        url, found, failed = _delivered(session, time.monotonic() + wait_s)
    if session.json:
        output.document({"store": url, "spools": found})
    else:
        _show(found, {one.namespace for one in failed})
    if failed:
        _fail(failed, json=session.json)
    code = _exit_code([one["spool"] for one in found])
    if code:
        raise typer.Exit(code)


def _delivered(session: Session, until: float) -> tuple[str, list[dict[str, Any]], list[Failed]]:
    """What came of each namespace, and what failed: a store that is away is asked no more."""
    found: list[dict[str, Any]] = []
    failed: list[Failed] = []
    with session.opened() as opened:
        for name in [session.named] if session.named is not None else opened.core.spools.waiting():
            delivery = opened.core.namespace(name).delivery
            report = DrainReport(name)
            try:
                if not any(one.away for one in failed):
                    report = _until_not_busy(delivery, report, until)
            except SwampError as error:
                failed.append(Failed(name, error, is_away(opened, error)))
            status = delivery.status()
            if status is not None:
                report.left = status.writes
            found.append({**msgspec.to_builtins(report), "spool": status})
        return opened.core.url, found, failed


def _until_not_busy(delivery: Delivery, report: DrainReport, until: float) -> DrainReport:
    """Deliver; where another process is at it, wait until it is done, and take over what it leaves."""
    from swampstore.client.blocking import finish

    waited = False
    while True:
        finish(delivery.drain(report=report))
        if not report.busy or time.monotonic() >= until:
            return report
        if not waited:
            output.note(f"{report.namespace}: another process is delivering; waiting for it")
        waited = True
        time.sleep(_LOOK_S)


def _fail(failed: list[Failed], *, json: bool) -> NoReturn:
    """End with the last error; one that says that the store is away is the last."""
    *others, last = failed
    for one in others:
        output.problem(f"{one.namespace}: {one.error}", one.error.code, one.error.hint, json=json)
    if last.away:
        end_away(last.error, json=json)
    raise last.error


def _exit_code(spools: list[SpoolStatus | None]) -> int:
    """Who tries again as long as it is 76 ends with nothing waiting, and learns then what was set aside."""
    known = [one for one in spools if one is not None]
    if any(one.writes for one in known):
        return SPOOLED_EXIT
    return int(any(one.set_aside or one.problem for one in known))


def _show(found: list[dict[str, Any]], failed: set[str]) -> None:
    if not found:
        output.line("nothing waits on this machine")
    for one in found:
        name = one["namespace"]
        if "records" in one and (one["records"] or name not in failed):
            busy = "; another process is delivering still" if one["busy"] else ""
            output.line(f"{name}: delivered {output.count(one['records'], 'record')}{busy}")
        for text in lines_of(name, one["spool"]):
            output.line(text)
