"""Syncs as a process does them: one, measured from the release; and several that find nothing new."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any


def push(url: str, namespace: str, tree: str) -> Generator[None, None, dict[str, Any]]:
    """One ``--push`` sync of a tree; its report. The start-up loads the program and opens a connection."""
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish
    from swampstore.workers.sync import SyncOptions, sync

    core, space, counts = open_counted(url, namespace)
    finish(core.store.now())
    counts.reset()
    yield
    report = finish(sync(space, Path(tree), SyncOptions(pull=False)))
    asked = {"locks": counts.locks, "requests": counts.total, "rounds": counts.rounds, "bytes_read": counts.bytes_down}
    return {"pushed": report.pushed, "skipped": len(report.skipped), **asked}


def idle(url: str, namespace: str, tree: str, turns: int, pull: bool) -> Generator[None, None, dict[str, Any]]:
    """Syncs (push alone, or both ways) that find nothing new, each with a client of its own; seconds and requests of each.

    A first sync in the start-up makes both sides alike.
    """
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish
    from swampstore.workers.sync import SyncOptions, sync

    options = SyncOptions(pull=pull)
    core, space, _ = open_counted(url, namespace)
    finish(sync(space, Path(tree), options))
    finish(core.close())
    yield
    seconds, requests = [], []
    for _ in range(turns):
        core, space, counts = open_counted(url, namespace)
        began = time.perf_counter()
        report = finish(sync(space, Path(tree), options))
        seconds.append(time.perf_counter() - began)
        requests.append(counts.total)
        finish(core.close())
        if not report.idle:
            raise AssertionError("a sync that should find nothing new found something")
    return {"seconds": seconds, "requests": requests}
