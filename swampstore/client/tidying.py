"""Taking away what nobody needs any more, for the clients: gc, run gc, prune, automatic retention."""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.client.core import CoreNamespace
from swampstore.errors import BadConfig
from swampstore.protocols.writer import Ack
from swampstore.values.entry import Record
from swampstore.values.lifetimes import parse_duration
from swampstore.workers.gc.report import GcReport
from swampstore.workers.gc.run import collect_garbage
from swampstore.workers.gc.runs import RUN_AGE_MS, RunAges, collect_runs


async def gc(core: CoreNamespace, *, dry_run: bool) -> GcReport:
    core.owner.check()
    return await collect_garbage(core.place, core.reader, _appending(core), dry_run=dry_run)


async def gc_runs(
    core: CoreNamespace, *, dry_run: bool, outputs: str | None = None, workflow_runs: str | None = None
) -> GcReport:
    core.owner.check()
    ages = RunAges(_age("outputs", outputs), _age("workflow_runs", workflow_runs))
    return await collect_runs(core.place, core.reader, _appending(core), ages, dry_run=dry_run)


def _age(what: str, text: str | None) -> int:
    try:
        return parse_duration(text) if text is not None else RUN_AGE_MS
    except ValueError as error:
        raise BadConfig(f"{what}: {error}", hint="an age such as 12h, 30d or 6mo") from error


def _appending(core: CoreNamespace):  # type: ignore[no-untyped-def]
    async def append(records: Sequence[Record]) -> Ack:
        await core.prove()
        return await core.writer.append(records)

    return append
