"""Random histories of keys that change their class, against a dict: folds, merges, crashes, zombies, late writes, days.

After every few steps a reader finds what the model says, all that is named is there, and counts are true. Each guard that
keeps a loser from coming back is switched off once: then some history must fail.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.values.classes import as_ephemeral, as_indexed
from swampstore.values.entry import Inline, Location, Meta, Record, put_record, tombstone
from swampstore.values.root import Ephemeral
from swampstore.values.version import version_ms
from swampstore.workers import side_runs
from swampstore.workers.uses import list_then_root
from tests.classes.support import DAY_S, Crash, Process, World, blob, packed
from tests.workers.test_crash import crash_at

pytestmark = pytest.mark.usefixtures("tiny_state")

KEYS = [f"{'ab'[number % 2]}/{number:02}" for number in range(24)]
SEEDS = 20


class Story:
    """One seeded history. ``model`` maps a key to its highest version and what that says."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world = World(seed)
        self.processes = [self.world.process() for _ in range(3)]
        self.model: dict[str, Record] = {}
        self.late: list[tuple[float, Process, list[Record]]] = []

    @property
    def process(self) -> Process:
        return self.dice.choice(self.processes)

    def record(self, process: Process, key: str, at: Location | None = None) -> Record:
        self.world.tick()
        version = process.writer.new_version()
        kind = self.dice.choice(["state", "state", "put", "delete", "forget"])
        if kind in ("delete", "forget") and at is None:
            gone = tombstone(key, version)
            return as_ephemeral(gone) if kind == "forget" else gone
        data = self.dice.randbytes(self.dice.choice([3, 60]))
        meta = Meta(size=len(data), at=at or Inline(data))
        if kind == "put":
            return put_record(key, version, meta)
        ttl = self.dice.choice([5, 600, 86_400, 20 * 86_400])
        return as_ephemeral(put_record(key, version, meta, expires=self.world.env.wall + ttl * 1000))

    def append(self, process: Process, records: list[Record]) -> None:
        process.append(records)
        for record in records:
            held = self.model.get(record.key)
            if held is None or record.version > held.version:
                self.model[record.key] = record

    def write(self) -> None:
        process = self.process
        keys = self.dice.sample(KEYS, self.dice.choice([1, 1, 1, 12]))
        self.append(process, [self.record(process, key) for key in keys])

    def write_content(self) -> None:
        process = self.process
        kind = self.dice.choice(["blob", "pack"])
        part = process.upload(kind)
        at = blob(part) if kind == "blob" else packed(part)
        self.append(
            process, [self.record(process, key, at) for key in self.dice.sample(KEYS, self.dice.choice([1, 2]))]
        )

    def write_late(self) -> None:
        """Versions are drawn now, the segment lands hours later."""
        process = self.world.process()
        process.put("late/birth")
        self.model.pop("late/birth", None)
        records = [self.record(process, key) for key in self.dice.sample(KEYS, 2)]
        self.late.append((self.world.env.boot() + self.dice.choice([60, 3600, 10 * 3600]), process, records))

    def land(self) -> None:
        due = [item for item in self.late if item[0] <= self.world.env.boot()]
        for item in due:
            self.late.remove(item)
            self.append(item[1], item[2])

    def fold(self) -> None:
        run(self.process.compactor.fold_once(insist=True))

    def compact(self) -> None:
        """A round that may die at any store call, or be overtaken by another process's at one."""
        process, chance = self.process, self.dice.random()
        at = self.dice.randrange(30)
        if chance < 0.3:
            self.world.store.before = crash_at(at, Crash)
        elif chance < 0.6:
            self.world.store.before = self.overtaken(at)
        try:
            run(process.compactor.round(stay=False, insist=True, full=self.dice.random() < 0.6))
            if self.dice.random() < 0.4:
                run(process.compactor.sweep_once(insist=True))
        except Crash:
            self.processes[self.processes.index(process)] = self.world.process()
        finally:
            self.world.store.before = lambda verb, name: None

    def overtaken(self, at: int) -> Any:
        left = [at]

        def before(verb: str, name: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                self.write()
                run(self.world.process().compactor.round(stay=False, insist=True, full=self.dice.random() < 0.5))

        return before

    def wait(self) -> None:
        self.world.env.advance(self.dice.choice([1, 40, 3700, 20 * 3600, 30 * 3600]))
        self.land()

    def live(self) -> dict[str, bytes]:
        now = self.world.env.wall
        shown: dict[str, bytes] = {}
        for key, record in self.model.items():
            if not record.gone and not (record.expires and record.expires <= now):
                shown[key] = record.value
        return shown

    def check(self) -> None:
        entries = run(run(self.world.process().reader.open()).page()).entries
        live = self.live()
        assert {entry.key for entry in entries} - {"late/birth"} == set(live)
        snapshot = run(self.world.process().reader.open())
        for key, record in self.model.items():
            entry = run(snapshot.get(key))
            assert (entry is not None) == (key in live), key
            assert entry is None or entry.version == record.version
            assert entry is None or (entry.record_class == "ephemeral") == bool(record.flags & 32)
        self.world.check_whole()


STEPS: list[tuple[Any, int]] = [
    (Story.write, 8), (Story.write_content, 3), (Story.write_late, 1), (Story.fold, 5), (Story.compact, 6), (Story.wait, 5)
]  # fmt: skip


def tell(seed: int, steps: int = 70) -> Story:
    story = Story(seed)
    for _ in range(steps):
        story.dice.choices([step for step, _ in STEPS], [weight for _, weight in STEPS])[0](story)
        if story.dice.random() < 0.4:
            story.check()
    story.check()
    return story


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_history(seed: int) -> None:
    story = tell(seed)
    # Much later: nothing but what is live is left, in no home.
    janitor = story.world.process()
    for _ in range(12):
        story.world.env.advance(2.5 * DAY_S)
        story.land()
        story.world.process().put("tick", b"%d" % story.world.env.wall)
        story.model.pop("tick", None)
        for _ in range(4):
            run(janitor.compactor.round(stay=False, insist=True, full=True))
            run(janitor.compactor.sweep_once(insist=True))
            story.world.env.advance(40)
    story.world.env.advance(2 * DAY_S)
    run(janitor.compactor.sweep_once(insist=True))
    story.model["tick"] = put_record("tick", b"\xff" * 24, Meta(size=0, at=Inline(b"")))
    entries = run(run(janitor.reader.open()).page()).entries
    assert {entry.key for entry in entries} - {"late/birth"} == set(story.live())
    root = janitor.root
    assert not root.eph.inline
    assert not root.eph.runs
    assert len(world_runs(story.world)) == len(root.runs)
    used = {entry.meta.at.unique for entry in entries if hasattr(entry.meta.at, "unique")}
    left = {name.rpartition("/")[2] for kind in ("blob", "pack") for name in story.world.store.names(f"ns/{kind}/")}
    assert left == used


def world_runs(world: World) -> list[str]:
    return [name for kind in ("l0", "shard", "eph") for name in world.store.names(f"ns/{kind}/")]


# --- guards off (those of the merge and of the line, which chance seldom meets, are in test_ephemeral.py) --------------


def fails_somewhere(seeds: int = 60) -> bool:
    for seed in range(seeds):
        try:
            tell(seed)
        except AssertionError:
            return True
    return False


def no_shadow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that simply drops what has expired."""
    monkeypatch.setattr(side_runs, "tombstone_line_ms", lambda root: 1 << 62)

    async def nothing(place: Any, refs: Any, keys: list[str]) -> dict[str, list[Record]]:
        return {key: [] for key in keys}

    monkeypatch.setattr(side_runs, "find_in_runs", nothing)


def no_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that does not see what state names."""

    async def blind(place: Any, register: Any) -> Any:
        listing, seen = await list_then_root(place, register)
        return listing, msgspec.structs.replace(seen, root=msgspec.structs.replace(seen.root, eph=Ephemeral()))

    monkeypatch.setattr("swampstore.workers.uses.list_then_root", blind)


def no_tally(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that forgets the contents of dropped state."""
    whole = side_runs.fold_ephemeral

    async def forgetful(*args: Any) -> Any:
        sided = await whole(*args)
        sided.dropped = []
        return sided

    monkeypatch.setattr("swampstore.workers.fold.fold_ephemeral", forgetful)


@pytest.mark.parametrize("guard", [no_shadow, no_uses, no_tally])
def test_without_a_guard_some_history_fails(guard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    guard(monkeypatch)
    assert fails_somewhere()


def test_helpers_are_not_blind() -> None:
    record = put_record("k", b"\0" * 23 + b"\1", Meta(size=0, at=Inline(b"")))
    assert as_indexed(as_ephemeral(tombstone("k", record.version))) == tombstone("k", record.version)
    assert version_ms(record.version) == 0
