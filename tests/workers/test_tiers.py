"""The middle level: level 0 is joined within itself until it is worth the shards below it."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.env.blocking import run
from swampstore.limits import LEVEL0_RUNS
from swampstore.values import tiers
from swampstore.values.root import RunRef
from swampstore.workers import level0, merge
from swampstore.workers.merge import Inputs
from tests.workers.world import Crash, Process, World

pytestmark = pytest.mark.usefixtures("tiny")
UNIT = 300


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rewrite is free, and size classes begin at a few records."""
    monkeypatch.setattr(tiers, "MIDDLE_FREE_BYTES", 0)
    monkeypatch.setattr(tiers, "MIDDLE_UNIT_BYTES", UNIT)


def run_of(number: int, size: int, first: str = "a", last: str = "z") -> RunRef:
    return RunRef(first, last, f"l0/{number}", size, 0, 1, 0, b"", 0, 0)


def spread(process: Process, world: World, number: int, keys: int = 400) -> None:
    """A fold of a few changes that lie everywhere, large enough to become a run."""
    dice = random.Random(number)
    process.put_all({f"k/{at:04}": dice.randbytes(20) for at in dice.sample(range(keys), 12)})
    process.fold()
    assert not process.root.inline


# --- the rule ---------------------------------------------------------------------------------------------------------


def test_nothing_is_due_below_the_usual_number_of_runs() -> None:
    assert tiers.to_join([run_of(n, 100) for n in range(LEVEL0_RUNS - 1)]) == ()
    assert len(tiers.to_join([run_of(n, 100) for n in range(LEVEL0_RUNS)])) == LEVEL0_RUNS


def test_only_the_newest_runs_of_like_size_are_joined() -> None:
    large = [run_of(n, 10 * UNIT) for n in range(2)]
    small = [run_of(n, UNIT) for n in range(2, 6)]
    assert tiers.to_join([*large, *small]) == tuple(small)
    assert tiers.to_join([*small[:2], *large, *small[2:]]) == ()
    assert tiers.to_join([*large, *large, *small[:1]]) == (*large, *large, *small[:1])


def test_runs_side_by_side_are_one() -> None:
    pieces = [run_of(0, UNIT, "a", "f"), run_of(1, UNIT, "g", "m"), run_of(2, UNIT, "n", "z")]
    assert tiers.sorted_runs(pieces) == [pieces]
    assert tiers.sorted_runs([*pieces, run_of(3, 1)]) == [pieces, [run_of(3, 1)]]
    assert tiers.to_join([*pieces, *(run_of(n, 2 * UNIT) for n in range(3, 6))]) != ()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=300))
def test_runs_stay_few_and_each_byte_is_rewritten_little(sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiers, "MIDDLE_UNIT_BYTES", 40)
        level0: list[RunRef] = []
        written = 0
        for number, size in enumerate(sizes):
            level0.append(run_of(number, size))
            while joined := tiers.to_join(level0):
                whole = sum(ref.size for ref in joined)
                written += whole
                level0[-len(joined) :] = [run_of(number, whole)]
        total = sum(sizes)
        classes = tiers.size_class(total) + 1
        assert len(level0) <= (LEVEL0_RUNS - 1) * classes
        assert sum(ref.size for ref in level0) == total
        assert written <= total * (classes + 40)  # in class 0 runs grow by three at a time


