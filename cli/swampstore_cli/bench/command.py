"""What the commands of ``swamp bench`` have in common: their options, the question, the run, the figures."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import output
from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore_cli.bench.result import Result

PREFIX = "swamp-bench-"
MOST_OPERATIONS = 200_000
MOST_PROCESSES = 256
MOST_THREADS = 2000
MOST_BYTES = 64 << 20
MOST_ITEMS = 1_000_000
_BAR = 24

PROCS = Annotated[int, typer.Option("--procs", metavar="N", help="Processes that work at the same time.")]
COUNT = Annotated[int, typer.Option("--n", metavar="N", help="Operations in all.")]
COLD = Annotated[
    bool,
    typer.Option("--cold", help="Open the store anew for each operation, as a program that does one thing and ends."),
]
SECONDS = Annotated[float, typer.Option("--seconds", metavar="S", help="Begin no operation after so long.")]
SIZE = Annotated[int, typer.Option("--size", metavar="BYTES", help="Contents of one record or file.")]
YES = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before writing to a remote store.")]


def bench(
    session: Session,
    workload: str,
    *,
    procs: int,
    count: int,
    cold: bool,
    seconds: float,
    size: int,
    yes: bool,
    items: int = 1,
    items_option: str = "",
) -> None:
    """Run ``workload`` against the configured store in a namespace of its own, and print the figures.

    ``items_option`` is what ``items`` is called on the command line.
    Raises ``Misuse`` for numbers out of bounds, or a remote store without a yes, and what the run meets.
    """
    from swampstore_cli.bench.crew import Crew
    from swampstore_cli.bench.job import Job
    from swampstore_cli.bench.result import result
    from swampstore_cli.progress import Progress

    _check("--procs", procs, MOST_PROCESSES)
    _check("--n", count, MOST_OPERATIONS)
    _check("--size", size, MOST_BYTES)
    _check(items_option, items, MOST_ITEMS)
    if not 0 < seconds <= 3600:
        raise Misuse(f"--seconds {seconds}", hint="more than 0, at most 3600")
    if session.named is not None:
        raise Misuse("a benchmark makes a namespace of its own", hint="leave --namespace out")
    with session.opened() as opened:
        url = opened.face.url
    namespace = f"{PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    procs = min(procs, count)
    threads = -(-count // procs) if workload == "burst" else 1
    if threads > MOST_THREADS:
        raise Misuse(f"{threads:,} threads in a process", hint=f"at most {MOST_THREADS:,}: spread them with --procs")
    if url.startswith("memory:") and procs > 1:
        raise Misuse("a store in memory is that of one process", hint="leave --procs out, or name another store")
    _ask(url, namespace, count, workload, yes=yes, json=session.json)
    job = Job(
        workload=workload,
        store=session.settings.store,
        namespace=namespace,
        folder=os.path.join(tempfile.gettempdir(), f"{namespace}-{secrets.token_hex(8)}"),
        count=count,
        procs=procs,
        threads=threads,
        size=size,
        items=items,
        cold=cold,
        seconds=seconds,
        timeout=session.settings.timeout,
    )
    crew = Crew(job)
    try:
        with crew, Progress() as progress:
            samples, spent = crew.run(progress)
    finally:
        if crew.left_behind:
            output.note(
                f"namespace {namespace} could not be removed: {crew.left_behind}\n"
                f"remove it with: swamp datastore namespace delete {namespace} --yes"
            )
    found = result(job, samples, spent)
    if session.json:
        output.document({**_builtins(found), "store": url, "namespace": namespace, "removed": not crew.left_behind})
    else:
        _show(found, url)


def _check(option: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise Misuse(f"{option} {value}", hint=f"1 to {most:,}")


def _ask(url: str, namespace: str, count: int, workload: str, *, yes: bool, json: bool) -> None:
    """A remote store costs money and is somebody's: write to it only when told to."""
    if yes or not url.startswith("s3:"):
        return
    what = (
        f"about {count:,} operations ({workload}) on {url}, in a namespace of its own ({namespace}), removed afterwards"
    )
    if json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Misuse(f"this would do {what}", hint="add --yes to do it")
    sys.stderr.write(f"{what}\ngo on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Misuse("nothing was done", hint="add --yes to do it without being asked")


def _builtins(found: Result) -> dict[str, object]:
    import msgspec

    made: dict[str, object] = msgspec.to_builtins(found)
    return made


def _show(found: Result, url: str) -> None:
    from swampstore.env.phases import PHASES

    by = f" by {output.count(found.procs, 'process', 'processes')}" if found.procs > 1 else ""
    threads = f" of {output.count(found.threads, 'thread')}" if found.threads > 1 else ""
    cold = ", cold" if found.cold else ""
    output.line(
        f"{found.workload}{cold}: {output.count(found.operations, 'operation')}{by}{threads}"
        f" in {found.seconds:.1f} s, {found.per_second:,.0f} a second; {url}"
    )
    if found.operations < found.wanted:
        output.line(f"time was up: {found.operations:,} of {found.wanted:,}")
    output.line(", ".join(f"{outcome} {count:,}" for outcome, count in found.outcomes.items()))
    output.line()
    wide = "\u2588" if "utf" in (sys.stdout.encoding or "").lower() else "#"
    rows = [("total", found.latency_ms, "")]
    rows += [(name, one, wide * round(one.share * _BAR)) for name, one in found.phases_ms.items()]
    output.table(
        ("ms", "p50", "p95", "p99", "max", "share", ""),
        [
            (name, *(f"{value:,.2f}" for value in (one.p50, one.p95, one.p99, one.max)), f"{one.share:.0%}", bar)
            for name, one, bar in rows
        ],
        right=frozenset({1, 2, 3, 4, 5}),
    )
    output.line()
    text = PHASES.get(found.slowest_phase, _OUTSIDE.get(found.slowest_phase, ""))
    output.line(
        f"p99 is made by {found.slowest_phase}: {found.slowest_share:.0%} of the slowest operations' time ({text})"
    )


_OUTSIDE = {
    "outside": "what the library does not account for: handing the call over, other threads of the process",
    "open_store": "opening the store for a cold operation",
}
