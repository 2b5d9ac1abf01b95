"""A gc beside a put, a fold and another gc, in every order of their requests: nothing newer is ever removed."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.data import meta_path, raw_path
from swampstore.values.entry import Record, tombstone
from swampstore.workers.gc import collect as gc_collect
from swampstore.workers.gc.run import collect_garbage
from swampstore.workers.merge import merge
from tests.gc.support import datum, version_records
from tests.protocols.support import Process, Stepped, every_order, primed

Work = Sequence[Coroutine[Any, Any, None]]
ITEM = datum("a", 1).item


class Scene:
    """One expired plain entry and four versions of an item that keeps two, in one shard; what a late put writes again."""

    def __init__(self) -> None:
        self.env = FakeEnv()
        self.store = Stepped(MemoryStore(self.env))
        self.first = self.process()
        # Versions that the late put was given before anybody else looked: it is newer by its place in the log alone.
        finish(self.build())

    def process(self) -> Process:
        return Process(self.store, self.env)

    async def build(self) -> None:
        first = self.first
        soon = first.place.clock.now_ms() + 1000
        await first.writer.append([first.record("p", b"old", expires=soon)])
        for ordinal in range(1, 5):
            await first.writer.append(version_records(first, datum("a", ordinal, keep="2")))
        await first.folded()
        await merge(first.place, first.register, first.leadership, stay=False, insist=True, full=True)
        self.late = [first.record("p", b"new"), *version_records(first, datum("a", 1, keep="9"), size=3)]
        self.env.advance(2)

    async def put(self) -> None:
        await self.first.writer.append(self.late)

    async def gc(self, process: Process) -> None:
        await collect_garbage(process.place, process.reader, process.writer.append, dry_run=False)

    async def fold(self, process: Process) -> None:
        await process.folded()

    async def found(self) -> dict[str, int]:
        entries = (await (await self.process().reader.open()).page()).entries
        return {entry.key: entry.size for entry in entries}


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    while True:
        try:
            work.send(None)
        except StopIteration as stop:
            return stop.value


def run_all(others: int, fold: bool) -> tuple[int, list[dict[str, int]]]:
    scenes: list[Scene] = []

    def make() -> Work:
        scene = Scene()
        scenes.append(scene)
        work = [primed(scene.gc(scene.process())) for _ in range(1 + others)]
        return [*work, primed(scene.put()), *([primed(scene.fold(scene.process()))] if fold else [])]

    orders = every_order(make)
    for scene in scenes:
        finish(scene.first.folded())
        finish(scene.gc(scene.process()))
        finish(scene.first.folded())
    return orders, [finish(scene.found()) for scene in scenes]


WANTED = {"p": 3, **{path(ITEM, ordinal): size for ordinal in (3, 4) for path, size in ((raw_path, 1), (meta_path, 2))}}


@pytest.mark.parametrize(("others", "fold"), [(0, True), (1, False)], ids=["put and fold", "put and gc"])
def test_what_is_put_meanwhile_stays(others: int, fold: bool) -> None:
    """The late put of version 1 is given up in its turn, by the rule of version 4; the plain entry stays as it was put."""
    orders, found = run_all(others, fold)
    assert orders > 20
    for one in found:
        assert one == WANTED


def test_without_bases_it_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gc that deletes keys instead of versions takes the late put with it, in some orders."""

    def whatever_is_there(record: Record) -> Record:
        return tombstone(record.key, b"\xff" * 24)

    monkeypatch.setattr(gc_collect, "removal", whatever_is_there)
    _, found = run_all(0, fold=True)
    assert any("p" not in one for one in found)
