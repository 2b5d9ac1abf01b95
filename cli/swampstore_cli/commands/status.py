"""``swamp datastore status``: the state of each namespace from two requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Damaged, NotFound, SwampError
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Opened, Session
from swampstore_cli.spool_shown import end_away, is_away, lines_of, show_spools, spools_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swampstore.client.status import NamespaceStatus

app = new_app()

_HEADER = ("NAMESPACE", "RECORDS", "SHARDS", "MANIFEST", "LOG", "OLDEST", "LEADER", "ROOT")
_NUMBERS = frozenset({1, 2, 3, 4, 5, 7})


@command(
    app,
    "status",
    examples="""
    swamp datastore status
    swamp datastore status --namespace ops
    swamp datastore status --namespace ops --queues --json
    swamp datastore status --watch
    swamp datastore status --watch --interval 5s --metrics http://127.0.0.1:9464/metrics
    """,
)
def status(
    session: Session,
    queues: Annotated[
        bool, typer.Option("--queues", help="Queues and locks too: some six more requests for each.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C, with what changes, over time; queues included.")
    ] = False,
    interval: Annotated[str, typer.Option("--interval", metavar="SPAN", help="Between two looks of --watch.")] = "2s",
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="FILE|URL",
            help="With --watch: p99 of each phase, from what a writer publishes.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Show the state of every namespace in the store, or more of the one named with --namespace.

    RECORDS counts what the manifest holds, LOG the segments that are not folded yet, OLDEST the age of the first of
    them. A log that stays long means that no compactor runs: see swamp datastore compact --watch.

    Two requests for each namespace, whatever its size; with --watch for each look, and at every fifth the queues. What may
    be wrong is the business of swamp datastore doctor. A namespace that cannot be read is told in its row, beside the
    others, and the exit code is 1. Of a store that is away (it does not answer, or is gone) it says what waits for it on
    this machine, and exits with 75.
    """
    if watch:
        _watch(session, interval, metrics)
        return
    with session.opened() as opened:
        try:
            found, failed = _looked_at(opened, opened.names(session.named), queues=queues)
        except SwampError as error:
            if not is_away(opened, error):
                raise
            _show_unreachable(opened, json=session.json)
            end_away(error, json=session.json)
    if session.named is not None and found and not found[0].exists:
        raise NotFound(
            f"no namespace {session.named!r} in {opened.face.url}", hint="see: swamp datastore namespace list"
        )
    if session.json:
        told = [{"namespace": name, **error.describe()} for name, error in failed]
        output.document({"store": opened.face.url, "namespaces": found, "failed": told})
    else:
        _show(session, opened.face.url, found, failed)
    for name, damage in failed:
        hint = "; ".join(filter(None, (damage.hint, f"see: swamp datastore doctor --namespace {name}")))
        output.problem(f"{name}: {damage}", damage.code, hint, json=session.json)
    if failed:
        raise typer.Exit(Damaged.exit_code)


def _looked_at(
    opened: Opened, names: list[str], *, queues: bool
) -> tuple[list[NamespaceStatus], list[tuple[str, Damaged]]]:
    """The state of each, and why one is not known: what is damaged in one is no news of the others."""
    found: list[NamespaceStatus] = []
    failed: list[tuple[str, Damaged]] = []
    for name in names:
        try:
            found.append(opened.face.namespace(name).status(queues=queues))
        except Damaged as error:
            failed.append((name, error))
    return found, failed


def _show(session: Session, url: str, found: list[NamespaceStatus], failed: list[tuple[str, Damaged]]) -> None:
    output.line(f"store {url} (by {session.settings.origin})")
    if not found and not failed:
        output.line("it holds no namespace yet; the first write makes one")
        return
    if session.named is None:
        rows = {one.namespace: _row(one) for one in found} | {name: _no_row(name, error) for name, error in failed}
        output.line()
        output.table(_HEADER, (row for _, row in sorted(rows.items())), _NUMBERS)
    elif found:
        output.line()
        output.table(("NAMESPACE", found[0].namespace), _details(found[0]))
    for one in found:
        if one.quarantined:
            output.line(f"\n{one.namespace}: {output.count(one.quarantined, 'broken segment')} set aside")
            for name in one.quarantine:
                output.line(f"  {name}")
            output.line("  see: swamp datastore doctor")
        for text in (*lines_of(one.namespace, one.spool), *([one.audit_problem] if one.audit_problem else ())):
            output.line(f"\n{text}")
        if one.queues is not None:
            _show_queues(one)


