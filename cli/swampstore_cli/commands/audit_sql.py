"""``swamp audit sql``: a query over all audit records, by DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from swampstore.errors import Misuse
from swampstore_cli import audit_rows, output, sql_cells
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

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
    form: Annotated[
        str, typer.Option("--format", metavar="F", help="table (the default), csv or jsonl.", show_default=False)
    ] = "",
) -> None:
    """Ask DuckDB. The view audit has the columns topic, ts (UTC), id, record (JSON), raw, kind, fold, lane and slot.

    Everything that was acknowledged is in it, archived or not. --topic, --since and --until say what is to be fetched, which
    the query itself cannot. The view audit_files is the same without looking for second copies: faster for large scans.

    Bytes are printed in base64; a second column of one name is called NAME_1, as JSON can say each name but once.
    Needs the extra sql: pip install 'swampstore[sql]'
    """
    audit_rows.check_one_form(form, json=session.json)
    if form not in ("", "table", "csv", "jsonl"):
        raise Misuse(f"--format {form!r}", hint="table, csv or jsonl")
    begin, end = audit_rows.span(since, until)
    with session.namespace() as namespace:
        answer = namespace.audit_sql(query, topics=topic or None, since=begin, until=end)
    columns = sql_cells.names_apart(answer.columns)
    if session.json:
        rows = [dict(zip(columns, map(sql_cells.plain, row), strict=True)) for row in answer.rows]
        output.document({"columns": columns, "rows": rows})
    else:
        _show(columns, answer.rows, form)


def _show(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> None:
    if form in ("", "table"):
        output.table(columns, ([sql_cells.text(cell) for cell in row] for row in rows))
    elif form == "csv":
        output.write(audit_rows.csv_line(columns))
        for row in rows:
            output.write(audit_rows.csv_line([sql_cells.text(cell) for cell in row]))
    else:
        for row in rows:
            output.line(audit_rows.compact(dict(zip(columns, map(sql_cells.plain, row), strict=True))))
