"""A gc of a few and of very many expired entries in the large namespace, on S3 with the delay."""

from __future__ import annotations

import subprocess
import time

from bench.children import JobFailed, run_job
from bench.cli import swamp
from bench.harness import Report, median, say
from bench.lab import NAMESPACE, Lab

FEW = 7
_SHARE = 100_000 / 262_000
"""How much of the namespace is out of its time in the large case."""
_TIMEOUT_S = 600
_TURNS = 3


def run(lab: Lab, report: Report) -> None:
    """Seven versions anywhere, by the command and by the library in turns; then 100,000 entries at once."""
    _few(lab, report)
    _many(lab, report)


def _filled(lab: Lab, expired: int) -> str:
    say(f"filling a namespace on S3 with {lab.scale.entries:,} entries, {expired:,} of them expired")
    place = lab.fresh("gc")
    near = lab.s3.url(place, far=False)
    lab.job("gc:fill", timeout_s=_TIMEOUT_S, url=near, namespace=NAMESPACE, entries=lab.scale.entries, expired=expired)
    return place


def _few(lab: Lab, report: Report) -> None:
    place = _filled(lab, 0)
    near, far = lab.s3.url(place, far=False), lab.s3.url(place, far=True)
    typed, found = [], []
    for turn in range(min(lab.scale.rounds, _TURNS)):
        lab.job("gc:renew", url=near, namespace=NAMESPACE, count=FEW, seed=2 * turn)
        typed.append(_typed(lab, far))
        lab.job("gc:renew", url=near, namespace=NAMESPACE, count=FEW, seed=2 * turn + 1)
        found.append(run_job("gc:collect", lab.env, timeout_s=_TIMEOUT_S, url=far, namespace=NAMESPACE)["value"])
    if any(one["expired"] != FEW for one in found):
        raise JobFailed(f"a gc removed {[one['expired'] for one in found]} versions instead of {FEW}")
    report.target("gc7-seconds", median(typed), figure="median", samples=typed, note="`swamp data gc --yes`")
    beyond = [one["reads"] - one["concerned"] for one in found]
    last = found[-1]
    note = f"last: {last['reads']} reads, {last['concerned']} of {last['shards']} shards concerned, {last['bytes']:,} bytes"
    report.target("gc7-reads", max(beyond), figure="max", samples=beyond, note=note)
    appends = [one["writes"] for one in found]
    report.target("gc7-appends", max(appends), figure="max", samples=appends)
    seconds = [one["seconds"] for one in found]
    report.info("gc of 7, without the start of the command", median(seconds), "s", figure="median", samples=seconds)


def _typed(lab: Lab, url: str) -> float:
    command = [*swamp(), "data", "gc", "--yes", "--json", "--namespace", NAMESPACE, "--store", url]
    began = time.perf_counter()
    done = subprocess.run(command, env=lab.env, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    seconds = time.perf_counter() - began
    if done.returncode or f'"versionsDeleted": {FEW}' not in done.stdout:
        raise JobFailed(f"swamp data gc: code {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    return seconds


def _many(lab: Lab, report: Report) -> None:
    many = round(lab.scale.entries * _SHARE) // 2 * 2
    place = _filled(lab, many)
    far = lab.s3.url(place, far=True)
    done = run_job("gc:collect", lab.env, timeout_s=_TIMEOUT_S, url=far, namespace=NAMESPACE)
    value = done["value"]
    if value["entries"] != many:
        raise JobFailed(f"a gc removed {value['entries']} entries instead of {many}")
    note = f"{value['entries']:,} entries of {value['expired']:,} versions, {value['writes']} segments"
    report.target("gc100k-seconds", value["seconds"], note=note)
    report.target("gc100k-memory", done["rss_mb"])
    after = run_job("gc:compact", lab.env, timeout_s=_TIMEOUT_S, url=far, namespace=NAMESPACE)
    deltas = f"{after['value']['deltas']:,} deltas"
    report.info("the compaction after it: fold and merge", after["value"]["seconds"], "s", note=deltas)
    report.info("the compaction after it: peak memory", after["rss_mb"], "MB")
