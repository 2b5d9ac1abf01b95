"""What waits on this machine for a store, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swampstore_cli import output

if TYPE_CHECKING:
    from swampstore.workers.audit_spool import SpoolStatus
    from swampstore_cli.session import Opened


def lines_of(namespace: str, status: SpoolStatus | None) -> Iterator[str]:
    """A line for everything that there is to say; nothing for an empty spool."""
    if status is None:
        return
    if status.writes:
        waits = f"{output.count(status.records, 'audit record')} in {output.count(status.writes, 'write')}"
        since = output.age(status.oldest_s)
        yield f"{namespace}: {waits} ({output.size(status.bytes)}) wait on this machine, the oldest since {since}"
    if status.set_aside:
        yield f"{namespace}: {output.count(status.set_aside, 'file')} that cannot be read set aside in {status.path}"
    if status.problem:
        yield f"{namespace}: {output.printable(status.problem)}"


def note_spools(opened: Opened) -> None:
    """Say on standard error what waits for a store that does not answer."""
    from swampstore.workers.spool_place import spooled_namespaces

    core = opened.core
    for name in spooled_namespaces(core.spool, core.url) if core.spool is not None else ():
        for text in lines_of(name, opened.face.namespace(name).spool_status()):
            output.note(text)
