"""The inside of a worker process: ``python -m bench.job module:function '{"json": "arguments"}'``.

It runs the job's start-up, says ``ready``, waits for a line, runs the measured part, and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Any


def peak_mb() -> float:
    """Peak memory of this process in MB (10^6 bytes).

    The kernel's high-water mark of this program image; ``getrusage`` would count what the parent held when it forked.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def main(argv: list[str]) -> int:
    """Run one job. Standard output is for its results alone: what libraries print goes to standard error."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module, _, function = argv[1].partition(":")
    job: Generator[None, None, Any] = getattr(import_module(f"bench.jobs.{module}"), function)(**json.loads(argv[2]))
    next(job)
    print(json.dumps({"event": "ready"}), file=results, flush=True)
    if not sys.stdin.readline():
        return 1
    began = time.perf_counter()
    cpu = time.process_time()
    try:
        next(job)
    except StopIteration as stop:
        ended = time.perf_counter()
        said = {"seconds": ended - began, "cpu_s": time.process_time() - cpu, "rss_mb": peak_mb(), "value": stop.value}
        print(json.dumps(said), file=results, flush=True)
        return 0
    raise SystemExit(f"{argv[1]} yielded twice")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
