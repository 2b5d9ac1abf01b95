"""``swamp datastore import``: take over a datastore in the legacy layout; the source is only read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import NotFound, StoreMissing
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.progress import Progress
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.stores.base import Store
    from swampstore.workers.legacy.report import ImportReport

_SHOWN = 5

app = new_app()


@command(
    app,
    "import",
    examples="""
    swamp datastore import /data/old --dry-run
    swamp datastore import s3://my-bucket/old --namespace ops
    swamp datastore import /data/old --to s3://my-bucket/team --copy
    """,
)
def import_from(
    session: Session,
    src: Annotated[str, typer.Argument(metavar="SRC", help="The legacy root: a path or an s3:// URL.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="The store to import into (default: the configured one).")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the contents instead of referring to them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and count.")] = False,
    index_only: Annotated[
        bool, typer.Option("--index-only", help="Trust the index; do not look whether the contents are there.")
    ] = False,
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Read each version's metadata.yaml from a bucket, at a request each.")
    ] = False,
    deleted_too: Annotated[
        bool, typer.Option("--deleted-too", help="Import also what was deleted here since it was written there.")
    ] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Import although parts of the index are missing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Import although a lock says that the source is in use.")
    ] = False,
) -> None:
    """Import a datastore in the legacy layout from SRC.

    --namespace is the legacy namespace below SRC and the name it gets here; without it the datastore at SRC itself goes
    into the configured namespace. Contents stay where they are when SRC lies in the target store, else --copy brings
    them over. Nothing in SRC is changed, and running it again takes only the difference: what was written or deleted here
    since stays as it is here.
    """
    from swampstore.client.blocking import finish
    from swampstore.stores.open import open_store
    from swampstore.stores.retry import Retrying
    from swampstore.workers.legacy.importer import ImportOptions, import_legacy
    from swampstore.workers.legacy.rules import Place

    options = ImportOptions(
        copy=copy,
        dry_run=dry_run,
        index_only=index_only,
        force=force,
        partial=partial,
        metadata=metadata,
        deleted_too=deleted_too,
    )
    place = Place("", session.named or "")
    with session.opened(url=to) as opened:
        try:
            bare = open_store(src, env=opened.env, timeout=session.settings.timeout)
        except StoreMissing as error:
            raise StoreMissing(str(error), hint="SRC is the folder or bucket that holds the old datastore") from None
        source = Retrying(bare, opened.env, deadline_s=session.settings.timeout)
        target = opened.core.namespace(session.settings.namespace)
        try:
            with Progress() as progress:
                report = finish(import_legacy(target, source, place, options, progress))
            if not report.entries:
                raise _nothing_there(source, place)
        finally:
            finish(source.close())
    if session.json:
        output.document({"store": opened.core.url, "namespace": target.name, "source": source.url, **_fields(report)})
    else:
        _show(report, f"namespace {target.name} of {opened.core.url}")
    if report.damaged:
        raise typer.Exit(1)


def _nothing_there(source: Store, place: object) -> NotFound:
    from swampstore.client.blocking import finish
    from swampstore.workers.legacy.listing import namespaces
    from swampstore.workers.legacy.rules import Place

    assert isinstance(place, Place)
    others = sorted(finish(namespaces(source, place)))
    what = f"no legacy namespace {place.namespace!r}" if place.namespace else "no legacy datastore"
    hint = f"namespaces there: {', '.join(others[:20])}; name one with --namespace" if others else "check SRC"
    return NotFound(f"{what} at {source.url}", hint=hint)


def _fields(report: ImportReport) -> dict[str, object]:
    from msgspec import to_builtins

    fields: dict[str, object] = to_builtins(report)
    return fields


def _show(report: ImportReport, where: str) -> None:
    verb = "would import" if report.dry_run else "imported"
    output.line(f"{verb} {output.count(report.imported, 'entry', 'entries')} into {where}")
    output.line(f"  in the index   {report.entries:,} ({report.flavour})")
    output.line(f"  unchanged      {report.unchanged:,}")
    output.line(f"  bytes          {output.size(report.bytes)}" + (" (not looked at)" if report.unverified else ""))
    if report.copied_bytes:
        output.line(f"  copied         {output.size(report.copied_bytes)}")
    if report.manifest_bytes:
        output.line(f"  manifest       {output.size(report.manifest_bytes)}")
    if report.hashes_checked:
        output.line(f"  hashes checked {report.hashes_checked:,}")
    if report.versions:
        output.line(f"  versions       {report.versions:,}")
    if report.ended:
        output.line(f"  ended          {report.ended:,} (readable for 30 days more)")
    for reason, number in sorted(report.dropped.items()):
        output.line(f"  not data       {number:,} ({reason})")
    for name, number in (
        ("newer here", report.newer_here),
        ("unindexed", report.unindexed),
        ("vanished", report.vanished),
    ):
        if number:
            output.line(f"  {name:<14} {number:,}")
    _examples("deleted here", report.deleted_here, report.deleted_here_examples)
    _examples("plain folders", report.not_versions, report.not_versions_examples)
    _examples("dangling", report.dangling, report.dangling_examples)
    _examples("damaged", report.damaged, report.damaged_examples)
    _examples("astray", report.astray, report.astray_examples)
    _examples("missing parts", len(report.missing_partitions), report.missing_partitions)
    if report.source_moved:
        output.note(f"the source changed meanwhile ({', '.join(report.source_moved[:_SHOWN])}): import again")


def _examples(name: str, number: int, examples: list[str]) -> None:
    if number:
        output.line(f"  {name:<14} {number:,}, such as:")
        for text in examples[:_SHOWN]:
            output.line(f"    {output.printable(text)}")
