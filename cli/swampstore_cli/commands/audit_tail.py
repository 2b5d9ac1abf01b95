"""``swamp audit tail``: the newest records of a topic, and those to come."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import audit_rows, output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.audit_blocking import AuditTopic
    from swampstore.values.audit import AuditRecord

_DAY_MS = 86_400_000

app = new_app()


@command(
    app,
    "tail",
    examples="""
    swamp audit tail decisions
    swamp audit tail decisions --follow --json
    swamp audit tail decisions --after "$POSITION" --json
    """,
)
def tail(
    session: Session,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Such as decisions.", show_default=False)],
    lines: Annotated[int, typer.Option("-n", "--lines", metavar="N", help="How many of the newest.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with records to come.")] = False,
    after: Annotated[
        str, typer.Option("--after", metavar="POS", help="What was committed since a position.", show_default=False)
    ] = "",
) -> None:
    """Print the last records of TOPIC by time; with --follow also what is committed from then on, until interrupted.

    With --after all that was committed since that position, in the order of commits, whatever time it bears. With --json
    the position to go on from is printed with the records (with --follow on every line): nothing is ever skipped.
    """
    if lines < 0:
        raise Misuse(f"-n {lines} makes no sense")
    with session.opened() as opened:
        namespace = opened.face.namespace(session.settings.namespace)
        audit = namespace.audit(topic)
        if after:
            _since(session, audit, after, follow=follow)
            return
        start = str(audit.head()) if follow or session.json else ""  # before the records: none falls in between
        found = newest(audit, lines)
        if not found and not follow:
            opened.existing(namespace.name)
        if session.json and not follow:
            rows = [audit_rows.row(record) for record in found]
            output.document({"topic": topic, "records": rows, "position": start})
            return
        for record in found:
            _print(session, record, start)
        output.flush()
        if follow:
            known = {(record.ts, record.id) for record in found}
            for page in audit.follow(after=start):
                for record in page.records:
                    if (record.ts, record.id) not in known:
                        _print(session, record, str(page.after))
                output.flush()


def newest(audit: AuditTopic, count: int) -> list[AuditRecord]:
    """The last records by time: the days before now are looked through backwards, ever more at once."""
    if not count:
        return []
    from swampstore_cli.moments import now_ms

    since: int | None = now_ms() - _DAY_MS
    span = _DAY_MS
    found: deque[AuditRecord] = deque(maxlen=count)
    while True:
        found.clear()
        found.extend(audit.read(since=since))
        if len(found) >= count or since is None:
            return list(found)
        span *= 16
        since = now_ms() - span if span < 1000 * _DAY_MS else None


def _since(session: Session, audit: AuditTopic, after: str, *, follow: bool) -> None:
    if follow:
        for page in audit.follow(after=after):
            for record in page.records:
                _print(session, record, str(page.after))
            output.flush()
    more = True
    position = after
    while more:
        page = audit.changes(after=position)
        position, more = str(page.after), page.more
        for record in page.records:
            _print(session, record, position)
    if session.json:
        output.line(audit_rows.compact({"position": position}))


def _print(session: Session, record: AuditRecord, position: str) -> None:
    if session.json:
        output.line(audit_rows.compact(audit_rows.row(record) | {"position": position}))
    else:
        audit_rows.show([record])