def _show_unreachable(opened: Opened, *, json: bool) -> None:
    """What is known of a store that is away: what waits for it on this machine."""
    spools = spools_of(opened)
    if json:
        output.document({"store": opened.face.url, "namespaces": [], "spools": spools})
    else:
        show_spools(spools)


def _watch(session: Session, interval: str, metrics: str) -> None:
    from swampstore_cli.stopping import StopSignals
    from swampstore_cli.watch.terminal import watch_as_json, watch_in_terminal
    from swampstore_cli.watch.watching import interval_of, watched_of

    seconds = interval_of(interval)
    with session.opened() as opened, StopSignals() as stop:
        watched = watched_of(session, opened, metrics)
        if session.json:
            watch_as_json(watched, stop, seconds)
        else:
            watch_in_terminal(watched, stop, seconds, opened.face.url)


def _row(one: NamespaceStatus) -> tuple[str, ...]:
    return (
        one.namespace,
        f"{one.records:,}",
        f"{one.shards:,}",
        output.size(one.shard_bytes),
        f"{one.log_depth:,}",
        output.age(one.oldest_unfolded_s) if one.log_depth else "-",
        one.leader or "-",
        f"{one.root_version:,}",
    )


def _no_row(name: str, error: Damaged) -> tuple[str, ...]:
    return (name, *("-" for _ in _HEADER[2:]), error.code)


def _details(one: NamespaceStatus) -> Iterator[tuple[str, str]]:
    """All there is to say of one namespace."""
    about = "" if not one.level0_runs + one.level0_inline else "at most "
    yield "entries", f"{about}{one.entries:,} ({output.count(one.tombstones, 'tombstone')} beside them)"
    yield "manifest", output.size(one.manifest_bytes)
    yield "  shards", f"{one.shards:,} ({output.size(one.shard_bytes)})"
    yield (
        "  level 0",
        f"{output.count(one.level0_runs, 'run')} ({output.size(one.level0_bytes)}), {one.level0_inline:,} inline",
    )
    yield "packs", f"{one.packs:,}"
    yield "log", f"{output.count(one.log_segments, 'segment')} ({output.size(one.log_bytes)})"
    waits = f", the oldest since {output.age(one.oldest_unfolded_s)}" if one.log_depth else ""
    yield "  not folded", f"{one.log_depth:,}{waits}"
    yield "writers", f"{one.writers:,} remembered"
    yield "leader", one.leader or "nobody"
    yield "epoch", f"{one.epoch:,}"
    yield "root", f"version {one.root_version:,}, {output.age(one.root_age_s)} old" if one.root_version else "none yet"
    yield (
        "garbage",
        f"{output.count(one.garbage, 'object')} ({output.count(one.garbage_runs, 'run')}) waiting to be swept",
    )
    yield "set aside", output.count(one.quarantined, "broken segment")
    if one.audit:
        sorts = f", {output.count(one.audit_unsorted, 'archive')} not sorted yet" if one.audit_unsorted else ""
        yield (
            "audit",
            f"{output.count(one.audit, 'record')} ({output.size(one.audit_bytes)}, {one.audit_format}){sorts}",
        )
    for name in sorted(one.settings):
        yield f"setting {name}", str(one.settings[name])


def _show_queues(one: NamespaceStatus) -> None:
    output.line()
    if not one.queues:
        output.line(f"{one.namespace}: nobody has ever queued here")
        return
    rows = (
        (
            queue.queue,
            f"{queue.capacity:,}",
            f"{queue.held:,}",
            f"{queue.waiting:,}",
            ", ".join(sorted({ticket.state for ticket in queue.tickets if ticket.state in ("stuck", "dead")})) or "-",
        )
        for queue in one.queues
    )
    output.table(("QUEUE", "CAPACITY", "HOLD", "WAIT", "TROUBLE"), rows, frozenset({1, 2, 3}))
