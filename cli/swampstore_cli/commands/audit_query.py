"""``swamp audit query``: records of a topic by time and by what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import audit_rows, output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.values.audit import AuditRecord
    from swampstore.values.audit_filter import Condition

_TWO_SIGNS = re.compile(r"([^=!<>~]+(?>!=|<=|>=|==?|<|>|~)\s*)[=<>~]")

app = new_app()


@command(
    app,
    "query",
    examples="""
    swamp audit query decisions --since 1h
    swamp audit query decisions --where provider=a --where 'cost>=10' --json
    swamp audit query decisions --since 2026-11-01 --until 2026-11-02 --format csv --output november-1.csv
    """,
)
def query(
    session: Session,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Such as decisions.", show_default=False)],
    since: Annotated[str, typer.Option("--since", metavar="WHEN", help="From then on: a time, or 2h, 7d.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Before then.")] = "",
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COND", help="Such as provider=a, cost>=10, text~slow; repeatable: all."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="At most so many, the first.", show_default=False)
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="F", help="jsonl, csv or parquet.", show_default=False)] = "",
    to: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")] = "-",
) -> None:
    """Print the records of TOPIC in order of time, one a line.

    Only the archives of the topic and of the days asked for are read, and what is not archived yet.
    No record is no error, but a namespace that does not exist is one.
    """
    from swampstore.values.audit_filter import all_match

    conditions = [_condition(text) for text in where or ()]
    begin, end = audit_rows.span(since, until)
    if limit is not None and limit < 1:
        raise Misuse(f"--limit {limit} makes no sense", hint="1 or more")
    if to == "-":
        audit_rows.check_one_form(form, json=session.json)
    elif not form:
        form = "parquet" if to.endswith(".parquet") else "csv" if to.endswith(".csv") else "jsonl"
    with session.opened() as opened:
        namespace = opened.face.namespace(session.settings.namespace)
        records: Iterable[AuditRecord] = namespace.audit(topic).read(since=begin, until=end)
        found: Iterator[AuditRecord] = (one for one in records if all_match(conditions, one.data))
        found = islice(found, limit)
        first = list(islice(found, 1))
        if not first:
            opened.existing(namespace.name)
        found = chain(first, found)
        if form:
            audit_rows.write(found, form, to)
        elif session.json:
            output.document({"topic": topic, "records": [audit_rows.row(record) for record in found]})
        else:
            audit_rows.show(found)


def _condition(text: str) -> Condition:
    """Raises ``Misuse``, also for a second sign where the value begins: ``a>>2`` is a slip more often than a text."""
    from swampstore.values.audit_filter import parse_condition

    if found := _TWO_SIGNS.match(text):
        raise Misuse(f"{text!r} has two signs", hint=f'if the text begins with one: {found[1]}"{text[found.end(1) :]}"')
    return parse_condition(text)
