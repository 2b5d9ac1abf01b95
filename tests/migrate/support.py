"""Two stores, a namespace full of everything in the first."""

from __future__ import annotations

from typing import Any, cast

from swampstore.client.blocking import Datastore, Namespace, finish
from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.testing.env import FakeEnv
from swampstore.values.entry import AUDIT
from swampstore.values.keys import INTERNAL
from swampstore.workers.migrate import migrate
from swampstore.workers.migrate_report import MigrateOptions, MigrateReport
from tests.workers.world import HookedStore

BIG = b"b" * 300_000


class _Still:
    """Work beside the caller that never comes to it."""

    async def stop(self) -> None: ...


class _Env(FakeEnv):
    def every(self, seconds: float, work: Any) -> _Still:
        return _Still()


class Pair:
    """Two stores of one time; every call of :meth:`old` and :meth:`new` is another process."""

    def __init__(self, seed: int = 0) -> None:
        self.env = _Env(seed)
        self.source, self.target = HookedStore(self.env), HookedStore(self.env)
        self.source.url, self.target.url = "memory://old", "memory://new"

    def core(self, store: HookedStore, name: str = "ops") -> CoreNamespace:
        return CoreStore(store, cast(Any, self.env)).namespace(name)

    def old(self, name: str = "ops") -> Namespace:
        return Datastore(self.core(self.source).owner).namespace(name)

    def new(self, name: str = "ops") -> Namespace:
        return Datastore(self.core(self.target).owner).namespace(name)

    def migrate(self, name: str = "ops", **options: Any) -> MigrateReport:
        source, target = self.core(self.source, name), self.core(self.target, name)
        return finish(migrate(source, target, MigrateOptions(**options)))

    def calm(self) -> None:
        for store in (self.source, self.target):
            store.before = lambda verb, name: None
            store.after = lambda verb, name: None


def fill(pair: Pair) -> None:
    """Entries of every kind of content, versions of data, streams, a lock, a deleted key."""
    ns = pair.old()
    ns.put_many({f"k/{number:03}": b"%d" % number for number in range(30)})
    ns.put_many({f"p/{number}": b"p%d" % number * 3000 for number in range(4)})
    ns.put("big", BIG, content_type="text/x", tags={"a": "b"})
    ns.put("gone", b"")
    ns.delete("gone")
    for name in ("events", "other"):
        stream = ns.stream(name)
        for number in range(3):
            stream.append([b"%s%d" % (name.encode(), number)])
    data = ns.data("aws/ec2:web", "state")
    for number in range(3):
        data.put(b"v%d" % number)
    ns.audit("decisions").write_many([{"n": number} for number in range(5)])
    with ns.lock("deploy") as held:
        held.put("k/locked", b"x")
    ns.compact()
    ns.put("tail", b"t")
    ns.audit("other").write(b"late", ts=pair.env.wall - 9 * 86_400_000)


def contents(ns: Namespace) -> dict[str, bytes]:
    """Every live entry with its contents."""
    return {entry.key: ns.read(entry.key) for entry in ns.scan()}


def everything(pair: Pair, store: HookedStore) -> dict[str, tuple[Any, ...]]:
    """Every live record but for locks and places of contents: what two copies have alike."""
    core = pair.core(store)
    ns = Datastore(core.owner).namespace("ops")
    found: dict[str, tuple[Any, ...]] = {
        entry.key: (entry.version, ns.read(entry.key), entry.tags) for entry in ns.scan()
    }

    async def internal() -> None:
        snapshot = await core.snapshot()
        async for records in snapshot.records(internal=True):
            for record in records:
                hidden = record.gone or record.flags & AUDIT or record.key.startswith("\0lock")
                if INTERNAL in record.key and not hidden:
                    found[record.key] = (record.version, record.value)

    finish(internal())
    for topic in ("decisions", "other", "topic"):
        for one in ns.audit(topic).read():
            found[f"audit/{topic}/{one.id}"] = (one.ts, one.data)
    return found
