"""``swamp bench burst``; see :mod:`swampstore_cli.bench.workloads`."""

from __future__ import annotations

from swampstore_cli.bench import command as common
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "burst",
    examples="""
    swamp bench burst
    swamp bench burst --n 500 --procs 4
    swamp bench burst --store s3://bucket/team --n 100 --yes --json
    """,
)
def burst(
    session: Session,
    procs: common.PROCS = 1,
    n: common.COUNT = 100,
    size: common.SIZE = 300,
    cold: common.COLD = False,
    seconds: common.SECONDS = 30.0,
    yes: common.YES = False,
) -> None:
    """Many callers at once, one append each: how long does the slowest wait?

    N callers (threads, spread over --procs processes) are let go at the same moment, and each appends one record. It is
    what happens when a fleet of jobs ends in the same second. Nothing is retried or spread out.

    Works in a namespace of its own in the configured store (swamp-bench-...), which is gone afterwards, also after Ctrl-C
    or kill. Says p50, p95, p99 and the longest, how operations ended, and which phase makes the slowest ones slow.
    """
    common.bench(
        session,
        "burst",
        procs=procs,
        count=n,
        cold=cold,
        seconds=seconds,
        size=size,
        yes=yes,
    )
