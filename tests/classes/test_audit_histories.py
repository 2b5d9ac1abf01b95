"""Random histories of audit writes, against a list: readers by time and followers by position, folds, sorts, crashes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import SwampError
from swampstore.protocols import audit_changes
from swampstore.protocols.audit_changes import AuditChanges, AuditPosition, _order
from swampstore.protocols.settings import change_settings
from swampstore.values.audit import FORMATS, SETTING, AuditRecord, value_of
from swampstore.workers import archive_sort
from tests.classes.audit_world import DAY_MS, Crash, Process, World
from tests.classes.test_audit_failures import everything
from tests.workers.test_crash import crash_at

pytestmark = pytest.mark.usefixtures("tiny_archives")
TOPICS = "tu"
_available = archive_sort.available


@pytest.fixture(autouse=True)
def few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow five archives of mixed topics are as many as wait; and every history begins with it."""
    monkeypatch.setattr(archive_sort, "UNSORTED_FILES", 5)
    monkeypatch.setattr(archive_sort, "available", _available)


class Story:
    """One seeded history with one follower per topic."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world = World(seed)
        self.processes = [self.world.process() for _ in range(3)]
        self.given: dict[str, list[AuditRecord]] = {topic: [] for topic in TOPICS}
        self.after = {topic: AuditPosition() for topic in TOPICS}
        self.late: list[tuple[Process, list[AuditRecord]]] = []

    def write(self, process: Process | None = None) -> None:
        process = process or self.dice.choice(self.processes)
        topic = self.dice.choice(TOPICS)
        ts = self.dice.choice([None, None, self.world.env.wall - self.dice.randrange(900) * DAY_MS])
        process.audit(*[self.dice.randrange(99) for _ in range(self.dice.choice([1, 1, 9]))], topic=topic, ts=ts)

    def write_late(self) -> None:
        """A record made now, appended by a process of its own some time later."""
        process = self.world.process()
        topic = self.dice.choice(TOPICS)
        self.late.append((process, [process.topic(topic).record("late") for _ in range(2)]))

    def land(self) -> None:
        if self.late:
            process, records = self.late.pop(self.dice.randrange(len(self.late)))
            process.write(records)

    def fold(self) -> None:
        run(self.dice.choice(self.processes).compactor.fold_once(insist=True))

    def compact(self) -> None:
        process, chance, at = self.dice.choice(self.processes), self.dice.random(), self.dice.randrange(30)
        if chance < 0.3:
            self.world.store.before = crash_at(at, Crash)
        elif chance < 0.6:
            left = [at]

            def before(verb: str, name: str) -> None:
                left[0] -= 1
                if left[0] == 0:
                    self.write(self.world.process())
                    everything(self.world.process())

            self.world.store.before = before
        try:
            everything(process)
        except Crash:
            self.processes[self.processes.index(process)] = self.world.process()
        finally:
            self.world.store.before = lambda verb, name: None

    def follow(self) -> None:
        """A follower that may be restarted: its position is all it has."""
        topic = self.dice.choice(TOPICS)
        limit = self.dice.choice([None, 1, 2, 5])
        changes = self.world.process().changes(AuditPosition.parse(str(self.after[topic])), topic, limit)
        self.given[topic] += changes.records
        self.after[topic] = changes.after

    def switch(self) -> None:
        """From now on sorted archives are of another format; those that are there stay what they are."""
        process, form = self.dice.choice(self.processes), self.dice.choice(FORMATS)
        run(change_settings(process.place, process.register, lambda old: {**old, SETTING: {"format": form}}))

    def without(self) -> None:
        """The compactors have no pyarrow, or have it again."""
        archive_sort.available = self.dice.choice([_available, lambda: False])  # type: ignore[assignment]

    def wait(self) -> None:
        self.world.env.advance(self.dice.choice([1, 40, 3700, 30 * 3600]))

    def check(self) -> None:
        self.world.check()
        for topic in TOPICS:
            given = self.given[topic]
            assert len({record.id for record in given}) == len(given), "given twice"
            assert all(record in self.world.written for record in given)


STEPS: list[tuple[Any, int]] = [
    (Story.write, 8), (Story.write_late, 2), (Story.land, 2), (Story.fold, 4), (Story.compact, 5), (Story.follow, 5),
    (Story.wait, 3), (Story.switch, 1), (Story.without, 1),
]  # fmt: skip


def tell(seed: int, steps: int = 60) -> None:
    story = Story(seed)
    for _ in range(steps):
        story.dice.choices([step for step, _ in STEPS], [weight for _, weight in STEPS])[0](story)
        if story.dice.random() < 0.2:
            story.check()
    while story.late:
        story.land()
    for topic in TOPICS:
        more, pages = True, 0
        while more:
            pages += 1
            assert pages < 500, "a follower turns in circles"
            changes = story.world.process().changes(story.after[topic], topic, 4)
            story.given[topic] += changes.records
            story.after[topic], more = changes.after, changes.more
        written = {record.id for record in story.world.written if record.topic == topic}
        assert {record.id for record in story.given[topic]} == written, "a follower skipped a record"
    story.check()


@pytest.mark.parametrize("seed", range(20))
def test_a_random_history(seed: int) -> None:
    tell(seed)


def by_fold_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that forgets what it was given from the log."""
    monkeypatch.setattr(
        AuditPosition,
        "is_before",
        lambda self, record: value_of(record).fold > self.fold and (not self.inside or _order(record) > self.inside),
    )


def by_slot_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that believes the slots alone, as if a lane's position were kept for ever."""
    monkeypatch.setattr(
        AuditPosition,
        "is_before",
        lambda self, record: (
            value_of(record).slot > self.slots.get(value_of(record).lane, 0)
            and (not self.inside or _order(record) > self.inside)
        ),
    )


def by_page_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that takes a whole fold for given once it was given a part of it."""
    whole = audit_changes._page

    async def hasty(*args: Any) -> Any:
        page = await whole(*args)
        if page.after.inside is None:
            return page
        return AuditChanges(page.records, AuditPosition(page.after.fold + 1, page.after.slots), page.more)

    monkeypatch.setattr(audit_changes, "_page", hasty)


def by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that takes the latest root for all it was given."""
    whole = audit_changes._page

    async def hasty(*args: Any) -> Any:
        page = await whole(*args)
        return AuditChanges(page.records, AuditPosition(page.after.fold + 1, page.after.slots), page.more)

    monkeypatch.setattr(audit_changes, "_page", hasty)


@pytest.mark.parametrize("guard", [by_fold_only, by_slot_only, by_page_only, by_time])
def test_without_a_guard_some_history_fails(guard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    guard(monkeypatch)

    def fails() -> bool:
        for seed in range(40):
            try:
                tell(seed)
            except (AssertionError, SwampError):
                return True
        return False

    assert fails()
