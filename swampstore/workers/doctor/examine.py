"""The examination: every check, one after the other, over one look at the namespace.

Invariants: a check that fails because of what it met is itself a finding, and does not stop the others; nothing of the
namespace is changed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from swampstore.errors import Damaged, FixTheSetup, SwampError, TryAgain, Undecided
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.workers.doctor.beside import check_beside
from swampstore.workers.doctor.clocks import check_clock
from swampstore.workers.doctor.finding import Finding, Report
from swampstore.workers.doctor.guards import check_guards
from swampstore.workers.doctor.lane_files import check_lane_files
from swampstore.workers.doctor.lanes import check_aside, check_lanes, check_upkeep
from swampstore.workers.doctor.left import check_left
from swampstore.workers.doctor.leftovers import check_leftovers
from swampstore.workers.doctor.queues import check_queues
from swampstore.workers.doctor.roots import check_root, check_saved
from swampstore.workers.doctor.runs import check_indexes, check_runs
from swampstore.workers.doctor.sight import Sight, look
from swampstore.workers.doctor.waiting import check_waiting
from swampstore.workers.doctor.waste import check_packs, check_waste
from swampstore.workers.target import Progress, silent

Check = Callable[[Sight], Awaitable[Sequence[Finding]]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("root", check_root),
    ("runs", check_runs),
    ("indexes", check_indexes),
    ("lanes", check_lanes),
    ("lane files", check_lane_files),
    ("set aside", check_aside),
    ("not folded", check_waiting),
    ("left behind", check_left),
    ("upkeep", check_upkeep),
    ("packs", check_packs),
    ("waste", check_waste),
    ("saved snapshots", check_saved),
    ("leftovers", check_leftovers),
    ("queues", check_queues),
    ("beside the namespaces", check_beside),
    ("clock", check_clock),
)
"""Those that only read."""

_log = logging.getLogger("swampstore")


async def examine(
    place: Place,
    register: Register,
    *,
    deep: bool = False,
    sample: int = 0,
    guards: bool = True,
    progress: Progress = silent,
) -> Report:
    """Look at one namespace. ``guards`` also tries forbidden writes on throw-away names; ``deep`` reads everything.

    ``sample`` bounds how many contents a deep examination reads (0: all of them). Raises only what the store raises.
    """
    began = place.env.boot()
    progress("look", 0, 0)
    sight = await look(place, register)
    checks = [*CHECKS, ("guards", check_guards)] if guards else list(CHECKS)
    if deep:
        checks = [
            (name, partial(check_waiting, deep=True) if check is check_waiting else check) for name, check in checks
        ]
    report = Report(place.names.namespace, deep, [], _counts(sight))
    for number, (name, check) in enumerate(checks):
        progress(name, number, len(checks))
        report.findings += await carry_out(name, check, sight)
    if deep and sight.root.version:
        from swampstore.workers.doctor.deep import check_deep

        async def everything(sight: Sight) -> Sequence[Finding]:
            return await check_deep(sight, report.counts, sample=sample, progress=progress)

        report.findings += await carry_out("everything", everything, sight)
    report.seconds = place.env.boot() - began
    return report


async def carry_out(name: str, check: Check, sight: Sight) -> Sequence[Finding]:
    """The findings of one check; damage that it did not expect is one more."""
    try:
        return await check(sight)
    except (TryAgain, Undecided, FixTheSetup):  # of the store at this moment, and no news of the namespace
        raise
    except Damaged as error:
        return [Finding("damaged", "error", error.name, f"while looking at {name}: {error}", error.hint)]
    except SwampError as error:
        return [Finding("check-failed", "error", "", f"while looking at {name}: {error}", error.hint)]


def _counts(sight: Sight) -> dict[str, int]:
    return {
        "runs": len(sight.root.runs),
        "records": sight.root.entries,
        "segments": sight.listing.names,
        "packs": len(sight.objects["pack"]),
        "saved": len(sight.saved),
    }
