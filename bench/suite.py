"""The everyday tests, timed."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.children import ROOT, JobFailed
from bench.harness import Report, say
from bench.lab import Lab

_TIMEOUT_S = 900


def run(lab: Lab, report: Report) -> None:
    """What `make test` runs, once. Failing tests fail the benchmark."""
    if not lab.scale.suite:
        say("the tests are timed with --full only")
        return
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    seconds = time.perf_counter() - began
    last = done.stdout.strip().splitlines()[-1:] or [""]
    if done.returncode:
        raise JobFailed(f"the tests failed: {last[0]}")
    report.target("make-test", seconds, note=last[0].strip("= "))
