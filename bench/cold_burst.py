"""Bursts of creates by clients that have read nothing yet, into the large namespace; what waiting for nothing costs.

A client is cold: no connection, no root, no proof of the store's preconditions in its user's cache. Every caller makes
one attempt; a create that was sent twice counts as a fault, as an error does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.children import run_job, run_together
from bench.harness import Report, interleaved, median, percentile
from bench.lab import NAMESPACE, Lab
from bench.servers import proxy

SIZES = (11, 100, 500)
JUDGED = 100
MEDIAN_MS, P99_MS = 25.0, 100.0
READ_DOLLARS, OTHER_DOLLARS = 0.0004 / 1000, 0.005 / 1000
"""List prices of a request in the service's first region: GET and HEAD; LIST, PUT and POST."""
_HOURS_A_MONTH = 730


def run(lab: Lab, report: Report) -> None:
    """Local, and on S3 whose requests take 25 ms, 100 ms at the 99th percentile, by a seeded die."""
    sizes = SIZES[:2] if lab.scale.name == "quick" else SIZES
    local, prefix = str(lab.big_local), lab.big_s3
    with proxy(lab.s3.near_port, MEDIAN_MS, p99_ms=P99_MS, seed=7) as port:
        far = lab.s3._replace(far_port=port).url(prefix, far=True)
        alternatives = {
            f"{callers} {kind}, {where}": partial(_burst, lab, kind, url, callers)
            for callers in sizes
            for kind in ("tasks", "threads")
            for where, url in (("local", local), ("S3", far))
        }
        found = interleaved(lab.scale.rounds, alternatives)
        crowds = [_processes(lab, far, warm=warm) for warm in (False, True)]
    _judge(report, found, crowds)
    _bill(lab, report)


def _burst(lab: Lab, kind: str, url: str, callers: int, turn: int) -> dict[str, Any]:  # noqa: ARG001
    args = {"url": url, "namespace": NAMESPACE, "callers": callers, "cache": str(lab.folder("cache"))}
    value: dict[str, Any] = run_job(f"cold_burst:{kind}", lab.env, **args)["value"]
    return value


def _processes(lab: Lab, url: str, *, warm: bool) -> list[dict[str, Any]]:
    """One append from each of a hundred processes. ``warm``: the user's cache knows the store, as it mostly does."""
    many = [
        {"url": url, "namespace": NAMESPACE, "cache": "" if warm else str(lab.folder("cache"))}
        for _ in range(lab.scale.crowd)
    ]
    return [one["value"] for one in run_together("cold_burst:alone", lab.env, many)]


def _judge(report: Report, found: dict[str, list[dict[str, Any]]], crowds: list[list[dict[str, Any]]]) -> None:
    times = {name: [ms for one in several for ms in one["ms"]] for name, several in found.items()}
    for name, several in found.items():
        asked = median([sum(one["requests"].values()) for one in several])
        report.spread(f"cold burst, {name}", times[name], "ms", note=f"{asked:g} requests for all of them (median)")
    every = [one for several in found.values() for one in several] + [one for crowd in crowds for one in crowd]
    faults = [len(one["errors"]) + one["repeated"] for one in every]
    words = "; ".join(sorted({error for one in every for error in one["errors"]}))
    report.target("cold-errors", sum(faults), figure="sum", samples=faults, note=words[:300])
    for kind in ("tasks", "threads"):
        samples = times[f"{JUDGED} {kind}, S3"]
        report.target(f"cold-{kind}-s3", percentile(samples, 0.99), figure="p99", samples=samples)
    worst = max(
        (times[f"{JUDGED} {kind}, local"] for kind in ("tasks", "threads")), key=lambda ms: percentile(ms, 0.99)
    )
    report.target("cold-local", percentile(worst, 0.99), figure="p99 of the slower kind", samples=worst)
    for crowd, text in zip(crowds, ("nothing cached", "the store is known to the user's cache"), strict=True):
        rounds = [one["rounds"] for one in crowd]
        took = [one["ms"][0] for one in crowd]
        report.spread(
            f"{len(crowd)} processes, one append each, {text}", took, "ms", note=f"{max(rounds)} rounds at most"
        )
    # What the store itself adds: the rounds of the append beyond the one that is the write.
    added = [one["rounds"] - 1 for crowd in crowds for one in crowd]
    report.target("cold-processes", max(added), figure="max", samples=added, note="beyond the write itself")


def _bill(lab: Lab, report: Report) -> None:
    asked = lab.job("cold_burst:idle_daemon", days=3)
    reads = asked.get("get", 0) + asked.get("head", 0)
    others = sum(asked.values()) - reads
    dollars = (reads * READ_DOLLARS + others * OTHER_DOLLARS) * _HOURS_A_MONTH
    note = f"{others:.1f} lists and writes, {reads:.1f} reads an hour, counted in virtual time; no daemon: none at all"
    report.target("daemon-dollars", dollars, note=note)
