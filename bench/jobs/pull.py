"""Pulls as a process does them, and what they need to be there before."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Generator
from pathlib import Path
from typing import Any

_BATCH = 8_000


def _key(at: int) -> str:
    """Two files to a folder, as versions of data lie."""
    digest = hashlib.sha256(str(at // 400).encode()).hexdigest()
    return f"runs/{digest[:2]}/{digest[2:14]}/{at % 400 // 2}/{'record' if at % 2 else 'about'}.json"


def _body(at: int, word: str = "") -> bytes:
    return f'{{"at": {at}, "word": "{word}", "pad": "{"x" * (at % 60)}"}}'.encode()


def make_files(folder: str, count: int, size: int) -> Generator[None, None, None]:
    """``count`` files of ``size`` random bytes, 100 to a folder."""
    yield
    rng = random.Random(5)
    for at in range(count):
        path = Path(folder) / f"{at // 100:04}" / f"{at:06}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(size))


def fill(url: str, namespace: str, entries: int) -> Generator[None, None, int]:
    """A namespace of small files with their contents, folded and merged; its manifest's bytes."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.values.deltas import Put

    core, space = open_core(url, namespace)
    yield
    for first in range(0, entries, _BATCH):
        last = min(first + _BATCH, entries)
        finish(space.append([Put(key=_key(at), data=_body(at)) for at in range(first, last)]))
    finish(space.compact())
    status = finish(space.status())
    finish(core.close())
    return status.shard_bytes


def change(url: str, namespace: str, entries: int, count: int, word: str) -> Generator[None, None, None]:
    """``count`` changes all over the namespace, each an append of its own."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.values.deltas import Put

    core, space = open_core(url, namespace)
    yield
    for number in range(count):
        at = number * (entries // count) + len(word)
        finish(space.append([Put(key=_key(at), data=_body(at, word))]))
    finish(core.close())


def compact(url: str, namespace: str) -> Generator[None, None, None]:
    """Fold and merge."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish

    core, space = open_core(url, namespace)
    yield
    finish(space.compact())
    finish(core.close())


def sync(url: str, namespace: str, tree: str, push: bool, pull: bool) -> Generator[None, None, dict[str, Any]]:
    """One sync, its connection opened before; what it moved and asked."""
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish
    from swampstore.workers.sync import SyncOptions, sync

    core, space, counts = open_counted(url, namespace)
    finish(core.store.now())
    Path(tree).mkdir(exist_ok=True)
    counts.reset()
    yield
    report = finish(sync(space, Path(tree), SyncOptions(push=push, pull=pull)))
    return {
        "pulled": report.pulled,
        "pushed": report.pushed,
        "unchanged": report.unchanged,
        "skipped": len(report.skipped),
        "requests": counts.total,
        "rounds": counts.rounds,
    }


def listing(url: str, namespace: str) -> Generator[None, None, int]:
    """Every entry, one after the other; how many."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import Datastore

    core, _ = open_core(url, namespace)
    yield
    return sum(1 for _ in Datastore(core).namespace(namespace).scan())


def count_files(folder: str) -> Generator[None, None, int]:
    """How many files lie below a folder, sync's own apart."""
    yield
    return sum(len(files) for at, _, files in os.walk(folder) if ".swampstore" not in at)
