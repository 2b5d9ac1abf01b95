"""Many writers, folds, zombie folds, merges, retries and deaths in random order: the numbers of an item are 1 .. n.

Every process is stepped: nothing happens between two requests unless the dice say so, and a process may die there. After
every publish of a root its whole manifest is looked at (:class:`tests.data.support.Numbers`).
"""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import AlreadyExists
from swampstore.protocols.data import DataView
from swampstore.stores.base import Body, Stored, When
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.data import id_key, item_path, parse_id_key
from swampstore.values.entry import Record, tombstone
from swampstore.values.root import decode_root
from swampstore.values.version import just_above
from swampstore.workers import numbering
from swampstore.workers.compactor import Compactor
from swampstore.workers.fold import fold
from swampstore.workers.merge import merge
from tests.data.support import MODEL, Numbers, item, pending, raw_reader, records_of
from tests.protocols.support import Process, Stepped
from tests.workers.world import Crash, World

NAMES = ("a", "b")
SEEDS = range(100)

pytestmark = pytest.mark.usefixtures("tiny")


class Watched(Stepped):
    """Steps every request, and looks at every root that is published."""

    def __init__(self, inner: MemoryStore, numbers: Numbers) -> None:
        super().__init__(inner)
        self.numbers = numbers
        self.roots = 0

    async def put(self, name: str, body: Body, when: When) -> Stored:
        stored = await super().put(name, body, when)
        if name == "ns/root":
            assert isinstance(body, bytes)
            self.roots += 1
            self.numbers.look(records_of(decode_root(body, name), raw_reader(self.inner)))
        return stored


class Play:
    """One seed: some actors, moved one request at a time by the dice."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.env = FakeEnv(seed)
        self.inner = MemoryStore(self.env)
        self.numbers = Numbers()
        self.store = Watched(self.inner, self.numbers)
        self.acked: list[Record] = []
        self.removed: set[tuple[str, bytes]] = set()
        self.acts: list[Coroutine[Any, Any, None]] = []

    def process(self) -> Process:
        return Process(self.store, self.env)

    async def writes(self, count: int) -> None:
        """Put versions; some of them once more through another writer, as after an answer that was lost."""
        process = self.process()
        for _ in range(count):
            record = pending(process, self.dice.choice(NAMES))  # type: ignore[arg-type]
            await process.writer.append([record])
            self.acked.append(record)
            if self.dice.random() < 0.4:
                await self.process().writer.append([record])

    async def folds(self, count: int) -> None:
        process = self.process()
        for _ in range(count):
            try:
                await fold(process.place, process.register, process.leadership, stay=False, insist=True)
            except AlreadyExists:
                continue  # two made the first root at once

    async def merges(self, count: int) -> None:
        process = self.process()
        for turn in range(count):
            full = turn % 2 == 0
            await merge(process.place, process.register, process.leadership, stay=False, insist=True, full=full)

    async def removes(self, count: int) -> None:
        """Remove versions by their id, pending or numbered, before and after copies of them come."""
        process = self.process()
        for _ in range(count):
            await process.reader.open()
            if self.acked:
                record = self.dice.choice(self.acked)
                found = parse_id_key(record.key)
                assert found is not None
                gone = tombstone(record.key, just_above(record.version), base=record.version)
                await process.writer.append([gone])
                self.removed.add(found)

    def play(self, *, deaths: float = 0.004) -> None:
        """Until every actor is at its end or dead."""
        while self.acts:
            self.env.advance(self.dice.random())
            at = self.dice.randrange(len(self.acts))
            if self.dice.random() < deaths:
                self.acts.pop(at).close()
                continue
            try:
                self.acts[at].send(None)
            except StopIteration:
                self.acts.pop(at)

    def close(self) -> None:
        """End those that are under way: the garbage collector would, in the middle of some other's step."""
        while self.acts:
            self.acts.pop().close()

    def settle(self) -> None:
        """A calm process folds what is left, and everything acknowledged has its number."""
        process = Process(self.inner, self.env)
        compactor = Compactor(process.place, process.register)
        run(compactor.fold_once(insist=True))
        table = records_of(run(process.register.read()).root, raw_reader(self.inner))
        self.numbers.look(table)
        ids = {found for record in self.acked if (found := parse_id_key(record.key))}
        numbered = set(self.numbers.given)
        assert ids - self.removed <= numbered
        self.numbers.check_whole(numbered)
        run(compactor.merge_once(True, insist=True))
        view = DataView(process.place, run(process.reader.open()))
        for name in NAMES:
            path = item_path(MODEL, name)
            left = sorted((self.numbers.given[id_] for id_ in numbered - self.removed if id_[0] == path), reverse=True)
            found = run(view.find(path)).versions
            assert [version.ordinal for version in found] == left
            newest = run(view.latest(path))
            assert (newest.ordinal if newest else None) == (left[0] if left else None)


def played(seed: int, *, removals: bool = True) -> Play:
    play = Play(seed)
    play.acts = [play.writes(4), play.writes(4), play.writes(3), play.folds(5), play.folds(5), play.merges(4)]
    if removals:
        play.acts.append(play.removes(3))
    try:
        play.play()
    finally:
        play.close()
    play.settle()
    return play


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_whole_and_never_change(seed: int) -> None:
    played(seed)


@pytest.mark.prove
@pytest.mark.parametrize("block", range(20))
def test_numbers_in_many_more_orders(block: int) -> None:
    for seed in range(1000 + block * 100, 1100 + block * 100):
        played(seed)


def test_without_the_guards_the_dice_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_place: Any, _refs: Any, keys: Any) -> dict[str, list[Record]]:
        return {key: [] for key in keys}

    monkeypatch.setattr(numbering, "find_in_runs", nothing)
    broken = 0
    for seed in SEEDS:
        try:
            played(seed)
        except AssertionError:
            broken += 1
    assert broken > len(SEEDS) // 2


def test_a_fold_that_dies_at_any_request_changes_nothing_or_everything() -> None:
    """Before and after every store call of a fold that numbers, and of the one that spills level 0."""
    deaths = 0
    while True:
        world = World()
        process, numbers = world.process(), Numbers()
        ids = [(item(name), process.append([pending(process, name)])[0]) for name in ("a", "b", "a")]
        process.compact()
        numbers.look(manifest_of(world))
        ids += [(item(name), process.append([pending(process, name)])[0]) for name in ("b", "a", "a", "c")]
        world.store.forget()
        steps = {"left": deaths}

        def step(_verb: str, _name: str, steps: dict[str, int] = steps) -> None:
            if not steps["left"]:
                raise Crash
            steps["left"] -= 1

        world.store.before = world.store.after = step
        doomed = world.process()
        try:
            doomed.fold()
        except Crash:
            deaths += 1
        else:
            break
        finally:
            world.store.before = world.store.after = lambda _verb, _name: None
        numbers.look(manifest_of(world))
        for path, version in ids:
            assert run(run(process.reader.open()).record(id_key(path, version))) is not None
        world.process().fold()
        numbers.look(manifest_of(world))
        numbers.check_whole(ids)
    assert deaths > 6


def manifest_of(world: World) -> dict[str, Record]:
    return records_of(decode_root(world.store.raw("ns/root"), "ns/root"), world.store.raw)
