"""Following a topic while others write, land late, fold and sort; pages that stay small; schemas."""

from __future__ import annotations

import dataclasses
import random
from typing import Any, TypedDict

import msgspec
import pytest

from swampstore.env.blocking import each
from swampstore.errors import Misuse, SchemaMismatch
from swampstore.protocols import audit_changes
from swampstore.protocols.audit import AuditWriter
from swampstore.protocols.audit_changes import AuditPosition, follow, head_of
from swampstore.values.audit import AuditRecord
from tests.classes.audit_world import DAY_MS, Process, World
from tests.classes.test_audit_failures import everything


class Stage:
    """Whatever happens between two looks of a follower, and in the middle of one."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world = World(seed)
        self.writers = [self.world.process() for _ in range(3)]
        self.late: list[tuple[Process, AuditRecord]] = []
        self.steps = 0
        self.busy = False

    def step(self) -> None:
        """One of the others does something; none while one does."""
        if self.busy:
            return
        self.busy = True
        self.steps += 1
        choice = self.dice.randrange(6)
        if choice <= 1:
            self.dice.choice(self.writers).audit(*range(self.dice.choice([1, 7])))
        elif choice == 2:
            process = self.world.process()
            self.late.append((process, process.topic("t").record("late", ts=self.world.env.wall - 9 * DAY_MS)))
        elif choice == 3 and self.late:
            process, record = self.late.pop()
            process.write([record])
        elif choice == 4:
            self.writers[0].fold()
        elif choice == 5:
            everything(self.writers[1])
        self.busy = False

    def end(self) -> None:
        self.busy = True
        for process, record in self.late:
            process.write([record])


@pytest.mark.usefixtures("tiny_archives")
@pytest.mark.parametrize("seed", range(8))
def test_a_follower_meets_every_commit_once_whatever_happens_meanwhile(seed: int) -> None:
    stage = Stage(seed)
    reader = stage.world.process()
    mine = {"get", "list"}

    def between(verb: str, name: str) -> None:
        if verb in mine and stage.steps < 60 and stage.dice.random() < 0.4:
            stage.step()
        elif stage.steps >= 60 and not stage.busy:
            stage.end()

    stage.world.store.before = between
    given: list[AuditRecord] = []
    for page in each(follow(reader.archives, "t", AuditPosition(), 30.0)):
        given += page.records
    assert stage.busy, "the stage came to its end while it was followed"
    ids = [record.id for record in given]
    assert len(set(ids)) == len(ids)
    assert set(ids) == {record.id for record in stage.world.written}


@pytest.mark.usefixtures("tiny_archives")
def test_pages_are_bounded_in_records_and_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.process()
    for number in range(12):
        process.audit(*[{"n": number * 5 + at, "x": "y" * 100} for at in range(5)])
        if number % 3 == 2:
            process.sort()
    process.audit({"n": 60, "x": ""})

    def walk(limit: int | None) -> list[int]:
        after, sizes, seen = AuditPosition(), [], []
        while True:
            page = process.changes(after, limit=limit)
            sizes.append(len(page.records))
            seen += [record.data["n"] for record in page.records]  # type: ignore[index]
            after = AuditPosition.parse(str(page.after))
            if not page.more:
                break
        assert sorted(seen) == list(range(61))
        return sizes

    assert max(walk(7)[:-1]) == 7
    assert walk(None) == [61]
    monkeypatch.setattr(audit_changes, "AUDIT_PAGE_BYTES", 1000)
    assert max(walk(None)[:-1]) < 8
    assert not process.changes(head_of(each_snapshot(process))).records
    for bad in (0, -1, True, "7"):
        with pytest.raises(Misuse):
            process.changes(limit=bad)  # type: ignore[arg-type]


def each_snapshot(process: Process) -> Any:
    from swampstore.env.blocking import run

    return run(process.reader.open())


@pytest.fixture
def world() -> World:
    return World()


# --- schemas ----------------------------------------------------------------------------------------------------------


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    provider: str
    cost: int = 0


@dataclasses.dataclass
class Call:
    name: str
    seconds: float


class Plain(TypedDict):
    name: str


def writer(world: World, schema: object) -> AuditWriter:
    process = world.process()
    return AuditWriter(process.place, process.writer, process.writer.append, "t", schema=schema)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (Decision, [Decision("a"), {"provider": "a", "cost": 3}], [{"provider": 7}, {"cost": 1}, {"provider": "a", "x": 1}, b"x", "a"]),
        (Call, [Call("a", 1.5), {"name": "a", "seconds": 2}], [{"name": "a"}, Call("a", "slow"), []]),  # type: ignore[arg-type]
        (Plain, [{"name": "a"}], [{"name": 1}, {}]),
        (bytes, [b"raw"], [{"a": 1}, "text"]),
        (dict[str, int], [{"a": 1}], [{"a": "x"}]),
        (list[int], [[1, 2]], [["a"], 1]),
    ],
)  # fmt: skip
def test_a_record_must_be_what_the_schema_says(world: World, schema: Any, good: list[Any], bad: list[Any]) -> None:
    topic = writer(world, schema)
    for data in good:
        assert topic.record(data).data == data
    for data in bad:
        world.store.forget()
        with pytest.raises(SchemaMismatch):
            topic.record(data)
        assert not world.store.calls


def test_what_is_no_schema_is_refused(world: World) -> None:
    class Strange:
        def __init__(self, a: object, /) -> None:
            self.a = a

    for schema in (5, "Decision", int | Strange):
        with pytest.raises(Misuse):
            writer(world, schema)
