"""A store in this process's memory: the reference of what the six verbs mean.

Invariants:
- Every verb is one critical section, so any history of calls has a serial order.
- An ETag is a number of a counter that only rises: no two contents of a store ever share one, even under one name,
  even after a delete.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

import msgspec

from swampstore.env.base import Env
from swampstore.env.blocking import BlockingEnv
from swampstore.errors import AlreadyExists, NotFound, StaleWrite
from swampstore.stores.base import (
    Body,
    Create,
    Got,
    Headed,
    Info,
    NotModified,
    Outcome,
    Page,
    Replace,
    Request,
    Stored,
    When,
    outcome,
)
from swampstore.stores.memory_lanes import MemoryLanes
from swampstore.stores.names import check_limit, check_name, check_prefix, check_span, read_whole


class _Object(msgspec.Struct, frozen=True):
    body: bytes
    etag: str
    modified: int


class MemoryStore:
    """See :class:`swampstore.stores.base.Store`. Time is the environment's wall clock; a streamed body is read whole.

    A streamed body may come with any condition here (nothing would be gained by refusing). ``lanes`` lets writers' lanes
    be files (:mod:`swampstore.stores.lanes`), which gains nothing in memory but is what simulations are made of.
    """

    def __init__(self, env: Env | None = None, url: str = "memory://private", *, lanes: bool = False) -> None:
        self._env: Env = BlockingEnv() if env is None else env
        self._url = url
        self._lock = threading.Lock()
        self._objects: dict[str, _Object] = {}
        self._names: list[str] = []  # sorted; the order of code points is that of UTF-8 bytes
        self._writes = 0
        self.lanes = MemoryLanes(self, self._lock) if lanes else None

    @property
    def url(self) -> str:
        return self._url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        check_span(span)
        found = self._find(name)
        time = self._env.wall_ms()
        if if_none_match == found.etag:
            return NotModified(time)
        body = found.body if span is None else found.body[span[0] : span[0] + span[1]]
        return Got(body, found.etag, len(found.body), found.modified, time)

    async def put(self, name: str, body: Body, when: When) -> Stored:
        check_name(name)
        contents = read_whole(body)
        with self._lock:
            old = self._objects.get(name)
            if isinstance(when, Create) and old is not None:
                raise AlreadyExists(f"{name} exists in {self._url}")
            if isinstance(when, Replace):
                if old is None:
                    raise NotFound(f"{name} is not in {self._url}")
                if old.etag != when.etag:
                    raise StaleWrite(f"{name} in {self._url} is no longer the version {when.etag}")
            time = self.hold(name, contents)
            etag = f"m{self._writes}"
        return Stored(etag, time)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        check_prefix(prefix)
        check_limit(limit)
        items: list[Info] = []
        with self._lock:
            first = max(bisect_left(self._names, prefix), bisect_right(self._names, start_after))
            more = False
            for at in range(first, len(self._names)):
                name = self._names[at]
                if not name.startswith(prefix):
                    break
                if len(items) == limit:
                    more = True
                    break
                items.append(_info(name, self._objects[name]))
            return Page(tuple(items), more, self._env.wall_ms())

    async def head(self, name: str) -> Headed:
        return Headed(_info(name, self._find(name)), self._env.wall_ms())

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            check_name(name)
        with self._lock:
            for name in names:
                self.drop(name)

    async def now(self) -> int:
        return self._env.wall_ms()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return [await outcome(self, request) for request in requests]

    async def close(self) -> None:
        """Nothing to release: the objects stay for whoever opens the same name again."""

    # --- one object, under the lock (see :class:`swampstore.stores.memory_lanes.Shelf`) ---------------------------

    def held(self, name: str) -> bytes | None:
        """The contents of ``name``, if there is such an object."""
        found = self._objects.get(name)
        return None if found is None else found.body

    def hold(self, name: str, body: bytes) -> int:
        """Give ``name`` new contents; when, by the store's time in ms."""
        self._writes += 1
        time = self._env.wall_ms()
        if name not in self._objects:
            insort(self._names, name)
        self._objects[name] = _Object(body, f"m{self._writes}", time)
        return time

    def drop(self, name: str) -> None:
        """Forget ``name``."""
        if self._objects.pop(name, None) is not None:
            del self._names[bisect_left(self._names, name)]

    def _find(self, name: str) -> _Object:
        check_name(name)
        with self._lock:
            found = self._objects.get(name)
        if found is None:
            raise NotFound(f"{name} is not in {self._url}", time=self._env.wall_ms())
        return found


def _info(name: str, found: _Object) -> Info:
    return Info(name, len(found.body), found.etag, found.modified)


_shared: dict[str, MemoryStore] = {}
_shared_lock = threading.Lock()


def memory_store(name: str, env: Env | None = None) -> MemoryStore:
    """The store of the URL ``memory://name``: one per name and process. ``env`` counts only when it is made."""
    with _shared_lock:
        store = _shared.get(name)
        if store is None:
            store = _shared[name] = MemoryStore(env, f"memory://{name}")
        return store
