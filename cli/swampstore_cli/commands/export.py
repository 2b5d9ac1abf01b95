"""``swamp datastore export``: write a namespace out in the legacy layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.progress import Progress
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.workers.legacy.export_report import ExportReport

_SHOWN = 5

app = new_app()


@command(
    app,
    "export",
    examples="""
    swamp datastore export /data/old
    swamp datastore export s3://my-bucket/old --namespace ops --index v2
    swamp datastore export /data/part --model command/shell:3f0c1c7e-6c1a-4d3e-9d0e-0d6f0b6f1a11
    """,
)
def export(
    session: Session,
    dest: Annotated[
        str, typer.Argument(metavar="DEST", help="An empty or new folder, or an s3:// URL.", show_default=False)
    ],
    index: Annotated[str, typer.Option("--index", metavar="VERSION", help="v1 (one file) or v2 (partitions).")] = "v1",
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="PREFIX", help="Only keys that begin so.", show_default=False)
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="TYPE:ID", help="Only the data of this model.", show_default=False)
    ] = "",
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove files of an earlier export that are no longer in the namespace.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write although DEST holds other files.")] = False,
) -> None:
    """Write the namespace out to DEST in the legacy layout, so that older programs can go on with it.

    With --namespace it becomes that legacy namespace below DEST, else it lies at DEST itself. Run it again after an
    interruption, or to bring an earlier export up to date: what is there and right is kept. Nothing in the namespace
    is changed.
    """
    from swampstore.client.blocking import finish
    from swampstore.workers.legacy.export import export_legacy
    from swampstore.workers.legacy.export_report import ExportOptions
    from swampstore.workers.legacy.export_sink import close_sink, open_sink

    options = ExportOptions(index=index, prefix=_prefix(prefix, model), force=force, delete=delete)
    options.check()
    named = session.named or ""
    with session.opened() as opened:
        opened.existing(session.settings.namespace)
        core = opened.core.namespace(session.settings.namespace)
        sink = finish(open_sink(dest, opened.env, named, timeout=session.settings.timeout))
        try:
            with Progress() as progress:
                report = finish(export_legacy(core, sink, options, named=named, progress=progress))
        except KeyboardInterrupt:
            output.note("the export is not complete; run it again to go on")
            raise
        finally:
            finish(close_sink(sink))
    if session.json:
        output.document(report)
    else:
        _show(report, session.settings.namespace)
    if report.incomplete:
        raise typer.Exit(1)


def _prefix(prefix: str, model: str) -> str:
    from swampstore.values.data import DATA_FOLDER, parse_model

    if not model:
        return prefix
    if prefix:
        raise Misuse("both --model and --prefix", hint="give one of them")
    found = parse_model(model)
    return f"{DATA_FOLDER}{found.type}/{found.id}/"


def _show(report: ExportReport, namespace: str) -> None:
    output.line(f"exported {output.count(report.entries, 'file')} of namespace {namespace} to {report.target}")
    output.line(f"  written        {report.written:,}")
    output.line(f"  kept           {report.kept:,}")
    output.line(f"  bytes          {output.size(report.bytes)}")
    output.line(f"  index          {report.index}")
    for reason, number in sorted(report.dropped.items()):
        output.line(f"  not data       {number:,} ({reason})")
    for name, number in (
        ("conflicts", report.conflicts),
        ("runtime state", report.ephemeral),
        ("expired", report.expired),
        ("deleted", report.deleted),
    ):
        if number:
            output.line(f"  {name:<14} {number:,}")
    _examples("blocked", report.blocked, report.blocked_examples)
    _examples("damaged", report.damaged, report.damaged_examples)
    _examples("left over", report.left_over, report.left_over_examples)
    if report.pending:
        output.line(
            f"  without number {report.pending:,} data versions; run it again where the store may be written to"
        )


def _examples(name: str, number: int, examples: list[str]) -> None:
    if number:
        output.line(f"  {name:<14} {number:,}, such as:")
        for text in examples[:_SHOWN]:
            output.line(f"    {output.printable(text)}")
