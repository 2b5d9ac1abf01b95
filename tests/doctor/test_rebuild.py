"""A lost root is rebuilt from what is left: nothing that a run or the log holds is missing, and nothing is reused."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.values.entry import Record
from swampstore.values.root import Root, decode_root
from swampstore.workers import fold, rebuild
from swampstore.workers.doctor.examine import examine
from swampstore.workers.doctor.repairs import repair
from swampstore.workers.rebuild import plan_rebuild, publish_rebuilt
from swampstore.workers.salvage import read_run
from tests.workers.test_histories import Story
from tests.workers.world import Process, World

pytestmark = pytest.mark.usefixtures("tiny")


class Left(dict[str, Record]):
    """The winner of every key among some records."""

    def take(self, records: object) -> None:
        for record in records:  # type: ignore[attr-defined]
            held = self.get(record.key)
            if held is None or record.version > held.version:
                self[record.key] = record


def records_of(world: World, root: Root) -> list[Record]:
    """Every record of the runs that ``root`` names."""
    from swampstore.values.run import decode_block

    found: list[Record] = []
    for ref in (*root.level0, *root.shards):
        data = world.store.raw(f"ns/{ref.name}")
        for info in read_run(ref.name, data, ref.name).index:
            found += decode_block(info, data[info.offset : info.offset + info.size], ref.name)
    return found


def logged(world: World, root: Root) -> list[Record]:
    """Every record of the segments that are listed and apply."""
    from swampstore.values.names import Names
    from swampstore.values.segment import decode_segment

    found: list[Record] = []
    for name in world.store.names("ns/log/"):
        parsed = Names("ns").parse_segment(name)
        assert parsed is not None
        found += decode_segment(world.store.raw(name), name, *parsed).records
    assert not root.quarantine
    return found


def last_root(world: World) -> Root:
    return decode_root(world.store.raw("ns/root"), "ns/root")


def lose(world: World) -> None:
    run(world.store.inner.delete(["ns/root"]))


def rebuilt(process: Process) -> rebuild.RebuildPlan:
    plan = run(plan_rebuild(process.place, process.register, settle=True))
    run(publish_rebuilt(process.place, plan))
    process.fold()
    return plan


def judge(world: World, plan: rebuild.RebuildPlan, left: Left, truth: Left) -> None:
    """Every key is what the root that was lost said, or what it said but for its inline records; doubts apart."""
    snapshot = run(world.process().reader.open())
    found = Left()
    for chunk in _chunks(snapshot):
        found.take(chunk)
    doubtful = set(plan.doubtful)
    for key in found.keys() | truth.keys():
        if "\0" in key:
            continue
        low, high, now = left.get(key), truth.get(key), found.get(key)
        if key in doubtful:
            continue
        if high is None:
            assert now is None or now.gone, f"{key} came back"
            continue
        if low is not None:
            assert now is not None, f"{key} is lost"
            assert low.version <= now.version <= high.version, key
        elif now is not None:
            assert now.version <= high.version, key


def _chunks(snapshot: object) -> list[list[Record]]:
    async def all_of_them() -> list[list[Record]]:
        return [chunk async for chunk in snapshot.records(internal=True)]  # type: ignore[attr-defined]

    return run(all_of_them())


def at_random(seed: int) -> tuple[Story, Root, Left, Left]:
    """A random history up to a random moment: the story, its last root, what is left without it, and the truth."""
    story = Story(seed)
    steps = [story.put, story.put_content, story.carry, story.delete, story.leave_orphan, story.compact, story.wait]
    for _ in range(story.dice.randrange(20, 90)):
        story.dice.choices(steps, [6, 6, 4, 3, 1, 10, 6])[0]()
    if not any(name == "ns/root" for name in story.world.store.names()):
        story.processes[0].put("first", b"1")
        story.processes[0].fold()
    if not story.world.store.names("ns/shard/"):
        story.processes[0].compact()
    root = last_root(story.world)
    left, truth = Left(), Left()
    left.take(records_of(story.world, root))
    left.take(logged(story.world, root))
    truth.take(left.values())
    truth.take(root.inline)
    return story, root, left, truth


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("inline_bytes", [400, 4000])
def test_a_root_lost_at_a_random_moment(seed: int, inline_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "INLINE_LEVEL0_BYTES", inline_bytes)
    story, root, left, truth = at_random(seed)
    world = story.world
    lose(world)
    plan = rebuilt(world.process())
    judge(world, plan, left, truth)
    assert last_root(world).version > root.version
    assert run(examine(*_eyes(world))).healthy
    # Life goes on: old processes write, what they write is seen (after a repair, when they had been idle).
    world.model = world.found()
    for number, process in enumerate(story.processes):
        process.put(f"after/{number}", b"1")
    run(repair(*_eyes(world), dry_run=False))
    assert world.found() == world.model
    for _ in range(3):
        world.env.advance(26 * 3600)
        other = world.process()
        run(other.compactor.round(stay=False, insist=True, full=True))
        run(other.compactor.sweep_once(insist=True))
        assert world.found() == world.model
    check_whole_but(world, truth)


def _eyes(world: World) -> tuple:  # type: ignore[type-arg]
    process = world.process()
    return process.place, process.register


def check_whole_but(world: World, truth: Left) -> None:
    """Whole, apart from entries that came back after their contents were swept."""
    there = " ".join(world.store.names())
    for entry in run(run(world.process().reader.open()).page()).entries:
        gone = hasattr(entry.meta.at, "unique") and entry.meta.at.unique not in there
        assert not gone or entry.key not in truth or truth[entry.key].gone, entry.key
