"""Syncs as a process does them: one, measured from the release; and several that find nothing new."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any


def push(url: str, namespace: str, tree: str) -> Generator[None, None, dict[str, Any]]:
    """One ``--push`` sync of a tree; its report. The start-up loads the program and opens a connection."""
    from bench.jobs.counting import Counting
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.workers.sync import SyncOptions, sync

    counting: list[Counting] = []
    core, space = open_core(url, namespace, lambda store: counting.append(Counting(store)) or counting[0])
    finish(core.store.now())
    counting[0].reset()
    yield
    report = finish(sync(space, Path(tree), SyncOptions(pull=False)))
    counts = counting[0]
    asked = {"requests": counts.total, "rounds": counts.rounds, "bytes_read": counts.bytes_read}
    return {"pushed": report.pushed, "skipped": len(report.skipped), **asked}


def idle(url: str, namespace: str, tree: str, turns: int, pull: bool) -> Generator[None, None, dict[str, Any]]:
    """Syncs (push alone, or both ways) that find nothing new, each with a client of its own; seconds and requests of each.

    A first sync in the start-up makes both sides alike.
    """
    from bench.jobs.counting import Counting
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.workers.sync import SyncOptions, sync

    core, space = open_core(url, namespace)
    finish(sync(space, Path(tree), SyncOptions(pull=pull)))
    finish(core.close())
    yield
    seconds, requests = [], []
    for _ in range(turns):
        counting: list[Counting] = []
        core, space = open_core(url, namespace, lambda store, kept=counting: kept.append(Counting(store)) or kept[0])
        began = time.perf_counter()
        report = finish(sync(space, Path(tree), SyncOptions(pull=pull)))
        seconds.append(time.perf_counter() - began)
        requests.append(counting[0].total)
        finish(core.close())
        if not report.idle:
            raise AssertionError("a sync that should find nothing new found something")
    return {"seconds": seconds, "requests": requests}
