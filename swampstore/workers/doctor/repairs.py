"""Repairs: only what can be proved, shown before it is done.

    root              a lost or damaged root, from runs and log (:mod:`swampstore.workers.rebuild`); loses something
    watermark         how far a writer's lane was folded, which the root has forgotten
    left-behind       what retired writers left in the log, appended again with the same versions
    pack-counts       how many entries name each pack (after a deep look)
    head              the highest ordinal of a datum, when it is too low
    temp-files        half-written files of a local store whose process is gone
    proof-left        objects that were to prove the store

Invariants:
- Each repair is idempotent and atomic (one CAS, one append): a crash anywhere leaves the old state or the new one, and
  the next run goes on.
- A repair that loses something says what, and is refused unless that was accepted.
- Each looks again right before it acts; what has changed meanwhile is left alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from swampstore.errors import Misuse, SwampError
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.workers.doctor import beside, mend_counts, mend_heads, mend_lanes, mend_left, mend_root
from swampstore.workers.doctor.mending import Ground, RepairReport, Step, Told
from swampstore.workers.target import Progress, silent

Mend = Callable[[Ground, Told], Awaitable[None]]

MENDS: tuple[Mend, ...] = (
    mend_root.mend,
    mend_lanes.mend,
    mend_left.mend,
    mend_counts.mend,
    mend_heads.mend,
    beside.mend,
)


async def repair(
    place: Place,
    register: Register,
    *,
    dry_run: bool = True,
    accept_loss: bool = False,
    deep: bool = False,
    settle: bool = True,
    progress: Progress = silent,
) -> RepairReport:
    """Carry out, or with ``dry_run`` only name, the repairs that are due.

    ``deep`` also looks for what only reading everything tells (pack counts, heads). ``settle=False`` says that no other
    process uses the namespace: nothing need be waited for. Raises ``Misuse`` for a loss that was not accepted.
    """
    report = RepairReport(place.names.namespace, dry_run, [])

    def told(step: Step) -> None:
        if not dry_run and step.losses and not accept_loss:
            raise Misuse(
                f"{step.text}: not everything can be brought back: {'; '.join(step.losses)}",
                hint="look at the plan; a backup of the root loses less. To do it all the same: --accept-loss",
            )
        report.steps.append(step if dry_run else msgspec.structs.replace(step, done=True))

    ground = Ground(place, register, dry_run, deep, settle and not dry_run, progress)
    for mend in MENDS:
        try:
            await mend(ground, told)
        except SwampError as error:
            if not dry_run:
                raise
            text = f"{error}; {error.hint}" if error.hint else str(error)
            report.steps.append(Step("impossible", place.names.prefix, text))
        if dry_run and report.steps and mend is mend_root.mend:
            break  # what else is due can be told once there is a root
    return report
