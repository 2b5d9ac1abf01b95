"""What waits on this machine for a store, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from swampstore.errors import SwampError, TryAgain
from swampstore_cli import output

if TYPE_CHECKING:
    from swampstore.workers.audit_spool import SpoolStatus
    from swampstore_cli.session import Opened

SPOOLED_EXIT = 76
"""Audit records wait on this machine."""


def is_away(opened: Opened, error: SwampError) -> bool:
    """Whether ``error`` says that the store is away: it does not answer, or is one used here before and is gone, is full or
    read-only. What comes of it passes."""
    return isinstance(error, TryAgain) or opened.core.spools.away(error)


def end_away(error: SwampError, *, json: bool) -> NoReturn:
    """End as where a store does not answer, whatever code ``error`` has elsewhere."""
    output.problem(**error.describe(), json=json)
    raise typer.Exit(TryAgain.exit_code)


def lines_of(namespace: str, status: SpoolStatus | None) -> Iterator[str]:
    """A line for everything that there is to say; nothing for an empty spool."""
    if status is None:
        return
    if status.writes:
        waits = f"{output.count(status.records, 'audit record')} in {output.count(status.writes, 'write')}"
        since = output.age(status.oldest_s)
        where = f"({output.size(status.bytes)}) wait on this machine in {status.path}"
        yield f"{namespace}: {waits} {where}, the oldest since {since}"
    if status.set_aside:
        aside = f"{output.count(status.set_aside, 'file')} that cannot be read set aside in {status.path}"
        yield f"{namespace}: {aside} (*.bad): what they held is not in the store; look into them, then move them away"
    if status.problem:
        yield f"{namespace}: {output.printable(status.problem)}"


def spools_of(opened: Opened) -> list[dict[str, Any]]:
    """What waits for a store, by namespace, as JSON shows it: nothing is asked of the store, which may not answer."""
    names = opened.core.spools.waiting()
    return [{"namespace": name, "spool": opened.face.namespace(name).spool_status()} for name in names]


def show_spools(spools: list[dict[str, Any]]) -> None:
    """The same for people."""
    for one in spools:
        for text in lines_of(one["namespace"], one["spool"]):
            output.line(text)
