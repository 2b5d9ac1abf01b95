"""How long a writer goes on in a lane, and which answers count: on the general way and on the short one."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.errors import AmbiguousAppend, StoreFull
from swampstore.limits import (
    HELP_LANE_BYTES,
    HELP_LANE_PAUSE_S,
    HELP_LANE_RECORDS,
    WRITER_FIRST_ACK_S,
    WRITER_LIFE_S,
)
from swampstore.protocols import lane_life
from swampstore.protocols.lane_life import Counts, Life
from swampstore.protocols.lane_writer import LaneWriter
from swampstore.stores.memory import MemoryStore
from swampstore.stores.memory_lanes import MemoryLaneFile
from swampstore.testing.env import FakeEnv
from swampstore.values.lane_file import HEADER_BYTES
from swampstore.values.plain_put import plain_put
from swampstore.values.root import NO_ROOT, Root
from swampstore.values.version import hlc_of
from tests.protocols.support import Process


class Clocked:
    """A writer over lanes in memory, on clocks that the test sets."""

    def __init__(self) -> None:
        self.env = FakeEnv()
        self.store = MemoryStore(self.env, lanes=True)
        self.process = Process(self.store, self.env, "ops")
        self.files = LaneWriter(self.process.place, self.store.lanes)  # type: ignore[arg-type]
        self.process.writer.files = self.files

    def lane(self) -> str:
        return self.process.put("k").lane


def test_a_lane_ends_with_idleness_and_at_half_its_life() -> None:
    world = Clocked()
    first = world.lane()
    world.env.advance(1799)
    assert world.lane() == first
    world.env.advance(1801)
    second = world.lane()
    assert second != first
    for _ in range(24):
        world.env.advance(1790)
        assert world.lane() == second
    world.env.advance(1790)
    assert world.lane() != second


def alone(world: Clocked) -> str:
    """The lane of one record that goes the short way."""
    _, body = plain_put(b"k", b"", hlc_of(world.env.wall), world.files.writer_id, world.env.wall)
    return world.files.commit_alone(body, world.env.boot())[0]


def test_help_is_due_after_so_many_records_or_bytes_and_counted_anew() -> None:
    """Of records with a pause, as many may come at once; of bytes across files, however often one ends."""
    counts = Counts(100.0)
    counts.begins(HEADER_BYTES)
    counts.took(HELP_LANE_RECORDS - 1)
    assert not counts.due(HEADER_BYTES, 200.0)
    counts.alone += 1
    assert not counts.due(HEADER_BYTES, 100.0 + HELP_LANE_PAUSE_S - 0.1)
    assert counts.due(HEADER_BYTES, 100.0 + HELP_LANE_PAUSE_S)
    counts.helped(HEADER_BYTES, 200.0)
    assert counts.unhelped == 0
    assert not counts.due(HEADER_BYTES, 300.0)
    half = HEADER_BYTES + HELP_LANE_BYTES // 2
    assert not counts.due(half, 300.0)
    counts.ends(half)
    counts.begins(HEADER_BYTES)
    assert not counts.due(half - 1, 300.0)
    assert counts.due(half, 300.0)
    counts.helped(half, 301.0)
    assert not counts.due(half + HELP_LANE_BYTES - 1, 301.0)
    assert counts.due(half + HELP_LANE_BYTES, 301.0)


def test_what_waits_in_files_that_are_finished_counts_too() -> None:
    """Else nobody who fills one file after the other were ever held back."""
    clocked = Clocked()
    first, files = clocked.lane(), clocked.files
    assert files.file is not None
    one = files.file.end
    files.drop()
    assert files.unfolded(NO_ROOT) == one
    assert clocked.lane() != first
    assert files.unfolded(NO_ROOT) == one + files.file.end
    folded = Root(1, b"n", watermarks={first: one})
    assert files.unfolded(folded) == files.file.end
    assert files.unfolded(NO_ROOT) == files.file.end, "what a root has covered is forgotten"


def test_the_life_of_a_lane_is_bounded_on_either_clock() -> None:
    """A machine that is paused stops the one, an answer that tells an old time the other."""
    first, day = WRITER_FIRST_ACK_S, WRITER_LIFE_S
    assert not Life(0, 0.0).look(0, first + 1)
    assert not Life(0, 0.0).look((first + 1) * 1000, 0.0)
    for seconds, counts in ((day - 1, True), (day + 1, False)):
        for time, now in ((0, seconds), (seconds * 1000, 0.0)):
            life = Life(0, 0.0)
            assert life.look(0, 0.0)
            assert life.look(int(time), now) is counts
    for time, now in ((0, day / 2 + 1), (int(day * 500 + 1000), 1.0)):
        life = Life(0, 0.0)
        assert life.look(0, 0.0)
        assert life.over_at > 1.0
        assert life.look(time, now)
        assert life.over_at <= now, "at half its life the next append belongs into another"


def test_the_short_way_ends_a_lane_as_the_general_way_does() -> None:
    world = Clocked()
    first = world.lane()
    world.env.advance(1799)
    assert alone(world) == first
    world.env.advance(1801)
    assert alone(world) != first


@pytest.mark.parametrize(("hours", "counts"), [(23, True), (25, False)])
def test_an_answer_of_the_short_way_counts_for_a_day(hours: int, counts: bool) -> None:
    """The machine is paused in the middle of the append, and its boot clock with it: only the store's time tells."""
    world = Clocked()
    first = world.lane()
    file = world.files.file
    assert isinstance(file, MemoryLaneFile)
    write = file._write

    def late(*more: Any) -> int:
        world.env.advance(hours * 3600, asleep=True)
        return write(*more)

    file._write = late
    assert (alone(world) == first) is counts


@pytest.mark.parametrize("asleep", [False, True])
@pytest.mark.parametrize(("first", "seconds", "counts"), [(True, 299, True), (True, 301, False)])
def test_a_first_frame_counts_for_five_minutes(first: bool, seconds: float, counts: bool, asleep: bool) -> None:
    """Time passes in the middle of the append: the machine hangs, or is paused and its boot clock with it."""
    world = Clocked()
    real = world.store.lanes.open_lane  # type: ignore[union-attr]
    waits = [seconds]

    async def slow(*args: Any) -> Any:
        file = await real(*args)
        write = file._write

        def late(*more: Any) -> int:
            world.env.advance(waits.pop() if waits else 0, asleep=asleep)
            return write(*more)

        file._write = late
        return file

    world.store.lanes.open_lane = slow  # type: ignore[union-attr, method-assign]
    world.lane()
    assert world.files.opened == (1 if counts else 2)


def test_without_the_rule_a_late_first_frame_would_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_life, "WRITER_FIRST_ACK_S", 1e9)
    with pytest.raises(AssertionError):
        test_a_first_frame_counts_for_five_minutes(first=True, seconds=301, counts=False, asleep=False)


@pytest.mark.parametrize("short", [True, False])
def test_what_came_too_late_is_undecided_though_the_next_try_was_refused(short: bool) -> None:
    world = Clocked()
    world.lane()
    file = world.files.file
    assert isinstance(file, MemoryLaneFile)
    write = file._write

    def late(*more: Any) -> int:
        world.env.advance(25 * 3600, asleep=True)
        return write(*more)

    async def full(*_: Any) -> Any:
        raise StoreFull("no space")

    file._write = late
    world.store.lanes.open_lane = full  # type: ignore[union-attr, method-assign]
    with pytest.raises(AmbiguousAppend):
        alone(world) if short else world.lane()
