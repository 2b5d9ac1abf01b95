"""A small world for the background half: one memory store with hooks, several processes, a dict as the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from swampstore.env.blocking import run
from swampstore.env.clock import StoreClock
from swampstore.protocols.place import Caches, Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.writer import Writer
from swampstore.stores.base import (
    Body,
    Got,
    Headed,
    NotModified,
    Outcome,
    Page,
    Request,
    Stored,
    When,
    outcome,
)
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.entry import Blob, Inline, Location, Meta, Packed, Record, put_record, tombstone
from swampstore.values.names import Names
from swampstore.values.root import Root
from swampstore.workers.compactor import Compactor

DAY_S = 24 * 3600.0


class Crash(BaseException):
    """The process died here: nothing of the library may catch it."""


class HookedStore:
    """A memory store that counts calls and lets a test do something before or after any of them."""

    def __init__(self, env: FakeEnv) -> None:
        self.inner = MemoryStore(env)
        self.url = self.inner.url
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda verb, name: None
        self.after: Callable[[str, str], None] = lambda verb, name: None

    def _call(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        self.before(verb, name)

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        self._call("get", name)
        return await self.inner.get(name, span=span, if_none_match=if_none_match)

    async def put(self, name: str, body: Body, when: When) -> Stored:
        self._call("put", name)
        stored = await self.inner.put(name, body, when)
        self.after("put", name)
        return stored

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        self._call("list", prefix)
        return await self.inner.list(prefix, start_after=start_after, limit=limit)

    async def head(self, name: str) -> Headed:
        self._call("head", name)
        return await self.inner.head(name)

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._call("delete", name)
            await self.inner.delete([name])
            self.after("delete", name)

    async def now(self) -> int:
        self._call("now", "")
        return await self.inner.now()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return [await outcome(self, request) for request in requests]

    async def close(self) -> None:
        await self.inner.close()

    # --- looking from outside -----------------------------------------------------------------------------------

    def names(self, prefix: str = "") -> list[str]:
        return [item.name for item in run(self.inner.list(prefix, limit=1000)).items]

    def raw(self, name: str) -> bytes:
        got = run(self.inner.get(name))
        assert isinstance(got, Got)
        return got.body

    def writes(self) -> Counter[str]:
        """Objects put since the last :meth:`forget`, by folder of the namespace."""
        return Counter(name.split("/")[1] for verb, name in self.calls if verb == "put")

    def forget(self) -> None:
        self.calls.clear()


class Process:
    """One process: its own clock, register, writer, reader and compactor."""

    def __init__(self, world: World, env: FakeEnv | None = None) -> None:
        self.env = env or world.env
        self.place = Place(world.store, self.env, StoreClock(self.env), Names("ns"), Caches.of(self.env))
        self.register = Register(self.place)
        self.reader = SnapshotReader(self.place, self.register)
        self.writer = Writer(self.place)
        self.compactor = Compactor(self.place, self.register)
        self._world = world

    def put(self, key: str, value: bytes = b"", *, at: Location | None = None, base: bytes | None = None) -> bytes:
        """Put one key; the model follows. Returns the version."""
        return self.put_all({key: value}, at=at, base=base)[0]

    def put_all(
        self, values: dict[str, bytes], *, at: Location | None = None, base: bytes | None = None
    ) -> tuple[bytes, ...]:
        self._world.tick()
        records = [
            put_record(key, self.writer.new_version(), Meta(size=len(value), at=at or Inline(value), base=base))
            for key, value in values.items()
        ]
        self._world.model.update(values)
        return self.append(records)

    def delete(self, *keys: str) -> None:
        self._world.tick()
        for key in keys:
            self._world.model.pop(key, None)
        self.append([tombstone(key, self.writer.new_version()) for key in keys])

    def append(self, records: Sequence[Record], *, closing: bool = False) -> tuple[bytes, ...]:
        return run(self.writer.append(records, closing=closing)).versions

    def fold(self) -> None:
        report, _ = run(self.compactor.fold_once(insist=True))
        assert not report.raced

    def merge(self, *, full: bool = True) -> None:
        assert not run(self.compactor.merge_once(full, insist=True)).raced

    def compact(self) -> None:
        self.fold()
        self.merge()

    def upload(self, kind: str = "blob", body: bytes = b"content") -> str:
        """A content object; its unique part."""
        part, name = self.place.new_object("pack" if kind == "pack" else "blob")
        from swampstore.stores.base import Create

        run(self.place.store.put(name, body, Create()))
        return part

    @property
    def root(self) -> Root:
        return run(self.register.read()).root


class World:
    """Store, clock, model. ``model`` maps each live key to its value."""

    def __init__(self, seed: int = 0) -> None:
        self.env = FakeEnv(seed)
        self.store = HookedStore(self.env)
        self.model: dict[str, bytes] = {}

    def tick(self, seconds: float = 0.01) -> None:
        self.env.advance(seconds)

    def process(self, env: FakeEnv | None = None) -> Process:
        return Process(self, env)

    def check(self) -> None:
        """A reader that has seen nothing yet finds exactly the model, by scan and by key."""
        assert self.found() == self.model
        reader = self.process().reader
        snapshot = run(reader.open())
        for key in list(self.model)[:20]:
            assert run(snapshot.get(key)) is not None, key

    def found(self) -> dict[str, bytes]:
        entries = run(run(self.process().reader.open()).page()).entries
        return {entry.key: entry.meta.at.data if isinstance(entry.meta.at, Inline) else b"" for entry in entries}


def blob(part: str) -> Location:
    return Blob(part)


def packed(part: str, offset: int = 0, length: int = 1) -> Location:
    return Packed(part, offset, length)
