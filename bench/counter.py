"""A crowd that increments one counter: nothing lost, in turn, in time; and what it costs those who touch other keys."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from bench.children import Child, behind, run_together
from bench.harness import Report, interleaved, median, percentile
from bench.lab import NAMESPACE, Lab

_ROUNDS = 3
_OTHERS = 2


def run(lab: Lab, report: Report) -> None:
    """100 processes, and 100 threads of one, local and on S3 with the delay; beside each two with keys of their own."""
    crowd = lab.scale.crowd
    found = interleaved(
        min(lab.scale.rounds, _ROUNDS),
        {
            "local": partial(_crowd, lab, False, crowd, 1),
            "threads-local": partial(_crowd, lab, False, 1, crowd),
            "s3": partial(_crowd, lab, True, crowd, 1),
            "threads-s3": partial(_crowd, lab, True, 1, crowd),
        },
    )
    for name, several in found.items():
        seconds = [one["seconds"] for one in several]
        report.target(f"counter-{name}", percentile(seconds, 1), figure="max", samples=seconds, note=_note(several))
    every = [one for several in found.values() for one in several]
    wrong = [one["wrong"] for one in every]
    complaints = "; ".join(sorted({text for one in every for text in one["complaints"]}))
    report.target("counter-wrong", sum(wrong), figure="sum", samples=wrong, note=complaints[:300])
    order = [one["overtaken"] for one in every]
    tickets = sum(one["tickets"] for one in every)
    report.target("counter-order", sum(order), figure="sum", samples=order, note=f"{tickets} commits held a ticket")
    disturbed = [one["disturbed"] for one in every]
    beside = sum(len(one["beside"]) for one in every)
    report.target("counter-others", sum(disturbed), figure="sum", samples=disturbed, note=f"of {beside} updates")
    for name, several in found.items():
        times = [ms for one in several for ms in one["ms"]]
        report.spread(
            f"one increment among {crowd}, {name}", times, "ms", note=f"the last {percentile(times, 1):.4g} ms"
        )
        meanwhile = [ms for one in several for ms in one["beside"]]
        if meanwhile:
            note = f"{sum(one['neighbours'] for one in several)} slots of others passed on the way"
            report.spread(f"one update of another key meanwhile, {name}", meanwhile, "ms", note=note)


def _note(several: list[dict[str, Any]]) -> str:
    tickets = median([one["tickets"] for one in several])
    calls = median([one["attempts"] for one in several])
    return f"median {median([one['seconds'] for one in several]):.3g} s; {tickets:g} in turn, {calls:g} calls of fn"


def _crowd(lab: Lab, s3: bool, processes: int, threads: int, turn: int) -> dict[str, Any]:  # noqa: ARG001
    url = lab.new_store("counter", s3=s3)
    lab.job("counter:begin", url=url, namespace=NAMESPACE)
    at = {"url": url, "namespace": NAMESPACE}
    beside = [{**at, "prefix": f"bench/other-{number}"} for number in range(_OTHERS)]
    many = [{**at, "threads": threads} for _ in range(processes)]
    with Child("update:others", beside[0], lab.env) as one, Child("update:others", beside[1], lab.env) as two:
        others = (one, two)
        for other in others:
            other.ready()
        go = partial(_go, others)
        with _folding(lab, at, s3=s3):
            each = [one["value"] for one in run_together("counter:increment", lab.env, many, before=go)]
        for other in others:
            other.stop()
        meanwhile = [done for other in others for done in other.result()["value"]["done"]]
    stands = lab.job("counter:value", url=url, namespace=NAMESPACE)
    began, ended = min(one["began"] for one in each), max(one["ended"] for one in each)
    return {
        "seconds": ended - began,
        **_judge([done for one in each for done in one["done"]], processes * threads, stands),
        **_beside([done for done in meanwhile if began <= done["at"] <= ended]),
    }


def _folding(lab: Lab, at: dict[str, str], *, s3: bool) -> contextlib.AbstractContextManager[object]:
    """The compactor of a shared bucket: else each in its turn reads every commit since it came, one request for each."""
    return behind("upkeep:compactor", lab.env, **at) if s3 else contextlib.nullcontext()


def _go(children: Sequence[Child]) -> None:
    for child in children:
        child.go()


def _judge(done: list[dict[str, Any]], wanted: int, stands: int) -> dict[str, Any]:
    good = [one for one in done if "failed" not in one]
    turns = [one["ticket"] for one in sorted(good, key=lambda one: one["slot"]) if one["ticket"]]
    return {
        "wrong": abs(wanted - stands) + abs(wanted - len({one["slot"] for one in good})),
        "complaints": [one["failed"] for one in done if "failed" in one],
        "overtaken": sum(after < before for before, after in pairwise(turns)),
        "tickets": len(turns),
        "attempts": sum(one["attempts"] for one in good),
        "ms": [one["ms"] for one in good],
    }


def _beside(done: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "beside": [one["ms"] for one in done],
        "neighbours": sum(one["neighbours"] for one in done),
        "disturbed": sum((one["how"], one["attempts"]) != ("optimistic", 1) for one in done),
    }
