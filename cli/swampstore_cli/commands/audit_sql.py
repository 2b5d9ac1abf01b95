"""``swamp audit sql``: a query over all audit records, by DuckDB."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swampstore.errors import Misuse
from swampstore_cli import audit_rows, output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.audit_sql import SqlAnswer

app = new_app()


@command(
    app,
    "sql",
    examples="""
    swamp audit sql "select topic, count(*) from audit group by topic"
    swamp audit sql "select record->>'$.provider' as provider, avg((record->>'$.cost')::double) from audit group by 1"
    swamp audit sql "select * from audit order by ts desc limit 10" --topic decisions --since 7d --json
    """,
)
def sql(
    session: Session,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What DuckDB understands.", show_default=False)],
    topic: Annotated[
        list[str] | None, typer.Option("--topic", metavar="TOPIC", help="Only this one; repeatable. Default: all.")
    ] = None,
    since: Annotated[str, typer.Option("--since", metavar="WHEN", help="From then on: a time, or 2h, 7d.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Before then.")] = "",
    form: Annotated[str, typer.Option("--format", metavar="F", help="table, csv or jsonl.")] = "table",
) -> None:
    """Ask DuckDB. The view audit has the columns topic, ts (UTC), id, record (JSON), raw, kind, fold, lane and slot.

    Everything that was acknowledged is in it, archived or not. --topic, --since and --until say what is to be fetched, which
    the query itself cannot. The view audit_files is the same without looking for second copies: faster for large scans.
    Needs the extra sql: pip install 'swampstore[sql]'
    """
    if form not in ("table", "csv", "jsonl"):
        raise Misuse(f"--format {form!r}", hint="table, csv or jsonl")
    begin, end = audit_rows.span(since, until)
    with session.namespace() as namespace:
        answer = namespace.audit_sql(query, topics=topic or None, since=begin, until=end)
    if session.json:
        rows = [dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows]
        output.document({"columns": answer.columns, "rows": rows})
    else:
        _show(answer, form)


def _show(answer: SqlAnswer, form: str) -> None:
    if form == "table":
        audit_rows.table(answer.columns, answer.rows)
    elif form == "csv":
        import csv

        writer = csv.writer(sys.stdout)
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
    else:
        for row in answer.rows:
            output.line(audit_rows.compact(dict(zip(answer.columns, map(_plain, row), strict=True))))


def _plain(cell: Any) -> Any:
    """What JSON has a word for; everything else as a text."""
    return cell if isinstance(cell, str | int | float | bool | list | dict) or cell is None else str(cell)
