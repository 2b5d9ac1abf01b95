"""One append at a time, on namespaces of different size: its latency, and what it asks of the store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from bench.children import run_job
from bench.harness import Report, interleaved, median, percentile
from bench.lab import NAMESPACE, Lab

_PEER_TURNS = 2


def run(lab: Lab, report: Report) -> None:
    """Local, and on S3 with the delay; the legacy design at the same sizes in the same rounds."""
    scale = lab.scale
    each = max(scale.appends // scale.rounds, 1)
    alternatives = {}
    for size in scale.sizes:
        alternatives[f"local {size:,}"] = partial(_appends, lab, lab.filled(size, s3=False), each)
        place = lab.s3.url(lab.filled(size, s3=True), far=True)
        alternatives[f"S3 {size:,}"] = partial(_appends, lab, place, each)
        alternatives[f"legacy local {size:,}"] = partial(_legacy, lab, *_legacy_place(lab, size, s3=False))
        alternatives[f"legacy S3 {size:,}"] = partial(_legacy, lab, *_legacy_place(lab, size, s3=True))
    found = interleaved(scale.rounds, alternatives)
    times = {name: [ms for one in several for ms in one["ms"]] for name, several in found.items()}
    ours = [one for name, several in found.items() if not name.startswith("legacy") for one in several]
    _requests(report, ours, each)
    worst = max((name for name in times if name.startswith("S3")), key=lambda name: percentile(times[name], 0.99))
    for size in scale.sizes:
        for where in ("local", "S3"):
            name, peer = f"{where} {size:,}", f"legacy {where} {size:,}"
            ratio = median(times[peer]) / median(times[name])
            report.spread(
                f"one append, {name} entries", times[name], "ms", ratio=ratio, ratio_of="faster than the legacy design"
            )
            report.spread(f"one append the legacy way, {name} entries", times[peer], "ms")
    p99 = percentile(times[worst], 0.99)
    report.target("append-p99-s3", p99, figure="p99", samples=times[worst], note=f"the worst of all sizes: {worst}")


def writes_of(requests: Mapping[str, int]) -> int:
    """How many of ``requests`` wrote to the log: a create-only write of a segment, or a frame of a lane file."""
    return requests.get("create", 0) + requests.get("append_lane", 0)


def _appends(lab: Lab, url: str, count: int, turn: int) -> dict[str, Any]:  # noqa: ARG001
    done = run_job("append:appends", lab.env, url=url, namespace=NAMESPACE, count=count)
    value: dict[str, Any] = done["value"]
    return value


def _legacy_place(lab: Lab, size: int, *, s3: bool) -> tuple[str, str]:
    """``(url, lock)`` of a store with a legacy index of ``size`` entries."""
    source = lab.folder("index")
    lab.job("prepare:make_index", out=str(source), entries=size)
    place = lab.fresh("legacy") if s3 else str(lab.folder("legacy"))
    near = lab.s3.url(place, far=False) if s3 else place
    lab.job("legacy:upload_index", url=near, source=str(source))
    return (lab.s3.url(place, far=True) if s3 else place), str(lab.scratch / lab.fresh("lock"))


def _legacy(lab: Lab, url: str, lock: str, turn: int) -> dict[str, Any]:
    done = run_job("legacy:write", lab.env, url=url, lock=lock, files=1, mark=str(turn), repeat=_PEER_TURNS)
    value: dict[str, Any] = done["value"]
    return value


def _requests(report: Report, found: list[dict[str, Any]], each: int) -> None:
    creates = [writes_of(one["requests"]) / each for one in found]
    if min(creates) < 1:
        raise AssertionError(f"appends were acknowledged without a create-only write each: {creates}")
    others = [sum(one["requests"].values()) - writes_of(one["requests"]) for one in found]
    report.target("append-requests", max(creates), figure="max", samples=creates, note="create-only writes per append")
    report.target(
        "append-reads", max(others), figure="max", samples=others, note="other requests, all appends together"
    )
