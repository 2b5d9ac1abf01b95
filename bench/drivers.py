"""What the S3 drivers cost: CPU of a request and of a page of a listing, and how many callers share a write."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

from bench.append import writes_of
from bench.children import ROOT, JobFailed, run_job
from bench.harness import Report, interleaved, median
from bench.lab import NAMESPACE, Lab

CALLERS = 16
GROUP = 8
_DRIVERS = {"boto3": ("botocore", False), "aiobotocore": ("botocore", True), "fast": ("fast", False)} | {
    "fast asyncio": ("fast", True)
}
_PEERS = {"fast": "boto3", "fast asyncio": "aiobotocore"}


def run(lab: Lab, report: Report) -> None:
    """All four drivers against a server that answers at once; then group commit at 8 callers, by backend."""
    puts, pages = (400, 5) if lab.scale.name == "quick" else (4000, 40)
    with null_server() as port:
        url = f"s3://bench/team?endpoint=http://127.0.0.1:{port}&region=us-east-1"
        cost = partial(_cost, lab, url, puts, pages)
        found = interleaved(lab.scale.rounds, {name: partial(cost, name) for name in _DRIVERS})
    put = {name: median([one["put_us"] for one in several]) for name, several in found.items()}
    page = {name: median([one["page_ms"] for one in several]) for name, several in found.items()}
    for name, several in found.items():
        peer = _PEERS.get(name)
        shown = {"ratio": put[name] / put[peer], "ratio_of": peer} if peer else {}
        rate = f"{median([one['per_s'] for one in several]):,.0f}/s"
        samples = [one["put_us"] for one in several]
        text = f"CPU of one conditional put at {CALLERS} callers, {name}"
        report.info(text, put[name], "us", figure="median", samples=samples, note=rate, **shown)  # type: ignore[arg-type]
        samples = [one["page_ms"] for one in several]
        report.info(f"CPU of a page of 1,000 names, {name}", page[name], "ms", figure="median", samples=samples)
    for target, name in (("driver-put", "fast"), ("driver-put-aio", "fast asyncio")):
        report.target(target, put[name] / put[_PEERS[name]], figure="ratio of medians")
    report.target("driver-page", max(page[name] for name in _PEERS), figure="worst of medians", note="both faces")
    _groups(lab, report)


def _groups(lab: Lab, report: Report) -> None:
    each = 10 if lab.scale.name == "quick" else 50
    stores = {"local": lab.new_store("grouped", s3=False), "S3": lab.new_store("grouped", s3=True)}
    alternatives = {}
    for where, url in stores.items():
        for kind, job in (("threads", "drivers:grouped"), ("tasks", "drivers:grouped_tasks")):
            for callers in (GROUP, 1):
                name = f"{where}, {callers} {kind}"
                alternatives[name] = partial(_group, lab, job, url, callers, each)
    found = interleaved(min(lab.scale.rounds, 3), alternatives)
    sizes = {name: median([one["size"] for one in several]) for name, several in found.items()}
    for name, several in found.items():
        times = [ms for one in several for ms in one["ms"]]
        report.spread(f"one append, {name}", times, "ms", note=f"{sizes[name]:.3g} appends share a write (median)")
    for where in ("local", "S3"):
        shared = min(sizes[f"{where}, {GROUP} {kind}"] for kind in ("threads", "tasks"))
        report.target(
            f"group-{where.lower()}", 1 / shared, figure="worst of medians", note=f"{shared:.3g} share a write"
        )


def _cost(lab: Lab, url: str, puts: int, pages: int, name: str, turn: int) -> dict[str, Any]:  # noqa: ARG001
    driver, asynchronous = _DRIVERS[name]
    args = {"url": url, "driver": driver, "asynchronous": asynchronous}
    value: dict[str, Any] = run_job("drivers:cost", lab.env, **args, callers=CALLERS, puts=puts, pages=pages)["value"]
    return value


def _group(lab: Lab, job: str, url: str, callers: int, each: int, turn: int) -> dict[str, Any]:  # noqa: ARG001
    done = run_job(job, lab.env, url=url, namespace=NAMESPACE, callers=callers, each=each)["value"]
    return {"ms": done["ms"], "size": callers * each / writes_of(done["requests"])}


@contextlib.contextmanager
def null_server() -> Iterator[int]:
    """The port of a server that answers at once. Raises ``JobFailed``."""
    command = [sys.executable, "-m", "bench.null_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline().split()
        if len(said) != 2:
            raise JobFailed("the null server did not start")
        yield int(said[1])
        assert process.stdin is not None
        process.stdin.close()
