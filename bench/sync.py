"""Syncs at once into the large namespace on S3 with the delay: a lone one, 4 and 16, in turns, a compactor behind them."""

from __future__ import annotations

import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench.children import JobFailed, behind, run_job, run_together
from bench.cli import swamp
from bench.harness import Report, interleaved, median, percentile, say
from bench.lab import NAMESPACE, Lab
from bench.trees import NEW_FILES, Trees

_CLI_TIMEOUT_S = 60.0
_PEERS = 4


def run(lab: Lab, report: Report) -> None:
    """Every process pushes 25 new files, from a tree that was synced before; then the legacy design, 4 at once."""
    url = lab.s3.url(lab.big_s3, far=True)
    trees = Trees(lab, url)
    with behind("upkeep:compactor", lab.env, timeout_s=1800, url=url, namespace=NAMESPACE):
        found = interleaved(
            lab.scale.rounds,
            {
                "lone": partial(_together, lab, trees, 1),
                "first": partial(_first, lab, trees),
                "4": partial(_together, lab, trees, 4),
                "16": partial(_together, lab, trees, 16),
                "16 cli": partial(_commands, lab, trees, 16),
                "1 cli": partial(_commands, lab, trees, 1),
            },
        )
    lone = [one["slowest"] for one in found["lone"]]
    for count in (4, 16):
        slowest = [one["slowest"] for one in found[str(count)]]
        failed = [one["failed"] for one in found[str(count)]]
        note = f"slowest {median(slowest):.2f} s, lone {median(lone):.2f} s (medians)"
        if count == 4:
            report.target("sync-4", median(slowest) / median(lone), figure="ratio", samples=slowest, note=note)
        else:
            report.info(
                "16 syncs at once: the slowest against a lone one",
                median(slowest) / median(lone),
                "x",
                figure="ratio",
                samples=slowest,
                note=note,
            )
        report.target(f"sync-{count}-failed", sum(failed), figure="sum", samples=failed)
    _commands_rows(report, found)
    cold = [one["seconds"] for one in found["first"]]
    report.info("a lone sync, the first ever of its tree", median(cold), "s", figure="median", samples=cold)
    each = [one for several in found["lone"] for one in several["each"]]
    asked = [one["value"]["requests"] for one in each]
    report.info("a lone sync: requests", median(asked), "requests", figure="median", samples=asked)
    cpu = [one["cpu_s"] for one in each]
    report.info("a lone sync: processor time", median(cpu), "s", figure="median", samples=cpu)
    _legacy(lab, report, median([one["slowest"] for one in found["4"]]))


def _together(lab: Lab, trees: Trees, count: int, turn: int) -> dict[str, Any]:  # noqa: ARG001
    """``count`` processes released together: the slowest's seconds, how many failed, and each result."""
    repos = trees.make(count)
    for repo in repos:
        trees.grow(repo)
    many = [{"url": trees.url, "namespace": NAMESPACE, "tree": str(repo / ".swamp")} for repo in repos]
    try:
        each = run_together("sync:push", lab.env, many, timeout_s=180)
        failed = sum(one["value"]["pushed"] != NEW_FILES or one["value"]["skipped"] > 0 for one in each)
    except JobFailed as error:
        raise JobFailed(f"{count} syncs at once: {error}") from error
    finally:
        _remove(repos)
    return {"slowest": max(one["seconds"] for one in each), "failed": failed, "each": each}


def _first(lab: Lab, trees: Trees, turn: int) -> dict[str, Any]:  # noqa: ARG001
    repo = lab.folder("repo")
    trees.grow(repo)
    return run_job("sync:push", lab.env, url=trees.url, namespace=NAMESPACE, tree=str(repo / ".swamp"))


def _commands(lab: Lab, trees: Trees, count: int, turn: int) -> dict[str, Any]:  # noqa: ARG001
    """``count`` times the real command at once, from the start of the first to the end of the last."""
    repos = trees.make(count)
    for repo in repos:
        trees.grow(repo)
    command = [*swamp(), "datastore", "sync", "--push", "--store", trees.url, "--namespace", NAMESPACE, "--json"]
    began = time.perf_counter()
    running = [
        subprocess.Popen(
            command, cwd=repo, env=lab.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for repo in repos
    ]
    failed = 0
    complaint = b""
    deadline = began + _CLI_TIMEOUT_S
    for process in running:
        try:
            _, said = process.communicate(timeout=max(deadline - time.perf_counter(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            said = f"not done after {_CLI_TIMEOUT_S:.0f} s".encode()
        if process.returncode:
            failed += 1
            complaint = said
    seconds = time.perf_counter() - began
    _remove(repos)
    if complaint:
        say(f"{failed} of {count} commands failed; the last said: {complaint.decode(errors='replace').strip()[-600:]}")
    return {"seconds": seconds, "failed": failed}


def _commands_rows(report: Report, found: dict[str, list[dict[str, Any]]]) -> None:
    seconds = [one["seconds"] for one in found["16 cli"]]
    failed = [one["failed"] for one in found["16 cli"]]
    alone = [one["seconds"] for one in found["1 cli"]]
    note = f"median {median(seconds):.2f} s, a lone one {median(alone):.2f} s"
    report.target("sync-16-cli", percentile(seconds, 1), figure="max", samples=seconds, note=note)
    report.target("sync-16-cli-failed", sum(failed), figure="sum", samples=failed)


def _remove(repos: list[Path]) -> None:
    for repo in repos:
        shutil.rmtree(repo)


def _legacy(lab: Lab, report: Report, ours: float) -> None:
    """The same work the legacy way: 4 processes, each rewriting the index of the same size under the lock. Once."""
    place, lock = lab.fresh("legacy"), str(lab.scratch / lab.fresh("lock"))
    lab.job("legacy:upload_index", url=lab.s3.url(place, far=False), source=str(lab.index))
    many = [
        {"url": lab.s3.url(place, far=True), "lock": lock, "files": NEW_FILES, "mark": str(at)} for at in range(_PEERS)
    ]
    each = run_together("legacy:write", lab.env, many, timeout_s=180)
    slowest = max(one["seconds"] for one in each)
    good = sum(one["value"]["ok"] for one in each)
    report.info(
        f"{_PEERS} syncs at once the legacy way: the slowest",
        slowest,
        "s",
        samples=[one["seconds"] for one in each],
        ratio=slowest / ours,
        ratio_of="ours",
        note=f"{good} of {_PEERS} got the lock within 60 s; the fastest took {min(one['seconds'] for one in each):.2f} s",
    )
