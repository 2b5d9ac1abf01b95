"""A store that can be cut off, processes of one machine with a spool, and clocks that a test moves."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from swampstore.client.audit_blocking import AuditTopic
from swampstore.client.audit_delivery import Delivery
from swampstore.client.blocking import Datastore
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.errors import StoreUnavailable
from swampstore.testing.env import FakeEnv
from swampstore.values.audit import AuditRecord
from swampstore.workers.spool_place import store_folder
from tests.workers.world import HookedStore

Work = Callable[[], Coroutine[Any, Any, None]]


class Beat:
    """Work in the background, one step at a time, when the test says so."""

    def __init__(self, work: Work) -> None:
        self.work: Work | None = work

    async def stop(self) -> None:
        self.work = None


class Env(FakeEnv):
    """``beat()`` lets a second pass for everything in the background."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.beats: list[Beat] = []

    def every(self, seconds: float, work: Work) -> Beat:
        assert seconds <= 1
        self.beats.append(Beat(work))
        return self.beats[-1]

    def beat(self) -> None:
        self.advance(1)
        for one in self.beats:
            if one.work is not None:
                run(one.work())


class Machine:
    """``down`` cuts the store off; ``process()`` starts a process that opens it."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.env = Env(seed)
        self.store = HookedStore(self.env)
        self.store.before = self._before
        self.base = folder / "spool"
        self.down = False
        self.refused = 0
        self.cores: list[CoreStore] = []

    def _before(self, verb: str, name: str) -> None:
        if self.down:
            self.refused += 1
            raise StoreUnavailable("no route to the store")

    def process(self, **how: Any) -> Datastore:
        core = CoreStore(self.store, self.env, spool=self.base, **how)
        self.cores.append(core)
        return Datastore(core)

    def topic(self, name: str = "t", **how: Any) -> AuditTopic:
        return self.process().namespace("ns").audit(name, **how)

    def delivery(self, at: int = -1) -> Delivery:
        return self.cores[at].namespace("ns").delivery

    def found(self, topic: str = "t") -> list[AuditRecord]:
        """What a reader that knows nothing of spools finds."""
        was, self.down = self.down, False
        try:
            return list(Datastore(CoreStore(self.store, self.env)).namespace("ns").audit(topic).read())
        finally:
            self.down = was

    def committed(self, topic: str = "t") -> list[object]:
        """The data of all records in the order of their commits."""
        was, self.down = self.down, False
        try:
            page = Datastore(CoreStore(self.store, self.env)).namespace("ns").audit(topic).changes()
            return [record.data for record in page.records]
        finally:
            self.down = was

    @property
    def folder(self) -> Path:
        return store_folder(self.base, self.store.url) / "ns"

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.rec"))
