"""Pulls: many small files beside aws s3 sync, s5cmd and rclone; ten changes in a large tree; the memory of a million."""

from __future__ import annotations

import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench.children import JobFailed, run_job
from bench.cli import swamp
from bench.harness import Report, interleaved, median, say
from bench.lab import NAMESPACE, Lab
from bench.peers.copiers import Copiers

_PEERS = ("aws", "s5cmd", "rclone")
_CHANGES = 10


def run(lab: Lab, report: Report) -> None:
    """Each part on S3 with the delay."""
    _race(lab, report, count=min(10_000, lab.scale.entries), size=1_000, judged=True)
    _race(lab, report, count=min(10_000, lab.scale.entries), size=6_000, judged=False)
    _few_changes(lab, report)
    if lab.scale.name == "full":
        _million(lab, report)


# --- many small files ------------------------------------------------------------------------------------------------


def _race(lab: Lab, report: Report, *, count: int, size: int, judged: bool) -> None:
    """The first pull of ``count`` files, each program from its start to its end, in turns."""
    say(f"making {count:,} files of {size:,} bytes, in a namespace and as plain objects")
    copiers = Copiers(lab.scratch, lab.env)
    repo, place, plain = lab.folder("repo"), lab.fresh("small"), lab.fresh("plain")
    lab.job("pull:make_files", folder=str(repo / ".swamp"), count=count, size=size)
    near: dict[str, Any] = {"url": lab.s3.url(place, far=False), "namespace": NAMESPACE}
    pushed = run_job("pull:sync", lab.env, **near, tree=str(repo / ".swamp"), push=True, pull=False)
    lab.job("pull:compact", **near)
    copiers.push(lab.s3.near_port, repo / ".swamp", plain)
    runs = {"ours": partial(_ours, lab, place, count)}
    runs |= {name: partial(_peer, lab, copiers, name, plain, count) for name in _PEERS}
    found = interleaved(min(lab.scale.rounds, 3), runs)
    what = f"first pull of {count:,} files of {size:,} bytes"
    ours = median(found["ours"])
    report.info(f"{what}: swamp datastore sync --pull", ours, "s", figure="median", samples=found["ours"])
    for name in _PEERS:
        theirs = median(found[name])
        text = f"{what}: {name}"
        note = f"{theirs:.2f} s, ours {ours:.2f} s (medians)"
        report.info(text, theirs, "s", figure="median", samples=found[name], ratio=theirs / ours, ratio_of="ours")
        if judged:
            report.target(f"pull-{name}", ours / theirs, figure="ratio", samples=found["ours"], note=note)
    far: dict[str, Any] = {"url": lab.s3.url(place, far=True), "namespace": NAMESPACE}
    pulled = run_job("pull:sync", lab.env, **far, tree=str(lab.folder("tree")), push=False, pull=True)
    asked = {"pull": pulled["value"]["requests"], "push": pushed["value"]["requests"]}
    if judged:
        report.target("pull-small-requests", max(asked.values()), figure="max", samples=list(asked.values()))
    else:
        report.info(f"{what}: requests", asked["pull"], "requests", note=f"push {asked['push']}")


def _ours(lab: Lab, place: str, count: int, turn: int) -> float:  # noqa: ARG001
    repo = lab.folder("repo")
    url = lab.s3.url(place, far=True)
    command = [*swamp(), "datastore", "sync", "--pull", "--store", url, "--namespace", NAMESPACE]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=repo, env=lab.env, capture_output=True, text=True, timeout=600, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise JobFailed(f"the pull failed: {done.stderr.strip()[-1500:]}")
    _check(lab, repo / ".swamp", count)
    shutil.rmtree(repo)
    return seconds


def _peer(lab: Lab, copiers: Copiers, name: str, prefix: str, count: int, turn: int) -> float:  # noqa: ARG001
    folder = lab.folder(name)
    seconds = copiers.pull(name, lab.s3.far_port, prefix, folder)
    _check(lab, folder, count)
    shutil.rmtree(folder)
    return seconds


