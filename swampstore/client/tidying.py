"""Taking away what nobody needs any more, for the clients: gc, run gc, prune, automatic retention."""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.client.core import CoreNamespace
from swampstore.errors import BadConfig, Misuse
from swampstore.protocols.writer import Ack
from swampstore.values.entry import Record
from swampstore.values.lifetimes import parse_duration
from swampstore.workers.gc.automatic import Retention, retention_of, set_auto
from swampstore.workers.gc.report import GcReport
from swampstore.workers.gc.run import Append, collect_garbage
from swampstore.workers.gc.runs import RUN_AGE_MS, RunAges, collect_runs
from swampstore.workers.prune import Prune, PruneReport


async def gc(core: CoreNamespace, *, dry_run: bool) -> GcReport:
    core.owner.check()
    return await collect_garbage(core.place, core.reader, _appending(core), dry_run=dry_run)


async def gc_runs(
    core: CoreNamespace, *, dry_run: bool, outputs: str | None = None, workflow_runs: str | None = None
) -> GcReport:
    core.owner.check()
    ages = RunAges(_age("outputs", outputs), _age("workflow_runs", workflow_runs))
    return await collect_runs(core.place, core.reader, _appending(core), ages, dry_run=dry_run)


async def prune(core: CoreNamespace, *, dry_run: bool) -> PruneReport:
    core.owner.check()
    if not dry_run:
        await core.prove()
    return await Prune(core.place, core.register, core.reader, _appending(core)).run(dry_run=dry_run)


async def retention(core: CoreNamespace) -> Retention:
    core.owner.check()
    return retention_of((await core.register.read()).root)


async def set_retention(core: CoreNamespace, *, auto: bool) -> Retention:
    """Raises ``Misuse`` for what is neither true nor false."""
    core.owner.check()
    if not isinstance(auto, bool):
        raise Misuse(f"auto is {auto!r}", hint="True or False")
    await core.prove()
    return await set_auto(core.place, core.register, auto)


def _age(what: str, text: str | None) -> int:
    try:
        return parse_duration(text) if text is not None else RUN_AGE_MS
    except ValueError as error:
        raise BadConfig(f"{what}: {error}", hint="an age such as 12h, 30d or 6mo") from error


def _appending(core: CoreNamespace) -> Append:
    async def append(records: Sequence[Record]) -> Ack:
        await core.prove()
        return await core.writer.append(records)

    return append
