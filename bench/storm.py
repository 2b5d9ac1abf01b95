"""The storm: signals of many processes into many streams, half of them fenced. Nothing is lost, doubled or refused."""

from __future__ import annotations

from typing import Any

from bench.children import behind, run_together
from bench.harness import Report, say
from bench.lab import NAMESPACE, Lab

_THREADS = 8
_TIMEOUT_S = 1200


def run(lab: Lab, report: Report) -> None:
    """Every signal is a process that serves the streams of one iteration side by side; a compactor behind them. Once.

    On S3 an eighth of the storm: the emulator, the proxy and ten clients share the machine, and every lost race for a
    slot is a handful of requests for each of them.
    """
    whole = lab.scale.storm
    part = (whole[0], max(whole[1] // 2, 1), 2)
    found = {"local": _storm(lab, whole, s3=False), "S3": _storm(lab, part, s3=True)}
    wrong = [one["wrong"] for one in found.values()]
    complaints = [why for one in found.values() for why in one["refused"]]
    note = "; ".join(f"{where} {' x '.join(map(str, much))}" for where, much in (("local", whole), ("S3", part)))
    report.target("storm-wrong", sum(wrong), figure="sum", samples=wrong, note="; ".join([note, *complaints[:1]])[:300])
    for where, one in found.items():
        note = f"{one['count']:,} records in {one['seconds']:.3g} s, {whole[0]} processes of {_THREADS} threads"
        report.info(f"records a second, {where}", one["count"] / one["seconds"], "/s", note=note)
        report.spread(f"one append, unfenced, {where}", one["blind"], "ms")
        report.spread(f"one fenced update of a stream, {where}", one["fenced"], "ms")


def _storm(lab: Lab, much: tuple[int, int, int], *, s3: bool) -> dict[str, Any]:
    signals, streams, iterations = much
    say(f"a storm {'on S3' if s3 else 'locally'}")
    url = lab.new_store("storm", s3=s3)
    at = {"url": url, "namespace": NAMESPACE}
    lab.job("storm:begin", **at)
    each_gets = {**at, "streams": streams, "iterations": iterations}
    many = [{**each_gets, "number": number, "threads": _THREADS} for number in range(signals)]
    with behind("upkeep:compactor", lab.env, timeout_s=_TIMEOUT_S, **at):
        each = [one["value"] for one in run_together("storm:signal", lab.env, many, timeout_s=_TIMEOUT_S)]
    refused = [why for one in each for why in one["refused"]]
    missing = lab.job("storm:check", timeout_s=_TIMEOUT_S, **each_gets, signals=signals)
    return {
        "wrong": missing + len(refused),
        "refused": refused,
        "count": signals * streams * iterations,
        "seconds": max(one["ended"] for one in each) - min(one["began"] for one in each),
        "blind": [ms for one in each for ms in one["blind"]],
        "fenced": [ms for one in each for ms in one["fenced"]],
    }
