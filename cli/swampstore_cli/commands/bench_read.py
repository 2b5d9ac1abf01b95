"""``swamp bench read``; see :mod:`swampstore_cli.bench.workloads`."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli.bench import command as common
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "read",
    examples="""
    swamp bench read
    swamp bench read --keys 100000 --n 5000
    swamp bench read --cold --n 50
    """,
)
def read(
    session: Session,
    procs: common.PROCS = 1,
    n: common.COUNT = 1000,
    keys: Annotated[int, typer.Option("--keys", metavar="N", help="Records there are to read.")] = 1000,
    size: common.SIZE = 300,
    cold: common.COLD = False,
    seconds: common.SECONDS = 30.0,
    yes: common.YES = False,
) -> None:
    """Contents of one key, as of now, at random.

    A namespace is filled with --keys records and compacted, then keys are read. Each read sees everything acknowledged
    before it: a list and the root side by side, then what they name.

    Works in a namespace of its own in the configured store (swamp-bench-...), which is gone afterwards, also after Ctrl-C
    or kill. Says p50, p95, p99 and the longest, how operations ended, and which phase makes the slowest ones slow.
    """
    common.bench(
        session,
        "read",
        procs=procs,
        count=n,
        cold=cold,
        seconds=seconds,
        size=size,
        yes=yes,
        items=keys,
        items_option="--keys",
    )
