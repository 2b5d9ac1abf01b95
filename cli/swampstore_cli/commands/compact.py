"""``swamp datastore compact``: fold the log behind the writers, once or until stopped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse, SwampError
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Opened, Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swampstore.workers.compactor import Compactor
    from swampstore.workers.report import CompactReport

DISCOVER_S = 10.0

app = new_app()


@command(
    app,
    "compact",
    examples="""
    swamp datastore compact
    swamp datastore compact --watch
    swamp datastore compact --watch --namespace ops --interval 5
    swamp datastore compact --watch --metrics 127.0.0.1:9464
    """,
)
def compact(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help="One round for each namespace, now (the default).")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C or SIGTERM.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", help="Shortest pause between rounds of --watch.")
    ] = 1.0,
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="TARGET",
            help="Metrics for Prometheus: a file to replace now and then, or 127.0.0.1:PORT to answer on.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Fold the log into the manifest, merge it into shards, and sweep what is no longer needed.

    Works for every namespace of the store, or for the one named with --namespace. Never in the way of writers and
    readers, and harmless twice: one process leads a namespace, another takes over when it is gone.
    """
    if once and watch:
        raise Misuse("--once and --watch exclude each other")
    if not 0.01 <= interval <= 3600:
        raise Misuse(f"--interval {interval} makes no sense", hint="seconds from 0.01 to 3600")
    if metrics:
        from swampstore.telemetry import metrics as exporter

        exporter.start(metrics)
    with session.opened() as opened:
        if watch:
            _watch(session, opened, interval)
        else:
            _once(session, opened)


def _names(session: Session, opened: Opened) -> list[str]:
    """The namespaces to work on. Raises ``NotFound`` for one that was named and does not exist."""
    return opened.names(session.named) if session.named is None else [opened.existing(session.named)]


def _once(session: Session, opened: Opened) -> None:
    done: list[tuple[str, CompactReport]] = []
    failed: list[tuple[str, SwampError]] = []
    for name in _names(session, opened):
        try:
            done.append((name, opened.face.namespace(name).compact()))
        except SwampError as error:
            failed.append((name, error))
    if session.json:
        from msgspec import to_builtins

        output.document(
            {
                "store": opened.face.url,
                "namespaces": [{"namespace": name, **to_builtins(report)} for name, report in done],
                "failed": [{"namespace": name, **error.describe()} for name, error in failed],
            }
        )
    else:
        for name, report in done:
            output.line(f"{name}: {_told(report)}")
        if not done and not failed:
            output.line("the store holds no namespace yet")
    for name, failure in failed[:-1]:
        output.problem(f"{name}: {failure}", failure.code, failure.hint, json=session.json)
    if failed:
        raise failed[-1][1]


def _watch(session: Session, opened: Opened, interval: float) -> None:
    from swampstore.client.blocking import finish
    from swampstore.workers.compactor import Compactor
    from swampstore.workers.group import CompactorGroup
    from swampstore_cli.stopping import StopSignals

    async def discover() -> Iterable[str]:
        return opened.names(session.named)

    def make(name: str) -> Compactor:
        namespace = opened.core.namespace(name)
        finish(namespace.prove())
        return Compactor(namespace.place, namespace.register)

    def on_round(name: str, report: CompactReport) -> None:
        if report.busy and session.json:
            from msgspec import to_builtins

            output.line(output.encoded({"namespace": name, **to_builtins(report)}))
        elif report.busy:
            output.line(f"{name}: {_told(report)}")
        sys.stdout.flush()

    def on_error(name: str, error: Exception) -> None:
        described = error.describe() if isinstance(error, SwampError) else {"error": str(error), "code": "unexpected"}
        text = f"{name}: {described['error']}"
        output.problem(text, described["code"], described.get("hint", ""), json=session.json)

    with StopSignals() as stop:
        output.note(f"compacting {opened.face.url}; Ctrl-C stops")
        if session.named is not None and not opened.exists(session.named):
            output.note(f"there is no namespace {session.named!r} yet")
        group = CompactorGroup(opened.env, discover, make)
        finish(group.run(stop, interval_s=interval, discover_s=DISCOVER_S, on_round=on_round, on_error=on_error))
        output.note("stopped")


def _told(report: CompactReport) -> str:
    """A round in one line."""
    fold, merge, swept = report.fold, report.merge, report.sweep
    parts: list[str] = []
    if fold.published:
        held = (
            f"with {output.count(fold.deltas, 'delta')}" if fold.deltas else "without deltas, such as a writer leaves"
        )
        parts.append(f"folded {output.count(fold.segments, 'segment')} {held}")
    if merge.published:
        shards = (
            "larger runs of level 0"
            if merge.middle
            else f"{merge.shards_written:,} of the shards"
            if merge.shards_read
            else output.count(merge.shards_written, "shard")
        )
        parts.append(
            f"merged {output.count(merge.deltas, 'delta')}, wrote {shards} ({output.size(merge.bytes_written)})"
        )
    gone = swept.segments + swept.runs + swept.contents + swept.orphans
    if gone:
        parts.append(f"swept {output.count(gone, 'object')}")
    if report.archive is not None and report.archive.files:
        archived = output.count(report.archive.records, "audit record")
        parts.append(f"archived {archived} in {output.count(report.archive.files, 'file')}")
    if report.archive is not None and report.archive.problem:
        parts.append(report.archive.problem)
    if fold.quarantined:
        parts.append(f"set aside {output.count(fold.quarantined, 'broken segment')}")
    if fold.not_leader:
        parts.append("another process leads")
    return f"{'; '.join(parts) or 'nothing to do'}; root {report.root_version}, {report.seconds:.2f} s"