def test_level_0_goes_down_once_it_is_worth_its_shards(world: World) -> None:
    process = world.process()
    process.put_all({f"k/{number:04}": b"v" * 30 for number in range(400)})
    process.compact()
    root = process.root
    total = sum(ref.size for ref in root.shards)
    few = msgspec.structs.replace(root, level0=tuple(run_of(n, total // 100, "k/0000", "k/0399") for n in range(4)))
    assert not tiers.worth_the_shards(few)
    enough = msgspec.structs.replace(root, level0=tuple(run_of(n, total // 30, "k/0000", "k/0399") for n in range(4)))
    assert tiers.worth_the_shards(enough)
    narrow = msgspec.structs.replace(root, level0=tuple(run_of(n, 100, "k/0000", "k/0001") for n in range(4)))
    assert tiers.worth_the_shards(narrow)  # what counts is the shards that it falls into


# --- cost follows what changed ----------------------------------------------------------------------------------------


def test_changes_everywhere_do_not_rewrite_the_shards_each_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.process()
    process.put_all({f"k/{at:04}": b"v" * 30 for at in range(1500)})
    process.compact()
    total = sum(ref.size for ref in process.root.shards)
    names = {ref.name for ref in process.root.shards}
    written = bottom = 0
    for number in range(24):
        spread(process, world, number, 1500)
        if tiers.merge_due(process.root):
            report = run(process.compactor.merge_once(insist=True))
            assert report.published
            written += report.bytes_written
            bottom += not report.middle
            if report.middle:
                assert {ref.name for ref in process.root.shards} == names
                assert report.shards_read == 0
            names = {ref.name for ref in process.root.shards}
    world.check()
    assert 0 < bottom <= 2
    assert written < 4 * total  # without a middle level: once for every fourth fold, six times


def test_without_the_middle_level_they_would(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "MIDDLE_FREE_BYTES", 1 << 40)
    process = world.process()
    process.put_all({f"k/{at:04}": b"v" * 30 for at in range(1500)})
    process.compact()
    total = sum(ref.size for ref in process.root.shards)
    written = 0
    for number in range(24):
        spread(process, world, number, 1500)
        if tiers.merge_due(process.root):
            written += run(process.compactor.merge_once(insist=True)).bytes_written
    assert written > 4 * total


# --- it is a merge like any other -------------------------------------------------------------------------------------


def middle(world: World) -> Process:
    """Shards, and as many runs above them as are due to be joined."""
    process = world.process()
    process.put_all({f"k/{at:04}": b"v" * 30 for at in range(1500)})
    process.compact()
    for number in range(LEVEL0_RUNS):
        spread(process, world, number, 1500)
    assert tiers.to_join(process.root.level0)
    assert not tiers.worth_the_shards(process.root)
    return process


@pytest.mark.parametrize("seed", range(6))
def test_random_histories_equal_the_model(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "MIDDLE_SHARE", 2)
    dice = random.Random(seed)
    world = World(seed)
    processes = [world.process() for _ in range(2)]
    keys = [f"{'abc'[number % 3]}/{number:03}" for number in range(300)]
    processes[0].put_all(dict.fromkeys(keys, b"v" * 40))
    processes[0].compact()
    joined = 0
    for _ in range(50):
        process = dice.choice(processes)
        if dice.random() < 0.7:
            process.put_all({key: dice.randbytes(40) for key in dice.sample(keys, 15)})
        else:
            process.delete(*dice.sample(keys, 8))
        process.fold()
        if tiers.merge_due(process.root):
            joined += run(process.compactor.merge_once(insist=True)).middle
        if dice.random() < 0.05:
            process.merge()
        world.check()
    assert joined


def test_a_fold_meanwhile_stays_behind_what_is_joined(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process, other = middle(world), world.process()
    before = process.root.level0
    inner = merge._publish

    async def late(*args, **more):  # type: ignore[no-untyped-def]
        other.put_all({f"k/{at:04}": b"late" * 8 for at in range(12)})
        report, _ = await other.compactor.fold_once(insist=True)
        assert report.published
        return await inner(*args, **more)

    monkeypatch.setattr(merge, "_publish", late)
    report = run(process.compactor.merge_once(insist=True))
    assert report.published
    assert report.middle
    after = process.root.level0
    assert len(after) == 2
    assert {ref.name for ref in before}.isdisjoint(ref.name for ref in after)
    assert {item.name for item in process.root.garbage} >= {ref.name for ref in before}
    world.check()


def test_it_gives_up_when_another_joined_them(world: World) -> None:
    process = middle(world)
    inputs = Inputs(process.root.level0, (), (), middle=True)
    assert inputs.still_in(process.root)
    run(world.process().compactor.merge_once(insist=True))
    assert not inputs.still_in(process.root)


def test_a_crash_at_any_call_leaves_the_old_or_the_new_state() -> None:
    world = World()
    process = middle(world)
    world.store.forget()
    run(process.compactor.merge_once(insist=True))
    calls = len(world.store.calls)
    assert calls > 5
    for number in range(calls):
        world = World()
        process = middle(world)
        left = [number]

        def before(verb: str, name: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

        world.store.before = before
        with pytest.raises(Crash):
            run(process.compactor.merge_once(insist=True))
        world.store.before = lambda verb, name: None
        world.check()
        run(world.process().compactor.merge_once(insist=True))
        world.check()


def test_a_join_that_loses_a_record_publishes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = middle(world)
    version = process.root.version
    inner = level0.decode_rows
    monkeypatch.setattr(level0, "decode_rows", lambda *args: inner(*args).without([0]))
    with pytest.raises(AssertionError, match="conserve"):
        run(process.compactor.merge_once(insist=True))
    assert process.root.version == version


def test_a_tombstone_stays_in_the_middle_however_old(world: World) -> None:
    """What it hides lies below."""
    process = middle(world)
    process.delete(*(f"k/{at:04}" for at in range(60)))
    process.fold()
    world.env.advance(40 * 24 * 3600.0)
    report = run(process.compactor.merge_once(insist=True))
    assert report.middle
    assert sum(ref.tombstones for ref in process.root.level0) == 60
    world.check()
