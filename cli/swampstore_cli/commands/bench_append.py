"""``swamp bench append``; see :mod:`swampstore_cli.bench.workloads`."""

from __future__ import annotations

from swampstore_cli.bench import command as common
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "append",
    examples="""
    swamp bench append
    swamp bench append --procs 4 --n 20000
    swamp bench append --cold --n 50
    """,
)
def append(
    session: Session,
    procs: common.PROCS = 1,
    n: common.COUNT = 1000,
    size: common.SIZE = 300,
    cold: common.COLD = False,
    seconds: common.SECONDS = 30.0,
    yes: common.YES = False,
) -> None:
    """One record a call, one call after the other, in each process.

    The latency of a single put and, with --procs, how writers share the store. Small batches of callers (threads) share
    writes: that is swamp bench burst.

    Works in a namespace of its own in the configured store (swamp-bench-...), which is gone afterwards, also after Ctrl-C
    or kill. Says p50, p95, p99 and the longest, how operations ended, and which phase makes the slowest ones slow.
    """
    common.bench(
        session,
        "append",
        procs=procs,
        count=n,
        cold=cold,
        seconds=seconds,
        size=size,
        yes=yes,
    )
