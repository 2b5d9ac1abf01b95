"""Examining and repairing a namespace, for the clients."""

from __future__ import annotations

import msgspec

from swampstore.client.core import CoreNamespace
from swampstore.client.core_store import CoreStore
from swampstore.errors import Misuse
from swampstore.stores.probe import cache_proof, cached_proof, prove_preconditions
from swampstore.workers.doctor.beside import find_beside, mend_beside
from swampstore.workers.doctor.examine import examine
from swampstore.workers.doctor.finding import Finding, Report
from swampstore.workers.doctor.mending import RepairReport, Step
from swampstore.workers.doctor.repairs import repair
from swampstore.workers.doctor.spooled import check_spool
from swampstore.workers.target import Progress, silent


async def doctor(
    core: CoreNamespace, *, deep: bool, sample: int, guards: bool, progress: Progress | None = None
) -> Report:
    """Raises ``Misuse`` for a sample that is no number, and what the store raises."""
    core.owner.check()
    if not isinstance(sample, int) or isinstance(sample, bool) or sample < 0:
        raise Misuse(f"sample={sample!r}", hint="how many contents to read; 0 is all of them")
    report = await examine(
        core.place, core.register, deep=deep, sample=sample, guards=guards, progress=progress or silent
    )
    report.findings += check_spool(core.delivery.status())
    return report


async def doctor_beside(owner: CoreStore) -> list[Finding]:
    """What is wrong with a store beside its namespaces (each namespace's report says it, too)."""
    owner.check()
    return await find_beside(owner.store)


async def repair_beside(owner: CoreStore, *, dry_run: bool) -> list[Step]:
    """Mend it; the steps, done unless it was a ``dry_run``."""
    owner.check()
    steps: list[Step] = []
    await mend_beside(owner.store, steps.append, dry_run=dry_run)
    return steps if dry_run else [msgspec.structs.replace(step, done=True) for step in steps]


async def mend(
    core: CoreNamespace,
    *,
    dry_run: bool,
    accept_loss: bool,
    deep: bool,
    alone: bool,
    progress: Progress | None = None,
) -> RepairReport:
    """Raises ``Misuse`` for a loss that was not accepted, ``PreconditionsIgnored`` before anything is written."""
    owner = core.owner
    owner.check()
    # The root, which also holds a proof, may be what is lost.
    if not dry_run and cached_proof(owner.url, owner.env) is None:
        cache_proof(owner.url, await prove_preconditions(owner.bare, owner.env), owner.env)
    return await repair(
        core.place,
        core.register,
        dry_run=dry_run,
        accept_loss=accept_loss,
        deep=deep,
        settle=not alone,
        progress=progress or silent,
    )
