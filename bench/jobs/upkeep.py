"""Look-ups, changes and compaction of a large namespace."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

from bench.jobs.until import input_ended

_PAUSE_S = 0.25


def lookup(url: str, namespace: str, keys: Sequence[str]) -> Generator[None, None, list[dict[str, Any]]]:
    """The entry of each key, each with a client of its own that knows nothing; what each asked of the store."""
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish

    yield
    found = []
    for key in keys:
        core, space, counts = open_counted(url, namespace)
        began = time.perf_counter()
        entry = finish(space.get(key))
        ms = (time.perf_counter() - began) * 1000
        if entry is None:
            raise LookupError(f"{key} is not in the namespace")
        found.append({"rounds": counts.rounds, "requests": counts.total, "bytes": counts.bytes_down, "ms": ms})
        finish(core.close())
    return found


def keys(url: str, namespace: str, count: int, seed: int) -> Generator[None, None, list[str]]:
    """``count`` keys of the namespace, picked over its whole range."""
    import random

    from swampstore.client import blocking

    yield
    with blocking.open(url) as store:
        every = [entry.key for entry in store.namespace(namespace).scan()]
    return random.Random(seed).sample(every, count)


def change(url: str, namespace: str, keys: Sequence[str]) -> Generator[None, None, dict[str, Any]]:
    """New contents for some keys in one append, then a fold and a merge; their times, and which shards they met."""
    from bisect import bisect_right

    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.client.core import puts

    core, space = open_core(url, namespace)
    shards = [ref.first for ref in finish(space.snapshot()).root.shards]
    touched = {max(bisect_right(shards, key) - 1, 0) for key in keys}
    finish(core.close())
    core, space = open_core(url, namespace)
    yield
    began = time.perf_counter()
    finish(space.append(puts(dict.fromkeys(keys, b'{"changed": true}'))))
    appended = time.perf_counter()
    report = finish(space.compact())
    ended = time.perf_counter()
    finish(core.close())
    if not report.merge.published:
        raise AssertionError("the merge published nothing")
    return {
        "append_ms": (appended - began) * 1000,
        "merge_s": ended - appended,
        "touched": len(touched),
        "shards": len(shards),
        "read": report.merge.shards_read,
        "written": report.merge.shards_written,
        "bytes_written": report.merge.bytes_written,
    }


def compactor(url: str, namespace: str) -> Generator[None, None, dict[str, Any]]:
    """Fold, merge and sweep in a loop until standard input ends; how much was folded."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.workers.compactor import Compactor

    core, space = open_core(url, namespace)
    finish(space.prove())
    worker = Compactor(space.place, space.register)
    yield
    ended = input_ended()
    rounds = segments = 0
    while not ended.wait(_PAUSE_S):
        report = finish(worker.round(stay=True, insist=rounds == 0))
        rounds += 1
        segments += report.fold.segments
    finish(core.close())
    return {"rounds": rounds, "segments": segments}


def merger(url: str, namespace: str) -> Generator[None, None, dict[str, Any]]:
    """Full merges, one after the other, until standard input ends: each shard is changed first, so each is rewritten."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.client.core import puts

    core, space = open_core(url, namespace)
    finish(space.prove())
    yield
    ended = input_ended()
    merges = written = 0
    while not ended.is_set():
        firsts = [ref.first for ref in finish(space.snapshot()).root.shards]
        names = [first.replace("\0", "/") for first in firsts]  # the first of a shard may be a key of the library's own
        finish(space.append(puts({f"{name}~{merges}": b"x" for name in names})))
        report = finish(space.compact())
        merges += report.merge.published
        written += report.merge.shards_written
    finish(core.close())
    return {"merges": merges, "shards": written}
