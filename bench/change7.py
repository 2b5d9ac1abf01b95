"""Seven changes in the large namespace: cost must follow what changed, not how much there is."""

from __future__ import annotations

from bench.children import run_job
from bench.harness import Report, median, percentile
from bench.lab import NAMESPACE, Lab

CHANGES = 7


def run(lab: Lab, report: Report) -> None:
    """Other keys in every round, picked over the whole range: an append, then a fold and a merge at once. Local."""
    url = str(lab.big_local)
    found = []
    for turn in range(lab.scale.rounds):
        keys = lab.job("upkeep:keys", url=url, namespace=NAMESPACE, count=CHANGES, seed=turn)
        found.append(run_job("upkeep:change", lab.env, url=url, namespace=NAMESPACE, keys=keys)["value"])
    beyond = [one["written"] - one["touched"] for one in found]
    last = found[-1]
    note = f"last round: {last['touched']} of {last['shards']} shards touched, {last['written']} written"
    report.target("change7-shards", max(beyond), figure="max", samples=beyond, note=note)
    seconds = [one["merge_s"] for one in found]
    report.target("change7-seconds", median(seconds), figure="median", samples=seconds)
    appends = [one["append_ms"] for one in found]
    report.target(
        "change7-append", percentile(appends, 1), figure="max", samples=appends, note="first append of its process"
    )
    written = [one["bytes_written"] for one in found]
    report.info("7 changes: bytes written by the merge", median(written), "bytes", figure="median", samples=written)
