"""What a full merge of the large namespace costs those who append meanwhile: the merge runs in another process."""

from __future__ import annotations

import shutil
from typing import Any

from bench.children import behind, run_job
from bench.harness import Report, interleaved, median, percentile
from bench.lab import NAMESPACE, Lab

RATE = 500.0
_SECONDS = 6.0
_TURNS = 3


def run(lab: Lab, report: Report) -> None:
    """Appends at a pace into a local namespace, alone and while everything in it is merged again and again, in turns."""
    place = lab.folder("merging")
    shutil.rmtree(place)
    shutil.copytree(lab.big_local, place)
    given: dict[str, Any] = {"url": str(place), "namespace": NAMESPACE}
    merged: list[dict[str, Any]] = []

    def alone(_turn: int) -> list[float]:
        return list(run_job("append:paced", lab.env, **given, rate=RATE, seconds=_SECONDS)["value"]["ms"])

    def beside(_turn: int) -> list[float]:
        with behind("upkeep:merger", lab.env, **given) as merger:
            took = alone(0)
            merger.stop()
            merged.append(merger.result()["value"])
        return took

    found = interleaved(min(lab.scale.rounds, _TURNS), {"alone": alone, "beside": beside})
    p99 = {name: [percentile(took, 0.99) for took in runs] for name, runs in found.items()}
    calm, busy = median(p99["alone"]), median(p99["beside"])
    shards = sum(one["shards"] for one in merged)
    if not shards:
        raise AssertionError("nothing was merged meanwhile")
    note = f"{calm:.3g} ms alone, {busy:.3g} ms beside {sum(one['merges'] for one in merged)} merges of {shards} shards"
    report.target("merging-p99", busy / calm, figure="ratio", samples=p99["beside"], note=note)
    for name, runs in found.items():
        report.spread(f"one append at {RATE:.0f}/s, {name}", [ms for took in runs for ms in took], "ms")
