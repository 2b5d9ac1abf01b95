"""Appends by what keeps its data on object storage."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any


def appends(
    kind: str, path: str, count: int, seconds: float, bucket: str = "", endpoint: str = ""
) -> Generator[None, None, dict[str, Any]]:
    """``count`` appends (0: for ``seconds``) one after the other: how many, ms of each, and how many had to be made again.

    Opening and a first append belong to the start-up.
    """
    from bench.jobs.logs import record_of
    from bench.peers.formats import FORMATS, Place

    held, record = FORMATS[kind](Place(path, bucket, endpoint)), record_of(0)
    held.append(record)
    held.failed = 0
    yield
    took: list[float] = []
    began = time.perf_counter()
    while len(took) < count if count else time.perf_counter() - began < seconds:
        start = time.perf_counter()
        held.append(record)
        took.append((time.perf_counter() - start) * 1000)
    spent = time.perf_counter() - began
    failed = held.failed
    held.close()
    return {"count": len(took), "seconds": spent, "ms": took, "failed": failed}
