"""The legacy design as jobs: the same work as ours, done its way."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec


def upload_index(url: str, source: str) -> Generator[None, None, int]:
    """Put a legacy index into a store as it is; its size in bytes."""
    from bench.peers.legacy import INDEX
    from swampstore.env.blocking import BlockingEnv, run
    from swampstore.stores.base import Overwrite
    from swampstore.stores.open import open_store

    store = open_store(url, env=BlockingEnv(), create=True)
    yield
    body = (Path(source) / INDEX).read_bytes()
    run(store.put(INDEX, body, Overwrite()))
    run(store.close())
    return len(body)


def write(
    url: str, lock: str, files: int, mark: str, repeat: int = 1, bare: bool = False
) -> Generator[None, None, dict[str, Any]]:
    """Write ``files`` new files, ``repeat`` times in a row; ms of each turn and whether all got the lock."""
    from bench.jobs.append import PAYLOAD
    from bench.peers.legacy import LegacyIndex
    from swampstore.env.blocking import BlockingEnv, run
    from swampstore.stores.open import open_store

    store = open_store(url, env=BlockingEnv(), create=True)
    run(store.now())
    index = LegacyIndex(store, lock, bare=bare)
    yield
    took, good = [], True
    for turn in range(repeat):
        began = time.perf_counter()
        good &= index.write({f"data/bench/{mark}-{turn}-{at}/raw": PAYLOAD for at in range(files)})
        took.append((time.perf_counter() - began) * 1000)
    run(store.close())
    return {"ms": took, "ok": good, "held_s": index.held_s}


def collect(url: str, lock: str, count: int, bare: bool = False) -> Generator[None, None, dict[str, Any]]:
    """A gc of ``count`` entries, anywhere in the index; seconds, and for how long it held the lock."""
    from bench.peers.legacy import INDEX, LegacyIndex
    from swampstore.env.blocking import BlockingEnv, run
    from swampstore.stores.base import Got
    from swampstore.stores.open import open_store

    store = open_store(url, env=BlockingEnv(), create=True)
    got = run(store.get(INDEX))
    assert isinstance(got, Got)
    entries = list(msgspec.json.decode(got.body)["entries"])
    gone = frozenset(entries[:: max(len(entries) // count, 1)][:count])
    index = LegacyIndex(store, lock, bare=bare)
    yield
    began = time.perf_counter()
    good = index.collect(gone)
    seconds = time.perf_counter() - began
    run(store.close())
    return {"seconds": seconds, "ok": good, "held_s": index.held_s}
