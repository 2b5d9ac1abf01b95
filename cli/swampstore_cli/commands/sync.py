"""``swamp datastore sync``: the repo's folder and the namespace become alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse, SwampError
from swampstore.values.keys import check_namespace
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.progress import Progress
from swampstore_cli.session import Opened, Session
from swampstore_cli.sync_shown import document, show, told

if TYPE_CHECKING:
    from swampstore.workers.sync import SyncOptions, SyncReport

app = new_app()
_Place = tuple[str, Path]


@command(
    app,
    "sync",
    examples="""
    swamp datastore sync
    swamp datastore sync --dry-run
    swamp datastore sync --push --prefix reports/
    swamp datastore sync --pull --model aws/ec2:web-1
    swamp datastore sync --metadata-only
    swamp datastore sync --watch --limit-rate 5M
    swamp datastore sync --namespace ops --namespace build
    """,
)
def sync_tree(
    session: Session,
    pull: Annotated[bool, typer.Option("--pull", help="Only bring the namespace's changes here.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Only bring the changes here to the namespace.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="PREFIX", help="Only keys that begin so.", show_default=False)
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="TYPE:ID", help="Only the data of this model, and of others so named."),
    ] = None,
    metadata_only: Annotated[
        bool, typer.Option("--metadata-only", help="Leave large contents and those of data there, until wanted.")
    ] = False,
    limit_rate: Annotated[
        str, typer.Option("--limit-rate", metavar="RATE", help="Bytes per second, such as 5M.", show_default=False)
    ] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Go on until stopped: follow changes on both sides.")] = False,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", metavar="NS", help="The namespace; of several, each in a folder of its own."),
    ] = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", help="Every namespace of the store, each in a folder of its own.")
    ] = False,
) -> None:
    """Make the repo's .swamp/ folder and the namespace alike, both ways.

    Takes no lock: any number of processes and machines may sync at once. When both sides changed a file, the newer one
    keeps its name, the other is kept beside it and reported. A namespace that does not exist comes into being with the
    first push; --pull alone calls it an error. What --prefix, --model or --metadata-only leave out is not
    looked at, and its absence never deletes anything.
    """
    from swampstore.workers.sync import SyncOptions
    from swampstore.workers.sync.throttle import parse_rate

    if watch and dry_run:
        raise Misuse("--watch and --dry-run exclude each other")
    settings = session.settings
    both = pull == push
    options = SyncOptions(
        push=push or both,
        pull=pull or both,
        dry_run=dry_run,
        prefix=prefix,
        directories=settings.directories,
        folders=tuple(_folder(text) for text in model or ()),
        exclude=settings.exclude,
        metadata_only=metadata_only,
        limit_rate=parse_rate(limit_rate) if limit_rate else 0,
    )
    with session.opened(one_shot=not watch) as opened:
        session.check_apart(opened.core.url)
        several = all_namespaces or len(namespace or ()) > 1
        places = _places(session, opened, namespace or [], every=all_namespaces)
        if watch:
            _watch(session, opened, places, options)
            return
        done, failed = _sync(opened, places, options)
    if session.json and several:
        found = [document(name, tree, report) for (name, tree), report in done]
        failures = [{"namespace": name, **error.describe()} for name, error in failed]
        output.document({"store": opened.core.url, "namespaces": found, "failed": failures})
    elif session.json:
        for (name, tree), report in done:
            output.document({"store": opened.core.url, **document(name, tree, report)})
    else:
        for (name, _), report in done:
            show(report, f"{name}: " if several else "")
    for name, error in failed[:-1]:
        output.problem(f"{name}: {error}", error.code, error.hint, json=session.json)
    if failed:
        raise failed[-1][1]


def _folder(text: str) -> str:
    """Where the data of a model lies; ``TYPE/ID`` does as well as ``TYPE:ID``."""
    from swampstore.values.data import DATA_FOLDER, parse_model

    if ":" not in text:
        kind, slash, name = text.rpartition("/")
        text = f"{kind}:{name}" if slash else text
    found = parse_model(text)
    return f"{DATA_FOLDER}{found.type}/{found.id}"


def _places(session: Session, opened: Opened, named: list[str], *, every: bool) -> list[_Place]:
    """Each namespace with its folder: the repo's own in the tree itself, others in a folder of their name in it.

    One that is named alone has the tree itself, unless it has had a folder of its own before.
    """
    from swampstore.workers.sync.options import STATE_FOLDER

    settings = session.settings
    if every and named:
        raise Misuse("--all-namespaces and --namespace exclude each other")
    names = opened.names(None) if every else [check_namespace(name) for name in dict.fromkeys(named)]
    if not names and every:
        names = [settings.namespace]
    if not names:
        return [(settings.namespace, settings.tree)]
    alone = len(names) == 1 and not every
    places: list[_Place] = []
    for name in names:
        below = settings.tree / name
        own = name == settings.namespace or (alone and not (below / STATE_FOLDER).is_dir())
        places.append((name, settings.tree if own else below))
    # Folders of other namespaces are marked as such before the tree around them is looked at.
    return sorted(places, key=lambda place: place[1] == settings.tree)


def _prepare(places: list[_Place], options: SyncOptions) -> None:
    from swampstore.workers.sync.options import STATE_FOLDER

    if options.dry_run or len(places) == 1:
        return
    for _, tree in places:
        (tree / STATE_FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)


def _sync(
    opened: Opened, places: list[_Place], options: SyncOptions
) -> tuple[list[tuple[_Place, SyncReport]], list[tuple[str, SwampError]]]:
    from swampstore.client.blocking import finish
    from swampstore.workers.sync import sync

    _prepare(places, options)
    done: list[tuple[_Place, SyncReport]] = []
    failed: list[tuple[str, SwampError]] = []
    with Progress() as progress:
        for place in places:
            try:
                report = finish(sync(opened.core.namespace(place[0]), place[1], options, progress))
                if report.absent and not options.push:
                    opened.existing(place[0])
                done.append((place, report))
            except SwampError as error:
                failed.append((place[0], error))
    return done, failed


def _watch(session: Session, opened: Opened, places: list[_Place], options: SyncOptions) -> None:
    from swampstore.client.blocking import finish
    from swampstore.workers.sync.notify import changes_of
    from swampstore.workers.sync.watch import Pair, Watch
    from swampstore_cli.stopping import StopSignals

    settings = session.settings
    _prepare(places, options)
    settings.tree.mkdir(exist_ok=True)
    pairs = [
        Pair(opened.core.namespace(name), tree, "" if tree == settings.tree else tree.name) for name, tree in places
    ]

    def on_pass(pair: Pair, report: SyncReport) -> None:
        name = pair.namespace.name
        if session.json:
            output.line(output.encoded(document(name, pair.tree, report)))
        else:
            told(report, f"{name}: " if len(pairs) > 1 else "")
        output.flush()

    def on_error(pair: Pair, error: SwampError) -> None:
        output.problem(f"{pair.namespace.name}: {error}", error.code, error.hint, json=session.json)

    with StopSignals() as stop:
        changes = changes_of(settings.tree, opened.env, stop)
        output.note(f"following {output.printable(str(settings.tree))} and {opened.core.url}; Ctrl-C stops")
        watch = Watch(pairs, options, changes, opened.env, stop, on_pass=on_pass, on_error=on_error)
        finish(watch.run())
        output.note("stopped")
