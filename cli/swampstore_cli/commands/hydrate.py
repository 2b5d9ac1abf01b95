"""``swamp datastore hydrate``: contents that a metadata-only sync left in the namespace come here."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.progress import Progress
from swampstore_cli.session import Session
from swampstore_cli.sync_shown import document, show

app = new_app()


@command(
    app,
    "hydrate",
    examples="""
    swamp datastore hydrate data/aws/ec2/web-1/state/3/raw
    swamp datastore hydrate data/aws reports --limit-rate 5M
    """,
)
def bring(
    session: Session,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Below .swamp/: files, or folders with all in them.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be brought.")] = False,
    limit_rate: Annotated[
        str, typer.Option("--limit-rate", metavar="RATE", help="Bytes per second, such as 5M.", show_default=False)
    ] = "",
) -> None:
    """Bring the contents at PATH here that are still in the namespace, or have changed there.

    Pushes nothing and deletes nothing there.
    """
    from swampstore.client.blocking import finish
    from swampstore.workers.sync import SyncOptions
    from swampstore.workers.sync.hydrate import hydrate
    from swampstore.workers.sync.throttle import parse_rate

    settings = session.settings
    options = SyncOptions(
        dry_run=dry_run,
        directories=settings.directories,
        exclude=settings.exclude,
        limit_rate=parse_rate(limit_rate) if limit_rate else 0,
    )
    with session.opened(one_shot=True) as opened:
        session.check_apart(opened.core.url)
        namespace = opened.core.namespace(settings.namespace)
        with Progress() as progress:
            report = finish(hydrate(namespace, settings.tree, paths, options, progress))
    if session.json:
        output.document({"store": opened.core.url, **document(namespace.name, settings.tree, report)})
    else:
        show(report)
