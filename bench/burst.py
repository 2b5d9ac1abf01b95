"""A hundred appends at once in one process: how group commit shares the requests among them."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.children import run_job
from bench.harness import Report, interleaved, median
from bench.lab import NAMESPACE, Lab

CALLERS = 100


def run(lab: Lab, report: Report) -> None:
    """100 threads of a blocking client and 100 tasks of an asyncio one, one append each, S3 with the delay."""
    url = lab.s3.url(lab.fresh("burst"), far=True)
    found = interleaved(
        lab.scale.rounds,
        {"threads": partial(_burst, lab, url, "threads"), "tasks": partial(_burst, lab, url, "tasks")},
    )
    for kind, several in found.items():
        times = [ms for one in several for ms in one["ms"]]
        batches = median([one["batches"] for one in several])
        largest = max(one["largest"] for one in several)
        report.spread(
            f"{CALLERS} {kind}, one append each",
            times,
            "ms",
            note=f"{batches:g} segments for {CALLERS} appends (median), the largest of {largest} callers",
        )


def _burst(lab: Lab, url: str, kind: str, turn: int) -> dict[str, Any]:  # noqa: ARG001
    done = run_job(f"append:burst_{kind}", lab.env, url=url, namespace=NAMESPACE, callers=CALLERS)
    value: dict[str, Any] = done["value"]
    return value
