"""Queues: how soon the next is granted when a holder dies, admission of jobs, and what a queue asks of the store."""

from __future__ import annotations

import contextlib
import signal
import time
from functools import partial
from itertools import pairwise
from typing import Any

from bench.children import Child, run_together
from bench.harness import Report, interleaved, median
from bench.lab import NAMESPACE, Lab

_PHASE_S = 0.7
_JOBS, _CAPACITY = 10, 4
_CROWD_CAPACITY = 2
_PROCESSES = 6
_ROUNDS = 3


def run(lab: Lab, report: Report) -> None:
    """Local, and on S3 with the delay. Holders and those who wait behind them are processes of their own."""
    _deaths(lab, report)
    _admission(lab, report)
    _costs(lab, report)


# --- the next grant --------------------------------------------------------------------------------------------------


def _deaths(lab: Lab, report: Report) -> None:
    killed = _next_grants(lab, signal.SIGKILL, s3=True)
    report.target("grant-kill-s3", max(killed), figure="max", samples=killed, note=f"median {median(killed):.3g} s")
    paused = _next_grants(lab, signal.SIGSTOP, s3=True)
    report.target("grant-pause-s3", max(paused), figure="max", samples=paused, note=f"median {median(paused):.3g} s")
    local = [ms * 1000 for ms in _next_grants(lab, signal.SIGKILL, s3=False)]
    report.target("grant-kill-local", max(local), figure="max", samples=local, note=f"median {median(local):.3g} ms")


def _next_grants(lab: Lab, how: signal.Signals, *, s3: bool) -> list[float]:
    """Some queues side by side, each with a holder and one who waits; seconds from the holder's end to the next grant.

    The holders end one after the other, so that they end at different ages of their last sign of life.
    """
    url = lab.new_store("deaths", s3=s3)
    many = [{"url": url, "namespace": NAMESPACE, "name": f"deploy-{at}"} for at in range(lab.scale.kills)]
    with contextlib.ExitStack() as stack:
        holders = _started(stack, lab, "queueing:hold", many)
        waiters = _started(stack, lab, "queueing:wait", many)
        ended = []
        try:
            for holder in holders:
                time.sleep(_PHASE_S)
                ended.append(time.monotonic())
                holder.signal(how)
            granted = [waiter.result()["value"]["granted"] for waiter in waiters]
        finally:
            for holder in holders:
                holder.signal(signal.SIGKILL)
    return [at - since for at, since in zip(granted, ended, strict=True)]


def _started(stack: contextlib.ExitStack, lab: Lab, job: str, many: list[dict[str, Any]]) -> list[Child]:
    children = [stack.enter_context(Child(job, args, lab.env)) for args in many]
    for child in children:
        child.ready()
        child.go()
    return children


# --- admission -------------------------------------------------------------------------------------------------------


def _admission(lab: Lab, report: Report) -> None:
    callers = lab.scale.callers
    found = interleaved(
        min(lab.scale.rounds, _ROUNDS),
        {
            f"{what} {where}": partial(_admitted, lab, what == "jobs", where == "S3")
            for what in ("jobs", "crowd")
            for where in ("local", "S3")
        },
    )
    jobs = [one for where in ("local", "S3") for one in found[f"jobs {where}"]]
    faults = [_faults(one["done"], _JOBS, _CAPACITY) for one in jobs]
    most = max(_at_once(one["done"]) for one in jobs)
    report.target("admission-jobs", sum(faults), figure="sum", samples=faults, note=f"at most {most} at once")
    crowd = [one for where in ("local", "S3") for one in found[f"crowd {where}"]]
    odd = [_odd(one["done"], callers) for one in crowd]
    granted = [sum("granted" in done for done in one["done"]) for one in crowd]
    note = f"{callers} callers, bound {callers // 6}: {min(granted)} to {max(granted)} granted"
    report.target("admission-bound", sum(odd), figure="sum", samples=odd, note=note)
    for where in ("local", "S3"):
        seconds = [one["seconds"] for one in found[f"jobs {where}"]]
        text = f"{_JOBS} jobs of 0.2 s at capacity {_CAPACITY}, {where}"
        report.info(text, median(seconds), "s", figure="median", samples=seconds, note="3 waves: 0.6 s at best")
        refusals = [done["full"] for one in found[f"crowd {where}"] for done in one["done"] if "full" in done]
        if refusals:
            report.spread(f"one `QueueFull` among {callers} callers at once, {where}", refusals, "ms")


def _admitted(lab: Lab, jobs: bool, s3: bool, turn: int) -> dict[str, Any]:  # noqa: ARG001
    url = lab.new_store("admission", s3=s3)
    lab.job("counter:begin", url=url, namespace=NAMESPACE)
    callers = lab.scale.callers
    processes, threads = (_JOBS, 1) if jobs else (_PROCESSES, callers // _PROCESSES)
    args = {
        "url": url,
        "namespace": NAMESPACE,
        "name": "sandbox",
        "capacity": _CAPACITY if jobs else _CROWD_CAPACITY,
        "bound": None if jobs else callers // 6,
        "hold_s": 0.2 if jobs else 0.3,
        "callers": threads,
    }
    each = [one["value"] for one in run_together("queueing:admit", lab.env, [args] * processes)]
    done = [one for several in each for one in several["done"]]
    ended = max((one["ended"] for one in done if "ended" in one), default=0.0)
    return {"done": done, "seconds": ended - min(one["began"] for one in each)}


def _faults(done: list[dict[str, Any]], wanted: int, capacity: int) -> int:
    """Who was not served, who was one too many, who saw its position rise."""
    rose = sum(any(after > before for before, after in pairwise(one["positions"])) for one in done if "granted" in one)
    return wanted - sum("granted" in one for one in done) + max(_at_once(done) - capacity, 0) + rose


def _odd(done: list[dict[str, Any]], wanted: int) -> int:
    """Who was neither granted nor refused as full, and who was one too many."""
    plain = sum("granted" in one or "full" in one for one in done)
    return wanted - plain + max(_at_once(done) - _CROWD_CAPACITY, 0)


def _at_once(done: list[dict[str, Any]]) -> int:
    """How many held at the same time."""
    steps = sorted(step for one in done if "granted" in one for step in ((one["granted"], 1), (one["ended"], -1)))
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


# --- requests --------------------------------------------------------------------------------------------------------


def _costs(lab: Lab, report: Report) -> None:
    value = lab.job("queueing:costs", url=lab.s3.url(lab.fresh("costs"), far=True), namespace=NAMESPACE)
    free, release = value["free"], value["release"]
    report.info("requests of a place that is free", sum(free.values()), "requests", note=_verbs(free, value["rounds"]))
    report.info("requests of a release", sum(release.values()), "requests", note=_verbs(release))
    for name, text in (("far", "at position 5"), ("near", "next in line")):
        asked = value[name]
        window = f"{asked['poll'] / value['window_s']:.3g} polls a second; {_verbs(asked)} in {value['window_s']:g} s"
        report.info(f"requests for each poll, {text}", sum(asked.values()) / asked["poll"], "requests", note=window)


def _verbs(asked: dict[str, int], rounds: int = 0) -> str:
    text = ", ".join(f"{count} {verb}" for verb, count in sorted(asked.items()) if count)
    return f"{text}; {rounds} dependent rounds" if rounds else text
