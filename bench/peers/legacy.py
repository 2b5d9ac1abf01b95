"""The design this one replaces, in its best light: one JSON index, rewritten whole by every writer under one lock.

It gets what the original has not: the fastest JSON library here, no indentation, one file lock that the kernel hands
over at once instead of a lock object that is polled, and uploads side by side.
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
from swampstore.stores.base import Got, Overwrite, Put, Store

INDEX = ".datastore-index.json"
LOCK_TIMEOUT_S = 60.0


class LegacyIndex:
    """The index of one store and its lock (a local file: all writers are on this machine)."""

    def __init__(self, store: Store, lock: str) -> None:
        self._store = store
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
                run(self._store.put(INDEX, msgspec.json.encode(index), Overwrite()))
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
                run(self._store.put(INDEX, msgspec.json.encode(index), Overwrite()))
        except Timeout:
            return False
        return True

    @contextmanager
    def _held(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.held_s += time.perf_counter() - began

    def _read(self) -> dict[str, dict[str, object]]:
        try:
            got = run(self._store.get(INDEX))
        except NotFound:
            return {"version": 1, "entries": {}}  # type: ignore[dict-item]
        assert isinstance(got, Got)
        index: dict[str, dict[str, object]] = msgspec.json.decode(got.body)
        return index

    def _upload(self, files: Mapping[str, bytes]) -> None:
        puts = [Put(rel, body, Overwrite()) for rel, body in files.items()]
        for answer in run(self._store.many(puts)):
            if isinstance(answer, Exception):
                raise answer
