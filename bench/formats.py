"""One small durable append to what keeps its data as objects: ours, table formats, a key-value store; requests and time."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from bench.children import run_together
from bench.environment import peers_python
from bench.harness import Report, interleaved, median, percentile, say
from bench.lab import Lab
from bench.peers.formats import FORMATS, SINGLE
from bench.servers import BUCKET
from bench.tally import Tally

OURS = "swampstore"
_COUNT = 20
_SECONDS = 2.0
_TURNS = 3
_WRITERS = 4


def run(lab: Lab, report: Report) -> None:
    """Requests on S3 (alone, and by four at once), time on S3 with the delay, appends a second in a folder."""
    python = peers_python("deltalake")
    turns = min(lab.scale.rounds, _TURNS)

    def together(kind: str, writers: int, given: dict[str, Any]) -> list[dict[str, Any]]:
        many = [{"kind": kind, **given}] * writers
        chosen = sys.executable if kind == OURS else python
        # The first makes what the others open.
        return [one["value"] for one in run_together("formats:appends", lab.env, many, timeout_s=180, python=chosen)]

    say("requests of an append")
    with Tally(lab.s3.near_port) as tally:
        for kind in FORMATS:
            for writers in (1,) if kind in SINGLE else (1, _WRITERS):
                place = {"path": lab.fresh("format"), "bucket": BUCKET, "endpoint": f"http://127.0.0.1:{tally.port}"}
                together(kind, 1, {**place, "count": 1, "seconds": 0})
                tally.taken()
                together(kind, writers, {**place, "count": 1, "seconds": 0})
                opening = sum(tally.taken().values())
                found = together(kind, writers, {**place, "count": 1 + _COUNT, "seconds": 0})
                counts = tally.taken()
                each = (sum(counts.values()) - opening) / (_COUNT * writers)
                note = ", ".join(f"{number} {method}" for method, number in sorted(counts.items()))
                again = sum(one["failed"] for one in found)
                text = f"requests of an append, {writers} at once: {kind}"
                report.info(text, each, "requests", note=f"{note}; {again} commits made again; opening taken off")

    say("time of an append")
    for where, name in (("S3 with 20 ms", "s3"), ("a folder", "local")):

        def once(kind: str, _turn: int, name: str = name) -> dict[str, Any]:
            given: dict[str, Any] = {"count": 0, "seconds": _SECONDS}
            if name == "s3":
                given |= {"bucket": BUCKET, "endpoint": f"http://127.0.0.1:{lab.s3.far_port}", "path": lab.fresh("f")}
            else:
                given["path"] = str(lab.folder("format"))
            return together(kind, 1, given)[0]

        found = interleaved(turns, {kind: partial(once, kind) for kind in FORMATS})
        ours = median([one["count"] / one["seconds"] for one in found[OURS]])
        for kind, runs in found.items():
            rates = [one["count"] / one["seconds"] for one in runs]
            times = [ms for one in runs for ms in one["ms"]]
            note = f"p50 {median(times):.3g} ms, p99 {percentile(times, 0.99):.3g} ms"
            more: dict[str, Any] = {} if kind == OURS else {"ratio": ours / median(rates), "ratio_of": "is ours"}
            text = f"appends a second, {where}: {kind}"
            report.info(text, median(rates), "/s", figure="median", samples=rates, note=note, **more)
