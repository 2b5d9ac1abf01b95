"""The storm: signals of many processes into many streams, half of them fenced. Nothing is lost, doubled or refused."""

from __future__ import annotations

from typing import Any

from bench.children import behind, run_together
from bench.harness import Report, say
from bench.lab import NAMESPACE, Lab

_THREADS = 8
_TIMEOUT_S = 1200


def run(lab: Lab, report: Report) -> None:
    """Every signal is a process that serves the streams of one iteration side by side; a compactor behind them. Once."""
    signals, streams, iterations = lab.scale.storm
    found = {where: _storm(lab, where == "S3") for where in ("local", "S3")}
    wrong = [one["wrong"] for one in found.values()]
    complaints = [why for one in found.values() for why in one["refused"]]
    note = f"local and S3, {signals} x {streams} x {iterations} each"
    report.target("storm-wrong", sum(wrong), figure="sum", samples=wrong, note="; ".join([note, *complaints[:1]])[:300])
    for where, one in found.items():
        note = f"{one['count']:,} records in {one['seconds']:.3g} s, {signals} processes of {_THREADS} threads"
        report.info(f"records a second, {where}", one["count"] / one["seconds"], "/s", note=note)
        report.spread(f"one append, unfenced, {where}", one["blind"], "ms")
        report.spread(f"one fenced update of a stream, {where}", one["fenced"], "ms")


def _storm(lab: Lab, s3: bool) -> dict[str, Any]:
    signals, streams, iterations = lab.scale.storm
    say(f"a storm {'on S3' if s3 else 'locally'}")
    url = lab.new_store("storm", s3=s3)
    at = {"url": url, "namespace": NAMESPACE}
    lab.job("storm:begin", **at)
    much = {**at, "streams": streams, "iterations": iterations}
    many = [{**much, "number": number, "threads": _THREADS} for number in range(signals)]
    with behind("upkeep:compactor", lab.env, timeout_s=_TIMEOUT_S, **at):
        each = [one["value"] for one in run_together("storm:signal", lab.env, many, timeout_s=_TIMEOUT_S)]
    refused = [why for one in each for why in one["refused"]]
    missing = lab.job("storm:check", timeout_s=_TIMEOUT_S, **much, signals=signals)
    return {
        "wrong": missing + len(refused),
        "refused": refused,
        "count": signals * streams * iterations,
        "seconds": max(one["ended"] for one in each) - min(one["began"] for one in each),
        "blind": [ms for one in each for ms in one["blind"]],
        "fenced": [ms for one in each for ms in one["fenced"]],
    }
