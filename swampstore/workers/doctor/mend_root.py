"""The repair of a lost or damaged root: rebuilt, then the log folded on top of it."""

from __future__ import annotations

from swampstore.workers.compactor import Compactor
from swampstore.workers.doctor.mending import Ground, Step, Told, shown
from swampstore.workers.doctor.sight import look
from swampstore.workers.rebuild import RebuildPlan, plan_rebuild, publish_rebuilt

_FOLDS = 10_000


async def mend(ground: Ground, told: Told) -> None:
    """Rebuild the root if it is lost. What it cannot bring back is told first."""
    sight = await look(ground.place, ground.register)
    if not sight.lost or sight.newer:
        return
    plan = await plan_rebuild(ground.place, ground.register, settle=ground.settle, progress=ground.progress)
    told(_step(ground, plan))
    if ground.dry_run:
        return
    await publish_rebuilt(ground.place, plan)
    compactor = Compactor(ground.place, ground.register)
    for _ in range(_FOLDS):
        report, read = await compactor.fold_once(insist=True)
        if not report.raced and not read.left:
            break


def _step(ground: Ground, plan: RebuildPlan) -> Step:
    base = f" on top of {plan.base}" if plan.base else ""
    text = (
        f"rebuild the root{base}, runs: {plan.runs:,}, records: {plan.records:,}, segments: {plan.segments:,}; shared lanes"
        " go on above any slot they used; the next compaction joins the runs"
    )
    return Step("root", ground.place.names.root, text, plan.losses, shown(plan.doubtful))