def _check(lab: Lab, folder: Path, count: int) -> None:
    found = lab.job("pull:count_files", folder=str(folder))
    if found != count:
        raise JobFailed(f"{found} of {count} files came to {folder.name}")


# --- a large tree ----------------------------------------------------------------------------------------------------


def _few_changes(lab: Lab, report: Report) -> None:
    """Pulls of ten changes into a tree that holds everything, folded and not; then a sync both ways, which walks."""
    entries = lab.scale.entries
    say(f"filling a namespace with {entries:,} small files, and a tree with them")
    place, tree = lab.fresh("large"), lab.folder("tree")
    near: dict[str, Any] = {"url": lab.s3.url(place, far=False), "namespace": NAMESPACE}
    far: dict[str, Any] = {"url": lab.s3.url(place, far=True), "namespace": NAMESPACE}
    lab.job("pull:fill", timeout_s=900, **near, entries=entries)
    first = run_job("pull:sync", lab.env, timeout_s=1200, **far, tree=str(tree), push=False, pull=True)
    note = f"{first['value']['requests']} requests, peak {first['rss_mb']:.0f} MB"
    report.info(f"first pull of {entries:,} small files", first["seconds"], "s", note=note)
    seconds: dict[str, list[float]] = {"log": [], "merged": [], "both": []}
    requests: dict[str, list[float]] = {"log": [], "merged": [], "both": []}
    for turn in range(lab.scale.rounds):
        for kind in ("log", "merged"):
            lab.job("pull:change", **near, entries=entries, count=_CHANGES, word=f"{kind}{'x' * turn}")
            if kind == "merged":
                lab.job("pull:compact", **near)
            done = run_job("pull:sync", lab.env, **far, tree=str(tree), push=False, pull=True)
            if done["value"]["pulled"] != _CHANGES:
                raise JobFailed(f"{done['value']['pulled']} of {_CHANGES} changes came")
            seconds[kind].append(done["seconds"])
            requests[kind].append(done["value"]["requests"])
        done = run_job("pull:sync", lab.env, timeout_s=600, **far, tree=str(tree), push=True, pull=True)
        seconds["both"].append(done["seconds"])
        requests["both"].append(done["value"]["requests"])
    report.target("pull-requests", max(requests["log"]), figure="max", samples=requests["log"])
    report.target("pull-seconds", median(seconds["log"]), figure="median", samples=seconds["log"])
    text = f"pull of {_CHANGES} changes after a merge"
    asked = f"{median(requests['merged']):.0f} requests"
    report.info(text, median(seconds["merged"]), "s", figure="median", samples=seconds["merged"], note=asked)
    asked = f"{median(requests['both']):.0f} requests; the tree is walked"
    report.info(
        "sync both ways, nothing new",
        median(seconds["both"]),
        "s",
        figure="median",
        samples=seconds["both"],
        note=asked,
    )


def _million(lab: Lab, report: Report) -> None:
    """Peak memory of a first pull, an idle sync and a listing of a million entries, from a local store."""
    entries = 1_000_000
    store, tree = lab.folder("million"), lab.folder("tree")
    place: dict[str, Any] = {"url": str(store), "namespace": NAMESPACE}
    say("filling a local namespace with a million small files, and a tree with them")
    lab.job("pull:fill", timeout_s=1800, **place, entries=entries)
    peaks: list[float] = []
    works: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("list", "pull:listing", {}),
        ("first pull", "pull:sync", {"tree": str(tree), "push": False, "pull": True}),
        ("sync both ways, nothing new", "pull:sync", {"tree": str(tree), "push": True, "pull": True}),
    )
    for text, job, args in works:
        done = run_job(job, lab.env, timeout_s=3600, **place, **args)
        peaks.append(done["rss_mb"])
        report.info(f"a million entries: {text}", done["seconds"], "s", note=f"peak {done['rss_mb']:.0f} MB")
    report.target("memory-million", max(peaks), figure="max", samples=peaks)
    shutil.rmtree(tree)
