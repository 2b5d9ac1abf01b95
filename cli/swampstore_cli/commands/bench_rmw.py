"""``swamp bench rmw``; see :mod:`swampstore_cli.bench.workloads`."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli.bench import command as common
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "rmw",
    examples="""
    swamp bench rmw
    swamp bench rmw --procs 4 --keys 100
    """,
)
def rmw(
    session: Session,
    procs: common.PROCS = 1,
    n: common.COUNT = 200,
    keys: Annotated[int, typer.Option("--keys", metavar="N", help="Counters to count up.")] = 1,
    size: common.SIZE = 300,
    cold: common.COLD = False,
    seconds: common.SECONDS = 30.0,
    yes: common.YES = False,
) -> None:
    """Read-modify-write: counters, each counted up by update().

    With one key (the default) and several processes this is the worst case, in which every update meets every other;
    with more --keys they meet less often.

    Works in a namespace of its own in the configured store (swamp-bench-...), which is gone afterwards, also after Ctrl-C
    or kill. Says p50, p95, p99 and the longest, how operations ended, and which phase makes the slowest ones slow.
    """
    common.bench(
        session,
        "rmw",
        procs=procs,
        count=n,
        cold=cold,
        seconds=seconds,
        size=size,
        yes=yes,
        items=keys,
        items_option="--keys",
    )
