"""``swamp datastore migrate``: copy namespaces from one store to another, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse, NotFound
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.progress import Progress
from swampstore_cli.session import Opened, Session

if TYPE_CHECKING:
    from swampstore.workers.migrate_report import MigrateOptions, MigrateReport

_SHOWN = 5

app = new_app()


@command(
    app,
    "migrate",
    examples="""
    swamp datastore migrate /data/store s3://my-bucket/team --dry-run
    swamp datastore migrate /data/store s3://my-bucket/team --namespace ops --verify full
    swamp datastore migrate s3://old-bucket/team s3://new-bucket/team --all
    """,
)
def migrate(
    session: Session,
    src: Annotated[str, typer.Argument(metavar="SRC_URL", help="The store to copy from.", show_default=False)],
    dst: Annotated[str, typer.Argument(metavar="DST_URL", help="The store to copy to.", show_default=False)],
    every: Annotated[bool, typer.Option("--all", help="Every namespace of SRC_URL.")] = False,
    name: Annotated[
        str, typer.Option("--as", metavar="NAME", help="What the namespace is called there.", show_default=False)
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and count.")] = False,
    verify: Annotated[
        str, typer.Option("--verify", metavar="HOW", help="Hash a sample of the contents at the end, or all: full.")
    ] = "sample",
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete there what the source does not know (any more).")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Join with what the destination holds, whatever that is.")
    ] = False,
) -> None:
    """Copy the namespace from SRC_URL to DST_URL: entries, data versions, streams, audit records.

    Run it again to bring over what changed since, or after an interruption. Each run ends by reading the destination
    again. Saved snapshots, locks and runtime state stay behind; the source is not changed.
    """
    from swampstore.client.blocking import finish
    from swampstore.workers.migrate import migrate as work
    from swampstore.workers.migrate_report import MigrateOptions

    options = MigrateOptions(verify=verify, force=force, delete=delete, dry_run=dry_run)
    options.check()
    if every and (name or session.named):
        raise Misuse("--all together with one namespace", hint="give --all, or --namespace and --as")
    reports: list[MigrateReport] = []
    with session.opened(url=src) as source, session.opened(url=dst) as target:
        for one in _wanted(source, session, every=every):
            try:
                with Progress() as progress:
                    there = target.core.namespace(name or one)
                    reports.append(finish(work(source.core.namespace(one), there, options, progress)))
            except KeyboardInterrupt:
                output.note("the migration is not complete; run it again to go on")
                raise
            if not session.json:
                _show(reports[-1], options, target.core.url)
        if session.json:
            output.document({"source": source.core.url, "target": target.core.url, "namespaces": reports})
    if any(report.incomplete for report in reports):
        raise typer.Exit(1)


def _wanted(source: Opened, session: Session, *, every: bool) -> list[str]:
    if every:
        found = source.face.namespaces()
        if not found:
            raise NotFound(f"no namespace in {source.core.url}", hint="check SRC_URL")
        return found
    source.existing(session.settings.namespace)
    return [session.settings.namespace]


def _show(report: MigrateReport, options: MigrateOptions, url: str) -> None:
    verb = "would copy" if options.dry_run else "copied"
    output.line(
        f"{verb} {output.count(report.copied, 'entry', 'entries')} of namespace {report.namespace} to "
        f"{report.target} in {url}"
    )
    output.line(f"  bytes          {output.size(report.bytes)}")
    output.line(f"  unchanged      {report.unchanged:,}")
    for name, number in (
        ("deleted since", report.tombstones),
        ("stream records", report.stream_records),
        ("expired", report.expired),
        ("elsewhere", report.elsewhere),
        ("deleted there", report.deleted),
        ("audit records", report.audit),
        ("no number yet", report.pending),
    ):
        if number:
            output.line(f"  {name:<14} {number:,}")
    if not options.dry_run:
        output.line(f"  checked        {report.checked:,}, {report.hashed:,} of them by reading")
    if not options.delete:
        _examples("only there", report.only_there, report.only_there_examples)
    _examples("damaged", report.damaged, report.damaged_examples)
    _examples("astray", report.astray, report.astray_examples)


def _examples(name: str, number: int, examples: list[str]) -> None:
    if number:
        output.line(f"  {name:<14} {number:,}, such as:")
        for text in examples[:_SHOWN]:
            output.line(f"    {output.printable(text)}")
