"""Machines that share one namespace: each has a tree of its own and opens the store anew for every sync."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.env.base import Env
from swampstore.env.blocking import BlockingEnv, run
from swampstore.stores.base import (
    Got,
    Headed,
    List,
    NotModified,
    Outcome,
    Page,
    Request,
    Stored,
    When,
    outcome,
)
from swampstore.stores.memory import MemoryStore
from swampstore.workers.sync import SyncOptions, SyncReport, sync
from swampstore.workers.sync.options import STATE_FOLDER

OLD = 1_700_000_000


class Watched:
    """A store that counts requests and calls ``before`` ahead of each (which may raise). A ``many`` is one round."""

    def __init__(self, inner: MemoryStore, before: Callable[[str, str], None] | None = None) -> None:
        self._inner = inner
        self._before = before
        self.counts: Counter[str] = Counter()
        self.names: list[str] = []
        self.rounds = 0
        self.url = inner.url

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def _saw(self, verb: str, name: str, *, rounds: int = 1) -> None:
        if self._before is not None:
            self._before(verb, name)
        self.rounds += rounds
        self.counts[verb] += 1
        self.names.append(f"{verb} {name}")

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        self._saw("get", name)
        return await self._inner.get(name, span=span, if_none_match=if_none_match)

    async def put(self, name: str, body: object, when: When) -> Stored:
        self._saw("put", name)
        return await self._inner.put(name, body, when)  # type: ignore[arg-type]

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        self._saw("list", prefix)
        return await self._inner.list(prefix, start_after=start_after, limit=limit)

    async def head(self, name: str) -> Headed:
        self._saw("head", name)
        return await self._inner.head(name)

    async def delete(self, names: Sequence[str]) -> None:
        self._saw("delete", ",".join(names))
        await self._inner.delete(names)

    async def now(self) -> int:
        self._saw("now", "")
        return await self._inner.now()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        for at, request in enumerate(requests):
            name = request.prefix if isinstance(request, List) else request.name
            self._saw(type(request).__name__.lower(), name, rounds=int(at == 0))
        return [await outcome(self._inner, request) for request in requests]

    async def close(self) -> None:
        """Nothing to release."""


class Machine:
    """One tree and its way to the namespace."""

    def __init__(self, store: MemoryStore, tree: Path, *, one_shot: bool = False, env: Env | None = None) -> None:
        tree.mkdir(exist_ok=True)
        self.store = store
        self.tree = tree
        self.one_shot = one_shot
        self.env = env or BlockingEnv()
        self.last: Watched | None = None

    def namespace(self, before: Callable[[str, str], None] | None = None) -> CoreNamespace:
        self.last = Watched(self.store, before)
        return CoreStore(self.last, self.env, one_shot=self.one_shot).namespace("ops")

    def sync(self, *, before: Callable[[str, str], None] | None = None, **options: object) -> SyncReport:
        return run(sync(self.namespace(before), self.tree, SyncOptions(**options)))  # type: ignore[arg-type]

    def compact(self, *, full: bool = True) -> None:
        run(self.namespace().compact(full=full))

    @property
    def requests(self) -> int:
        """Requests of the last sync."""
        assert self.last is not None
        return self.last.total

    def write(self, key: str, data: bytes | str, *, mtime: float | None = OLD) -> Path:
        path = self.tree / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        if mtime is not None:
            os.utime(path, (mtime, mtime))
        return path

    def remove(self, key: str) -> None:
        (self.tree / key).unlink()

    def files(self) -> dict[str, bytes]:
        return contents(self.tree)


def contents(tree: Path) -> dict[str, bytes]:
    """Every regular file of a tree but sync's own, temporary files included."""
    return {
        path.relative_to(tree).as_posix(): path.read_bytes()
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.relative_to(tree).parts[0] != STATE_FOLDER
    }
