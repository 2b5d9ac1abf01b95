"""Random histories with everything at once: contents, carried locations, crashes, sweeps, days that pass.

After every few steps: what was written is read, every content of a live entry is there, counts are true. The seed is the
test's parameter, so a failure is run again by its name.
"""

from __future__ import annotations

import random

import pytest

from swampstore.env.blocking import run
from swampstore.errors import SnapshotExpired
from swampstore.protocols.pins import PinnedSnapshot, pin_snapshot
from swampstore.values.entry import Location
from tests.workers.test_crash import check_whole, crash_at
from tests.workers.world import Crash, Process, World, blob, packed

pytestmark = pytest.mark.usefixtures("tiny")

KEYS = [f"{'abc'[number % 3]}/{number:03}" for number in range(60)]


class Story:
    """One seeded history."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world = World(seed)
        self.processes = [self.world.process() for _ in range(3)]
        self.pinned: tuple[PinnedSnapshot, dict[str, bytes]] | None = None

    @property
    def process(self) -> Process:
        return self.dice.choice(self.processes)

    def put(self) -> None:
        keys = self.dice.sample(KEYS, self.dice.choice([1, 1, 1, 15]))
        self.process.put_all({key: self.dice.randbytes(30) for key in keys})

    def put_content(self) -> None:
        process = self.process
        kind = self.dice.choice(["blob", "pack"])
        part = process.upload(kind)
        at: Location = blob(part) if kind == "blob" else packed(part)
        process.put_all(dict.fromkeys(self.dice.sample(KEYS, self.dice.choice([1, 2])), b""), at=at)

    def carry(self) -> None:
        """An entry takes over the location of another that was read a moment ago."""
        entries = run(run(self.process.reader.open()).page()).entries
        if entries:
            entry = self.dice.choice(entries)
            if hasattr(entry.meta.at, "unique"):
                self.pass_time(self.dice.choice([1, 3000]))
                self.process.put(self.dice.choice(KEYS), b"", at=entry.meta.at)

    def delete(self) -> None:
        self.process.delete(*self.dice.sample(KEYS, 3))

    def leave_orphan(self) -> None:
        self.process.upload()

    def compact(self) -> None:
        process = self.process
        if self.dice.random() < 0.3:
            self.world.store.before = crash_at(self.dice.randrange(40), Crash)
        try:
            run(process.compactor.round(stay=False, insist=True, full=self.dice.random() < 0.5))
            if self.dice.random() < 0.4:
                run(process.compactor.sweep_once(insist=True))
        except Crash:
            self.processes[self.processes.index(process)] = self.world.process()
        finally:
            self.world.store.before = lambda verb, name: None

    def wait(self) -> None:
        self.pass_time(self.dice.choice([1, 40, 3700, 3700, 20 * 3600, 30 * 3600]))

    def pass_time(self, seconds: float) -> None:
        """The pinned reader is the first to wake up: nobody sweeps before it has renewed or given up."""
        self.world.env.advance(seconds)
        if self.pinned is not None:
            try:
                run(self.pinned[0].keep())
            except SnapshotExpired:
                self.pinned = None

    def pin(self) -> None:
        process = self.process
        pinned = pin_snapshot(process.place, process.register, process.reader)
        run(pinned.__aenter__())
        self.pinned = (pinned, dict(self.world.model))

    def check(self) -> None:
        assert self.world.found() == self.world.model
        check_whole(self.world)
        if self.pinned is not None:
            pinned, model = self.pinned
            entries = run(pinned.snapshot.page()).entries
            assert {entry.key for entry in entries} == set(model)
            there = " ".join(self.world.store.names())
            for entry in entries:
                at = entry.meta.at
                assert not hasattr(at, "unique") or at.unique in there


@pytest.mark.parametrize("seed", range(25))
def test_a_random_history(seed: int) -> None:
    story = Story(seed)
    for _ in range(90):
        step = story.dice.choices(
            [story.put, story.put_content, story.carry, story.delete, story.leave_orphan, story.compact, story.wait, story.pin],
            [6, 6, 4, 3, 1, 10, 6, 1],
        )[0]  # fmt: skip
        step()
        if story.dice.random() < 0.3:
            story.check()
    story.check()
    # In the end, long after the last reader has gone, only what is needed is left.
    story.pinned = None
    for _ in range(6):
        story.world.env.advance(26 * 3600)
        process = story.world.process()
        run(process.compactor.round(stay=False, insist=True, full=True))
        run(process.compactor.sweep_once(insist=True))
    story.check()
    entries = run(run(process.reader.open()).page()).entries
    used = {entry.meta.at.unique for entry in entries if hasattr(entry.meta.at, "unique")}
    left = {name.rpartition("/")[2] for folder in ("blob", "pack") for name in story.world.store.names(f"ns/{folder}/")}
    assert left == used
    assert not process.root.garbage
