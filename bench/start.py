"""How long the command takes from being typed to being back: start-up, and one small write."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial

from bench.cli import swamp
from bench.harness import Report, interleaved, median
from bench.lab import NAMESPACE, Lab


def run(lab: Lab, report: Report) -> None:
    """Every command several times, in turns; a bare interpreter beside them says what no program can avoid."""
    repo = lab.folder("repo")
    (repo / "a.json").write_bytes(b'{"a": 1}')
    local, s3 = str(lab.folder("store")), lab.s3.url(lab.fresh("start"), far=True)
    near = lab.s3.url(lab.fresh("start"), far=False)
    put = ["object", "put", "reports/a.json", "a.json", "--namespace", NAMESPACE, "--store"]
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "help": [*swamp(), "--help"],
        "local": [*swamp(), *put, local],
        "s3": [*swamp(), *put, near],
        "s3-far": [*swamp(), *put, s3],
    }
    timed = {name: partial(_timed, lab, command, str(repo)) for name, command in commands.items()}
    for once in timed.values():
        once(0)
    found = interleaved(lab.scale.starts, timed)
    for name, target in (("help", "start-help"), ("local", "start-put-local"), ("s3", "start-put-s3")):
        report.target(target, median(found[name]), figure="median", samples=found[name])
    report.spread("one `swamp object put` on S3 with 20 ms per request", found["s3-far"], "s")
    report.spread("an interpreter that does nothing", found["python"], "s")


def _timed(lab: Lab, command: list[str], folder: str, turn: int) -> float:  # noqa: ARG001
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=lab.env, capture_output=True, text=True, timeout=60, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise AssertionError(f"{command[-8:]} ended with code {done.returncode}: {done.stderr[-500:]}")
    return seconds
