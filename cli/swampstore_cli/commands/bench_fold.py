"""``swamp bench fold``; see :mod:`swampstore_cli.bench.workloads`."""

from __future__ import annotations

from typing import Annotated

import typer

from swampstore_cli.bench import command as common
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "fold",
    examples="""
    swamp bench fold
    swamp bench fold --records 100000 --n 3 --seconds 120
    """,
)
def fold(
    session: Session,
    n: common.COUNT = 5,
    records: Annotated[int, typer.Option("--records", metavar="N", help="Records to fold each time.")] = 10_000,
    size: common.SIZE = 300,
    seconds: common.SECONDS = 30.0,
    yes: common.YES = False,
) -> None:
    """Folding the log: what the compactor does behind the writers.

    Each operation folds --records records that were appended before it, in segments of a hundred. The merge that is due
    now and then belongs to it and shows as outside.

    Works in a namespace of its own in the configured store (swamp-bench-...), which is gone afterwards, also after Ctrl-C
    or kill. Says p50, p95, p99 and the longest, how operations ended, and which phase makes the slowest ones slow.
    """
    common.bench(
        session,
        "fold",
        procs=1,
        count=n,
        cold=False,
        seconds=seconds,
        size=size,
        yes=yes,
        items=records,
        items_option="--records",
    )
