"""What ``@swampstore.audited`` adds to a call, beside the write of its record."""

from __future__ import annotations

from functools import partial

from bench.children import run_job
from bench.harness import Report, interleaved, median
from bench.lab import Lab

_CALLS = 2000
_TURNS = 5


def run(lab: Lab, report: Report) -> None:
    """Each kind of call in turns, on a buffered local store."""

    def once(kind: str, _turn: int) -> float:
        place = str(lab.folder("audited"))
        return float(run_job("audited:calls", lab.env, place=place, kind=kind, count=_CALLS)["value"])

    kinds = ("plain", "decorated, not written", "a write by hand", "decorated")
    found = interleaved(min(lab.scale.rounds, _TURNS), {kind: partial(once, kind) for kind in kinds})
    for kind in kinds:
        report.info(
            f"one call, {kind}", median(found[kind]), "us", figure="median", samples=found[kind], note="processor time"
        )
