"""Read-modify-write that nobody contends with: its latency and requests, and how many a second the commit lane takes."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.children import run_job, run_together
from bench.harness import Report, interleaved, median
from bench.lab import NAMESPACE, Lab

_THREADS = 64
_PROCESSES = (4, 8)


def run(lab: Lab, report: Report) -> None:
    """One process on a store of its own; then many, all on different keys, as fast as they go."""
    _latency(lab, report)
    _throughput(lab, report)


def _latency(lab: Lab, report: Report) -> None:
    scale = lab.scale
    each = max(scale.appends // scale.rounds, 1)
    found = interleaved(
        scale.rounds,
        {
            f"{where}{what}": partial(_updates, lab, each, where == "S3", bool(what))
            for where in ("S3", "local")
            for what in ("", " new")
        },
    )
    times = {name: [ms for one in several for ms in one["ms"]] for name, several in found.items()}
    rounds = {name: [n for one in several for n in one["rounds"]] for name, several in found.items()}
    report.target("update-rounds", max(rounds["S3 new"]), figure="max", samples=rounds["S3 new"])
    for name, target in (("S3", "update-p50-s3"), ("S3 new", "update-p50-s3-new"), ("local", "update-p50-local")):
        note = f"{median(rounds[name]):g} dependent rounds"
        report.target(target, median(times[name]), figure="p50", samples=times[name], note=note)
    for name, several in found.items():
        asked = [n for one in several for n in one["requests"]]
        text = f"one update, {name.replace(' new', ', with another write to read')}"
        report.spread(text, times[name], "ms", note=f"{median(asked):g} requests")


def _updates(lab: Lab, count: int, s3: bool, meddle: bool, turn: int) -> dict[str, Any]:  # noqa: ARG001
    url = lab.new_store("update", s3=s3)
    done = run_job("update:updates", lab.env, url=url, namespace=NAMESPACE, count=count, meddle=meddle)
    value: dict[str, Any] = done["value"]
    return value


def _throughput(lab: Lab, report: Report) -> None:
    rounds = min(lab.scale.rounds, 3)
    kinds = [(1, _THREADS), (1, 1), *((count, 1) for count in _PROCESSES)]
    found = interleaved(
        rounds,
        {
            f"{'S3' if s3 else 'local'}, {_crowd(processes, threads)}": partial(_commits, lab, s3, processes, threads)
            for s3 in (False, True)
            for processes, threads in kinds
        },
    )
    for name, several in found.items():
        rates = [one["rate"] for one in several]
        times = [ms for one in several for ms in one["ms"]]
        slots = [one["slots"] for one in several]
        note = f"{median(slots):.4g} slots/s, at most {max(one['largest'] for one in several)} in one; "
        note += f"one took {median(times):.3g} ms (median)"
        report.info(f"updates a second, {name}", median(rates), "/s", figure="median", samples=rates, note=note)


def _crowd(processes: int, threads: int) -> str:
    what = f"{processes} process{'es' if processes > 1 else ''}"
    return f"{what} of {threads} threads" if threads > 1 else what


def _commits(lab: Lab, s3: bool, processes: int, threads: int, turn: int) -> dict[str, Any]:  # noqa: ARG001
    url = lab.new_store("commits", s3=s3)
    lab.job("counter:begin", url=url, namespace=NAMESPACE)
    many = [
        {"url": url, "namespace": NAMESPACE, "prefix": f"p{at}", "threads": threads, "seconds": lab.scale.window_s}
        for at in range(processes)
    ]
    each = [one["value"] for one in run_together("update:commits", lab.env, many)]
    seconds = max(one["ended"] for one in each) - min(one["began"] for one in each)
    times = [ms for one in each for ms in one["ms"]]
    slots = {slot for one in each for slot in one["slots"]}
    return {
        "rate": len(times) / seconds,
        "slots": len(slots) / seconds,
        "ms": times,
        "largest": max(one["largest"] for one in each),
    }
