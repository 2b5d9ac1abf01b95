"""What it costs to see where time goes: when nobody looks, when somebody does, and when an exporter hangs."""

from __future__ import annotations

from typing import Any

from bench.children import run_job
from bench.harness import Report, median, percentile
from bench.lab import Lab

PUTS = 200


def run(lab: Lab, report: Report) -> None:
    """Puts into a local store, buffered for the cost and durable for the tail; all variants in turns in one process."""
    rounds = 10 if lab.scale.name == "quick" else 60
    buffered = f"file://{lab.folder('tracing-buffered')}?durability=buffered"
    found = _job(lab, "guards", url=buffered, rounds=rounds, count=1000)
    nothing = min(found["nothing"])
    stopwatch = [(nanoseconds - nothing) / 1000 for nanoseconds in found["stopwatch"]]
    cut = [(a - b) / 1000 for a, b in zip(found["as it is"], found["cut"], strict=True)]
    report.target("tracing-off", min(stopwatch), figure="best", samples=stopwatch)
    report.info("a put as it is less one without the guard", median(cut), "us", figure="median", samples=cut)
    report.info("the guard alone", (min(found["guard"]) - nothing) / 1000, "us", figure="best", samples=found["guard"])
    report.info("such a put", median(found["as it is"]) / 1000, "us", figure="median", note="300 bytes, buffered")

    for kind, url in (("buffered", buffered), ("durable", f"file://{lab.folder('tracing-durable')}")):
        folder = str(lab.folder(f"tracing-metrics-{kind}"))
        took = _job(
            lab, "appends", url=url, folder=folder, rounds=rounds if kind == "buffered" else rounds // 2, count=PUTS
        )
        base = median(took["off"])
        for mode in took:
            report.spread(f"{kind} put, {mode}", took[mode], "us", ratio=median(took[mode]) / base, ratio_of="off")
        if kind == "durable":
            tails = {mode: percentile(took[mode], 0.99) for mode in took}
            note = f"p99 {tails['off']:.0f} us off, {tails['on']:.0f} us on, {tails['blocked']:.0f} us blocked"
            report.target("tracing-blocked", tails["blocked"] / tails["off"], samples=took["blocked"], note=note)


def _job(lab: Lab, name: str, **arguments: Any) -> dict[str, list[float]]:
    value: dict[str, list[float]] = run_job(f"tracing:{name}", lab.env, **arguments)["value"]
    return value
