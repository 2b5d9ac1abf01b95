"""``swamp bench sync``; see :mod:`swampstore_cli.bench.workloads`."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli.bench import command as common
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "sync",
    examples="""
    swamp bench sync
    swamp bench sync --procs 4 --n 20 --files 100
    """,
)
def sync(
    session: Session,
    procs: common.PROCS = 1,
    n: common.COUNT = 10,
    files: Annotated[int, typer.Option("--files", metavar="N", help="New files before each sync.")] = 25,
    size: common.SIZE = 300,
    cold: common.COLD = False,
    seconds: common.SECONDS = 30.0,
    yes: common.YES = False,
) -> None:
    """Syncs of a tree with new files, one tree a process.

    Each operation is one sync of a folder into which --files new files were put before it. With --procs the trees are
    synced into the same namespace at the same time.

    Works in a namespace of its own in the configured store (swamp-bench-...), which is gone afterwards, also after Ctrl-C
    or kill. Says p50, p95, p99 and the longest, how operations ended, and which phase makes the slowest ones slow.
    """
    common.bench(
        session,
        "sync",
        procs=procs,
        count=n,
        cold=cold,
        seconds=seconds,
        size=size,
        yes=yes,
        items=files,
        items_option="--files",
    )
