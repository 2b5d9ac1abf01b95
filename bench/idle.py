"""A sync that finds nothing new: what it asks of the store, and how long it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.children import run_job
from bench.harness import Report
from bench.lab import NAMESPACE, Lab
from bench.trees import Trees


def run(lab: Lab, report: Report) -> None:
    """A tree of 25 files, in sync on S3 with the delay, synced again by new clients.

    Pushing alone into the large namespace (its contents do not exist, so they cannot be pulled), and both ways with a
    namespace of its own.
    """
    large = Trees(lab, lab.s3.url(lab.big_s3, far=True))
    small = Trees(lab, lab.s3.url(lab.fresh("idle"), far=True))
    pushing = _idle(lab, large, pull=False)
    both_ways = _idle(lab, small, pull=True)
    requests = [*pushing["requests"], *both_ways["requests"]]
    report.target("idle-requests", max(requests), figure="max", samples=requests)
    for text, done in (("the large namespace", pushing), ("a small one, both ways", both_ways)):
        report.spread(f"a sync with nothing new, {text}", done["seconds"], "s", note="with connecting")


def _idle(lab: Lab, trees: Trees, *, pull: bool) -> dict[str, Any]:
    (repo,) = trees.make(1)
    trees.grow(repo)
    tree: Path = repo / ".swamp"
    args = {"url": trees.url, "namespace": NAMESPACE, "tree": str(tree), "turns": lab.scale.starts, "pull": pull}
    value: dict[str, Any] = run_job("sync:idle", lab.env, timeout_s=300, **args)["value"]
    return value
