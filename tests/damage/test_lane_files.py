"""Lane files that are damaged cost what was hit, nothing that is whole, and are named; a case for every kind of damage."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.stores import local_lanes, local_tails
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.lane_file import HEADER_BYTES, LaneHeader, encode_frame, encode_header, lane_salt
from swampstore.values.segment import encode_records
from swampstore.workers import uses
from swampstore.workers.doctor import left, mend_left
from tests.damage.lanes import Frame, LaneWorld
from tests.golden.store import GoldenEnv

FREE = 1 << 20
"""Far behind all frames."""
LARGE = bytes(range(256)) * 30
"""Contents that are an object of their own."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[LaneWorld]:
    """Its clocks stand still until a test moves them; owners and readers look at once at what they look at now and then."""
    env = GoldenEnv(3, wall_ms=time.time_ns() // 1_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: env.wall * 1_000_000)
    monkeypatch.setattr(local_lanes, "_LOOK_NS", -1)
    monkeypatch.setattr(local_tails, "_SURE_S", -1.0)
    with caplog.at_level(logging.CRITICAL, "swampstore"):
        yield LaneWorld(tmp_path, env)


class Case:
    """The file of one lane, of whose six frames two are folded, beside that of another. ``owner`` may go on or be gone."""

    def __init__(self, world: LaneWorld) -> None:
        self.world = world
        self.owner, self.neighbour = world.process(), world.process()
        for number in range(2):
            self.lane = world.put(self.owner, {f"v{number}": b"folded"})
            self.other = world.put(self.neighbour, {f"o{number}": b"folded"})
        world.process().compact(full=False)
        for number in range(2, 6):
            world.put(self.owner, {f"v{number}": LARGE + b"%d" % number, "shared": b"v%d" % number})
            world.put(self.neighbour, {f"o{number}": LARGE + b"%d" % number})

    def frame(self, number: int, *, other: bool = False) -> Frame:
        return self.world.frames[self.other if other else self.lane][number]

    def die(self) -> None:
        for one in (self.owner, self.neighbour):
            one._core.writer.drop()

    # --- damage --------------------------------------------------------------------------------------------------

    def flip(self, at: int) -> None:
        body = self.world.bytes_of(self.lane)
        self.world.edit(self.lane, at, bytes([body[at] ^ 4]))

    def zero(self, start: int, end: int) -> None:
        self.world.edit(self.lane, start, bytes(end - start))

    def cut(self, at: int) -> None:
        os.truncate(self.world.path(self.lane), at)

    def head_of_the_other(self) -> None:
        self.world.edit(self.lane, 0, self.world.bytes_of(self.other)[:HEADER_BYTES])

    def exchange(self) -> None:
        one, two, temp = self.world.path(self.lane), self.world.path(self.other), self.world.folder / "aside"
        one.rename(temp)
        two.rename(one)
        temp.rename(two)


HOLE, CUT = {"lane-damaged", "lane-behind"}, {"lane-cut"}
CASES: dict[str, tuple[Callable[[Case], object], set[str]]] = {
    "a bit of a record": (lambda c: c.flip(c.frame(3).start + 40), HOLE),
    "a bit of a checksum": (lambda c: c.flip(c.frame(3).start), HOLE),
    "a bit of a length": (lambda c: c.flip(c.frame(3).start + 5), HOLE),
    "a bit of a flag": (lambda c: c.flip(c.frame(3).start + 11), HOLE),
    "a bit of each of two": (lambda c: (c.flip(c.frame(2).start + 40), c.flip(c.frame(4).start + 40)), HOLE),
    "a bit of the first": (lambda c: c.flip(c.frame(2).start + 40), HOLE),
    "a bit of the last": (lambda c: c.flip(c.frame(5).start + 40), set()),
    "a bit of a folded one": (lambda c: c.flip(c.frame(0).start + 40), set()),
    "a frame of zeros": (lambda c: c.zero(c.frame(3).start, c.frame(3).end), HOLE),
    "zeros across two": (lambda c: c.zero(c.frame(3).start + 20, c.frame(4).start + 20), HOLE),
    "all in front is zeros": (lambda c: c.zero(0, c.frame(4).start), HOLE | {"lane-header"}),
    "the header is zeros": (lambda c: c.zero(0, HEADER_BYTES), {"lane-header"}),
    "a bit of the header": (lambda c: c.flip(9), {"lane-header"}),
    "a bit of the format": (lambda c: c.flip(4), {"lane-header"}),
    "the header of another": (lambda c: c.head_of_the_other(), {"lane-misplaced"}),
    "cut in a frame": (lambda c: c.cut(c.frame(3).start + 30), CUT),
    "cut between two": (lambda c: c.cut(c.frame(3).end), CUT),
    "cut behind all": (lambda c: c.cut(c.frame(5).end), CUT),
    "cut in what is folded": (lambda c: c.cut(c.frame(0).start + 3), CUT),
    "empty": (lambda c: c.cut(0), CUT | {"lane-header"}),
    "garbage behind the end": (lambda c: c.world.edit(c.lane, c.frame(5).end, b"\x95garbage" * 99), set()),
    "a large frame that is none": (
        lambda c: c.world.edit(c.lane, c.frame(5).end, b"\1\1\1\1\0\x7f\0\0\0\1\0\0"),
        set(),
    ),
    "garbage far behind": (lambda c: c.world.edit(c.lane, FREE, b"\x95garbage" * 99), set()),
    "an old frame behind the end": (lambda c: c.world.edit(c.lane, c.frame(5).end, c.frame(3).body), set()),
    "another frame of the lane": (lambda c: c.world.edit(c.lane, c.frame(3).start, c.frame(4).body), HOLE),
    "a frame of another lane": (lambda c: c.world.edit(c.lane, c.frame(3).start, c.frame(3, other=True).body), HOLE),
    "another's file": (lambda c: c.world.replace(c.lane, c.world.path(c.other)), {"lane-misplaced"}),
    "gone": (lambda c: c.world.path(c.lane).unlink(), set()),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_whole_stays_and_what_is_not_is_named(world: LaneWorld, name: str) -> None:
    harm, codes = CASES[name]
    case = Case(world)
    case.die()
    harm(case)
    world.check(world.counting())
    assert world.told().get(case.lane, set()) == codes
    world.tend(0)
    world.check(world.counting())
    for hours in (1, 25):
        world.tend(hours)
    world.check(world.counting())
    there = world.path(case.lane).exists()
    assert there == bool(codes & {"lane-behind", "lane-misplaced"}), "the file stays as long as anything in it is whole"
    whole = world.counting(behind=True)
    world.mend()
    world.check(whole)
    assert "lane-behind" not in world.told().get(case.lane, set())
    world.tend(25)
    world.check(whole)


@pytest.mark.parametrize("name", CASES)
def test_an_owner_that_goes_on_loses_nothing(world: LaneWorld, name: str) -> None:
    """What it writes from then on is read, in a new lane if its file is not its own any more, or is brought back."""
    harm, _ = CASES[name]
    case = Case(world)
    harm(case)
    late = [world.put(case.owner, {f"late{number}": b"x", "shared": b"late%d" % number}) for number in range(3)]
    assert (late[0] == case.lane) == (name not in ("gone", "another's file"))
    world.check(world.counting())
    world.process().compact(full=False)
    world.check(world.counting())
    whole = world.counting(behind=True)
    assert {frame.end for frame in world.frames[late[0]][-3:]} <= {frame.end for frame in whole}
    case.die()
    world.mend()
    world.check(whole)
    for hours in (1, 25):
        world.tend(hours)
    world.check(whole)


def test_files_that_changed_places_are_kept_and_count_again_when_they_are_moved_back(world: LaneWorld) -> None:
    case = Case(world)
    case.die()
    reader = world.process()
    assert reader.read("v5") == LARGE + b"5"
    whole = world.counting()
    case.exchange()
    world.check(world.counting())
    for hours in (0, 1, 25):
        world.tend(hours)
        world.check(world.counting())
    assert world.told() == {case.lane: {"lane-misplaced"}, case.other: {"lane-misplaced"}}
    case.exchange()
    world.check(whole)
    assert reader.read("v5") == LARGE + b"5"
    assert reader.read("o5") == LARGE + b"5"
    world.tend(1)
    world.check(whole)
    assert world.told() == {}


def test_a_file_of_another_namespace_is_another_lanes(world: LaneWorld) -> None:
    case = Case(world)
    (world.folder / "elsewhere").mkdir()
    elsewhere = LaneWorld(world.folder / "elsewhere", world.env)
    lane = elsewhere.put(elsewhere.process(), {"foreign": b"x"})
    case.die()
    world.replace(case.lane, elsewhere.path(lane))
    world.check(world.counting())
    assert "foreign" not in {entry.key for entry in world.process().scan()}
    assert world.told() == {case.lane: {"lane-misplaced"}}


def test_an_owner_notices_that_its_folder_was_moved_away(world: LaneWorld) -> None:
    """What it would write there is read by nobody."""
    owner = world.process()
    lane = world.put(owner, {"a": b"1"})
    world.path(lane).parent.rename(world.folder / "aside")
    world.put(owner, {"b": b"1"})
    assert world.process().read("b") == b"1"


def test_a_frame_with_a_hole_in_it_is_whole(world: LaneWorld) -> None:
    """A sparse copy makes holes of zeros, within frames too."""
    name, lane = "ops/log/w" + "0" * 24 + "/lane", "w" + "0" * 24
    records = encode_records([put_record("a", bytes(12) + b"v" * 9, Meta(size=1, at=Inline(bytes(60_000))))])
    file = run(world.store.lanes.open_lane(name, encode_header(LaneHeader(lane, 1)), FREE))
    for _ in range(2):
        file.append_now(encode_frame(lane_salt(lane), file.end, records, 1))
    first, end = HEADER_BYTES, file.end
    file.close()
    body = world.bytes_of(lane)[:end]
    world.path(lane).unlink()
    with world.path(lane).open("wb") as copy:
        copy.truncate(FREE)
        for at in range(0, end, 4096):
            if body[at : at + 4096].strip(b"\0"):
                os.pwrite(copy.fileno(), body[at : at + 4096], at)
    assert world.path(lane).stat().st_blocks * 512 < 60_000
    world.edit(lane, first, b"\0" * 20)
    assert not run(world.store.lanes.remove_lane(name, HEADER_BYTES))
    assert run(world.store.lanes.remove_lane(name, end))


def test_who_had_read_up_to_a_frame_that_was_folded_and_lost_reads_what_follows_it(world: LaneWorld) -> None:
    """It looks for what is new where its own reading ended, and there is free space now."""
    owner, reader = world.process(), world.process()
    lane = world.put(owner, {"a": b"1"})
    world.process().compact(full=False)
    assert reader.read("a") == b"1"
    world.put(owner, {"b": b"2"})
    world.process().compact(full=False)
    lost = world.frames[lane][1]
    world.edit(lane, lost.start, bytes(len(lost.body)))
    world.put(owner, {"c": b"3"})
    assert [reader.read(key) for key in "abc"] == [b"1", b"2", b"3"]


def test_what_the_lost_frame_may_have_named_stays(world: LaneWorld) -> None:
    """Frames behind it tell how late it was written: no content that was made by then is swept, so whoever finds the
    frame again, in a copy of the file, finds what it names."""
    case = Case(world)
    case.die()
    body = world.bytes_of(case.lane)
    zeros(case)
    for hours in (1, 25, 25):
        world.tend(hours)
    lost = case.frame(3)
    world.edit(case.lane, lost.start, body[lost.start : lost.end])
    world.check(world.counting(behind=True))
    assert world.process().read("v3") == LARGE + b"3"


# --- the guards are needed -----------------------------------------------------------------------------------------------


def zeros(case: Case) -> None:
    case.zero(case.frame(3).start, case.frame(3).end)


def outcome(world: LaneWorld, harm: Callable[[Case], object]) -> None:
    """Damage, two days, and the repair."""
    case = Case(world)
    case.die()
    harm(case)
    whole = world.counting(behind=True)
    for hours in (0, 1, 25):
        world.tend(hours)
    world.mend()
    world.check(whole)


def test_contents_behind_a_frame_of_zeros_would_be_swept(world: LaneWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "_suspect", lambda tail, now_ms: tail.stuck)
    with pytest.raises(Exception, match=r"(pack|blob)/"):
        outcome(world, zeros)


def test_frames_behind_zeros_would_go_with_their_file(world: LaneWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_lanes, "find_frame", lambda *args: None)
    with pytest.raises(AssertionError, match="shared"):
        outcome(world, zeros)


def test_without_the_repair_they_would_stay_unread(world: LaneWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*args: object) -> list[object]:
        return []

    for module in (left, mend_left):
        monkeypatch.setattr(module, "damages", none)
    with pytest.raises(AssertionError, match="shared"):
        outcome(world, zeros)


def test_files_that_changed_places_would_both_be_swept(world: LaneWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_lanes, "misplaced", lambda *args: False)
    case = Case(world)
    case.die()
    case.exchange()
    for hours in (0, 1):
        world.tend(hours)
    assert not world.path(case.lane).exists()
    assert not world.path(case.other).exists()
