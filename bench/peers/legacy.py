"""The design this one replaces, in its best light: one JSON index, rewritten whole by every writer under one lock.

Two things are as they lie in stores of that design, because they are the design and not how well it was programmed: the
index is indented by two spaces (102 MB at 262,000 entries; without it would be 89), and the lock is an object beside the
index, which is created before and deleted after. ``bare`` leaves out both.

It gets what the original has not: the fastest JSON library here, writers that are let in by the kernel in turn and at once
instead of polling that object, uploads side by side, and a gc that is told what has expired (the index does not say:
lifetimes stand in a file beside each version).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import msgspec
from filelock import FileLock, Timeout

from swampstore.env.blocking import run
from swampstore.errors import NotFound
from swampstore.stores.base import Create, Got, Overwrite, Put, Store

INDEX = ".datastore-index.json"
LOCK = ".datastore.lock"
LOCK_TIMEOUT_S = 60.0


class LegacyIndex:
    """The index of one store and its lock. Writers take turns by a local file: all are on this machine."""

    def __init__(self, store: Store, lock: str, *, bare: bool = False) -> None:
        self._store = store
        self._bare = bare
        self._lock = FileLock(lock, timeout=LOCK_TIMEOUT_S)
        self.held_s = 0.0
        """For how long the lock was held, all calls together: the time in which nobody else could write."""

    def write(self, files: Mapping[str, bytes]) -> bool:
        """Upload ``files`` and enter them in the index; whether the lock came before its time-out."""
        try:
            with self._lock, self._held():
                index = self._read()
                self._upload(files)
                now = f"{time.time():.3f}"
                for rel, body in files.items():
                    digest = hashlib.sha256(body).hexdigest()
                    index["entries"][rel] = {"key": rel, "size": len(body), "lastModified": now, "sha256": digest}
                self._write(index)
        except Timeout:
            return False
        return True

    def collect(self, gone: Collection[str]) -> bool:
        """A gc: look at every entry, delete ``gone`` and their objects; whether the lock came before its time-out."""
        try:
            with self._lock, self._held():
                index = self._read()
                entries = index["entries"]
                expired = [rel for rel in entries if rel in gone]
                run(self._store.delete(expired))
                for rel in expired:
                    del entries[rel]
                self._write(index)
        except Timeout:
            return False
        return True

    @contextmanager
    def _held(self) -> Iterator[None]:
        began = time.perf_counter()
        if not self._bare:
            holder = {"holder": "bench", "acquiredAt": f"{time.time():.3f}", "ttlMs": LOCK_TIMEOUT_S * 1000}
            run(self._store.put(LOCK, msgspec.json.encode(holder), Create()))
        try:
            yield
        finally:
            if not self._bare:
                run(self._store.delete([LOCK]))
            self.held_s += time.perf_counter() - began

    def _read(self) -> dict[str, dict[str, object]]:
        try:
            got = run(self._store.get(INDEX))
        except NotFound:
            return {"version": 1, "entries": {}}  # type: ignore[dict-item]
        assert isinstance(got, Got)
        index: dict[str, dict[str, object]] = msgspec.json.decode(got.body)
        return index

    def _write(self, index: Mapping[str, object]) -> None:
        body = msgspec.json.encode(index)
        run(self._store.put(INDEX, body if self._bare else msgspec.json.format(body, indent=2), Overwrite()))

    def _upload(self, files: Mapping[str, bytes]) -> None:
        puts = [Put(rel, body, Overwrite()) for rel, body in files.items()]
        for answer in run(self._store.many(puts)):
            if isinstance(answer, Exception):
                raise answer
