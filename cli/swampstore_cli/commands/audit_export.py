"""``swamp audit export``: records of one or all topics into a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse, NotFound
from swampstore_cli import audit_rows, output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.values.audit import AuditRecord

app = new_app()


@command(
    app,
    "export",
    examples="""
    swamp audit export all.parquet
    swamp audit export november.jsonl --topic decisions --since 2026-11-01 --until 2026-12-01
    swamp audit export - --format csv | head
    """,
)
def export(
    session: Session,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to write; - is standard output.", show_default=False)
    ],
    topic: Annotated[
        list[str] | None, typer.Option("--topic", metavar="TOPIC", help="Only this one; repeatable. Default: all.")
    ] = None,
    since: Annotated[str, typer.Option("--since", metavar="WHEN", help="From then on: a time, or 2h, 7d.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Before then.")] = "",
    form: Annotated[
        str, typer.Option("--format", metavar="F", help="jsonl, csv or parquet (default: by the name).")
    ] = "",
) -> None:
    """Write audit records to FILE as lines of JSON, as CSV or as Parquet, topic by topic in order of time.

    What is not archived yet is in it too. The columns of a Parquet file are those of the archives; records that are bytes
    stand in base64 in a field, or column, of that name. FILE is replaced once all is written: an export that is
    interrupted leaves what was there before. A topic that does not exist is an error.
    """
    if file == "-":
        audit_rows.check_one_form(form, json=session.json)
    if not form:
        ending = file.rpartition(".")[2].lower()
        form = {"parquet": "parquet", "csv": "csv"}.get(ending, "jsonl")
    begin, end = audit_rows.span(since, until)
    with session.namespace() as namespace:
        names = _topics(namespace, topic or ())
        count = audit_rows.write(_records(namespace, names, begin, end), form, file)
    if session.json and file != "-":
        output.document({"file": file, "format": form, "records": count, "topics": names})
    elif file != "-":
        output.note(f"wrote {output.count(count, 'record')} to {file}")


def _topics(namespace: Namespace, wanted: Sequence[str]) -> list[str]:
    """The topics to write: those named, or all. Raises ``NotFound`` (a file of no records would hide a slip), ``Misuse``."""
    there = [one.topic for one in namespace.audit_topics()]
    if not there:
        raise Misuse(f"namespace {namespace.name!r} has no audit records", hint="see: swamp audit topics")
    missing = [name for name in wanted if name not in there]
    if missing:
        raise NotFound(
            f"no topic {', '.join(map(repr, missing))} in namespace {namespace.name!r}", hint="see: swamp audit topics"
        )
    return list(dict.fromkeys(wanted)) or there


def _records(namespace: Namespace, topics: list[str], since: int | None, until: int | None) -> Iterator[AuditRecord]:
    for name in topics:
        yield from namespace.audit(name).read(since=since, until=until)
