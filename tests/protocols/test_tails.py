"""Lanes that are files: what readers, folds and sweeps see of them, and that damage is never passed over in silence."""

from __future__ import annotations

import zlib

import pytest

from swampstore.env.blocking import run
from swampstore.errors import UnknownFormat
from swampstore.protocols import tails
from swampstore.protocols.log import depth_of, fetch, list_and_root, segments_in, unfolded
from swampstore.protocols.slots import Broken, FileSlot, Slot, Stretch, new_since
from swampstore.stores.base import Get, Request
from swampstore.testing.env import FakeEnv
from swampstore.values.entry import record_sum
from swampstore.values.lane_file import (
    HEADER_BYTES,
    LaneHeader,
    decode_frames,
    encode_frame,
    encode_header,
    lane_salt,
)
from swampstore.values.names import writer_lane
from swampstore.values.segment import encode_records
from swampstore.values.version import make_writer_id
from swampstore.workers import fold as fold_module
from swampstore.workers.compactor import Compactor
from swampstore.workers.uses import find_uses
from tests.protocols.support import Process, Recording, world


class Lane:
    """A lane file as its owner leaves it, byte by byte."""

    def __init__(self, process: Process, store: Recording) -> None:
        self.process = process
        self.lane = writer_lane(make_writer_id(process.place.clock.now_ms(), process.env.random_bytes(6)))
        self.name = process.place.names.lane_file(self.lane)
        self.store = store
        self.body = encode_header(LaneHeader(self.lane, process.place.clock.now_ms()))
        self.show()

    @property
    def end(self) -> int:
        return len(self.body)

    def show(self, torn: bytes = b"", size: int = 4096) -> None:
        """What is in the store; free space behind it."""
        self.store.set(self.name, (self.body + torn).ljust(size, b"\0"))

    def frame(self, *keys: str, closing: bool = False) -> bytes:
        records = [self.process.record(key) for key in keys]
        return encode_frame(lane_salt(self.lane), self.end, encode_records(records), len(records), closing)

    def add(self, *keys: str, closing: bool = False) -> int:
        """Append one frame; where it ends."""
        self.body += self.frame(*keys, closing=closing)
        self.show()
        return self.end


Pair = tuple[FakeEnv, Recording, Process, Lane]


@pytest.fixture
def pair() -> Pair:
    """A store, a process that reads, and a lane file of another."""
    env, store = world()
    return env, store, Process(store, env), Lane(Process(store, env), store)


def slots_of(process: Process) -> list[Slot]:
    listing, seen = run(list_and_root(process.place, process.register))
    return unfolded(listing, seen.root)


def reads(store: Recording) -> list[Request]:
    return [call for call in store.calls if isinstance(call, Get) and call.name.endswith("/lane")]


# --- reading -----------------------------------------------------------------------------------------------------------


def test_a_reader_sees_whole_frames_and_stops_at_the_first_that_is_not(pair: Pair) -> None:
    _, _, process, lane = pair
    assert process.keys() == []
    lane.add("a", "b")
    lane.add("c")
    assert process.keys() == ["a", "b", "c"]
    torn = lane.frame("d")
    for cut in (1, 5, 20):
        lane.show(torn[:cut])
        assert process.keys() == ["a", "b", "c"]
        assert Process(process.place.store, process.env).keys() == ["a", "b", "c"]
    lane.show(torn)
    assert process.keys() == ["a", "b", "c", "d"]


def test_nothing_new_is_one_small_read_and_the_same_snapshot(pair: Pair) -> None:
    _, store, process, lane = pair
    lane.add("a")
    first = process.open()
    store.forget()
    assert process.open() is first
    (read,) = reads(store)
    assert read.span is not None
    assert read.span[0] == lane.end
    assert store.kinds() == ["list", "get", "get"]


def test_only_what_is_new_is_read_and_decoded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    _, store, process, lane = pair
    for number in range(50):
        lane.add(f"k{number:02}")
        process.open()
    decoded: list[int] = []
    real = tails.decode_frames
    monkeypatch.setattr(tails, "decode_frames", lambda *given: decoded.append((it := real(*given)).count) or it)
    start = lane.end
    lane.add("new")
    store.forget()
    assert process.keys()[-1] == "new"
    assert decoded == [1]
    assert [read.span[0] for read in reads(store) if read.span] == [start]
    assert len(slots_of(process)) < 10, "small pieces grow together"


def test_long_tails_are_read_in_pieces_and_without_a_cache(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    _, store, process, lane = pair
    monkeypatch.setattr(tails, "_FIRST_BYTES", 100)
    monkeypatch.setattr(tails, "_LOOK_BYTES", 100)
    monkeypatch.setattr(tails, "_MOST_BYTES", 500)
    keys = [f"k{number:03}" for number in range(60)]
    for key in keys:
        lane.body += lane.frame(key)
    lane.show()
    slots = slots_of(process)
    assert len(slots) > 5
    assert [slot.start for slot in slots if isinstance(slot, FileSlot)] == [HEADER_BYTES, *(s[1] for s in slots[:-1])]
    assert segments_in(slots) == 60
    process.place.caches.segments.clear()
    assert process.keys() == keys
    store.set(lane.name, lane.body[: slots[0][1]])
    process.place.caches.segments.clear()
    assert Process(store, process.env).keys() == keys[: slots[0].frames]  # type: ignore[attr-defined]


def test_a_frame_larger_than_a_read_is_read_whole(pair: Pair) -> None:
    _, _, process, lane = pair
    keys = [f"{number:04}" + "x" * 900 for number in range(300)]
    lane.add("a")
    lane.body += lane.frame(*keys)
    lane.add("z")
    assert process.keys() == sorted(["a", *keys, "z"])


def test_what_another_fold_covers_within_a_piece_is_cut_off(pair: Pair) -> None:
    env, store, process, lane = pair
    first = lane.add("a")
    lane.add("b")
    lane.add("c")
    process.open()
    folder = Process(store, env)
    lane_body, lane.body = lane.body, lane.body[:first]
    lane.show()
    folder.fold()
    lane.body = lane_body
    lane.show()
    for cached in (True, False):
        if not cached:
            process.place.caches.segments.clear()
        slots = slots_of(process)
        assert slots[0].start == first  # type: ignore[attr-defined]
        snapshot = process.open()
        assert sorted(snapshot.overlay) == ["a", "b", "c"]
        assert segments_in(slots) == 2


def test_a_file_that_is_gone_sends_the_reader_to_the_root(pair: Pair) -> None:
    env, store, process, lane = pair
    lane.add("a", closing=True)
    folder = Process(store, env)
    gone = False

    async def swept(request: Request) -> None:
        """Between the listing and the read of the file: folded, and 30 s later deleted."""
        nonlocal gone
        if isinstance(request, Get) and request.name == lane.name and not gone:
            gone = True
            store.before = None
            await folder.folded()
            store.drop(lane.name)

    store.before = swept
    assert process.keys() == ["a"]
    assert gone


def test_a_newer_format_is_told(pair: Pair) -> None:
    _, store, process, lane = pair
    head = bytearray(lane.body[:28])
    head[4] = 9
    store.set(lane.name, bytes(head) + zlib.crc32(bytes(head)).to_bytes(4))
    with pytest.raises(UnknownFormat):
        process.open()


def test_new_since_needs_the_same_past() -> None:
    one, two = FileSlot("w1", 50, 32), FileSlot("w1", 90, 32)
    assert new_since([one], [one]) == []
    (rest,) = new_since([one], [two]) or ()
    assert (rest, rest.start) == (("w1", 90), 50)
    assert new_since([two], [one]) is None
    assert new_since([("w2", 1)], [one]) is None
    assert new_since([("w2", 1), one], [("w2", 1), ("w2", 2), one]) == [("w2", 2)]


# --- folding and sweeping ------------------------------------------------------------------------------------------------


def test_a_fold_moves_the_watermark_to_the_end_of_what_it_read(pair: Pair) -> None:
    _, _, process, lane = pair
    lane.add("a")
    lane.add("b", "a")
    sums = sum(map(record_sum, process.open().overlay.values()))
    lane.show(b"torn, by a process that died")
    report = process.fold()
    assert (report.segments, report.deltas) == (2, 3)
    root = run(process.register.read()).root
    assert root.watermarks == {lane.lane: lane.end}
    assert sum(map(record_sum, root.inline)) == sums
    assert slots_of(process) == []
    lane.show()
    lane.add("c")
    assert process.fold().deltas == 1
    assert process.keys() == ["a", "b", "c"]


def test_a_fold_takes_a_part_of_a_long_lane(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    env, store, process, lane = pair
    monkeypatch.setattr(tails, "_FIRST_BYTES", 200)
    monkeypatch.setattr(tails, "_LOOK_BYTES", 200)
    monkeypatch.setattr(tails, "_MOST_BYTES", 200)
    monkeypatch.setattr(fold_module, "_BYTES_PER_FOLD", 400)
    for number in range(40):
        lane.body += lane.frame(f"k{number:02}")
    lane.show()
    report, read = run(process.folded())
    assert 2 <= report.deltas < 20
    assert read.left
    assert run(process.register.read()).root.watermarks[lane.lane] < lane.end
    rounds = run(Compactor(Process(store, env).place).round(stay=False, insist=True))
    assert rounds.fold.deltas == 40 - report.deltas
    assert len(process.keys()) == 40


def test_a_leader_that_folds_nothing_is_replaced_though_the_lane_grows(pair: Pair) -> None:
    env, store, process, lane = pair
    lane.add("a")
    run(process.folded(stay=True))
    other = Process(store, env)
    for number in range(20):
        lane.add(f"b{number}")
        env.advance(1)
        report, _ = run(fold_module.fold(other.place, other.register, other.leadership, stay=True))
        if report.published:
            break
    assert 14 < number < 18


def test_a_closing_frame_closes_the_lane(pair: Pair) -> None:
    _, _, process, lane = pair
    lane.add("a", closing=True)
    process.fold()
    assert run(process.register.read()).root.closed == (lane.lane,)


def test_depth_is_by_bytes_and_the_count_by_frames(pair: Pair) -> None:
    _, _, process, lane = pair
    for number in range(100):
        lane.body += lane.frame(f"k{number:02}")
    lane.show()
    slots = slots_of(process)
    assert (segments_in(slots), depth_of(slots)) == (100, 1)
    process.open()
    assert process.reader.log_depth == 1


def test_a_frame_that_cannot_be_decoded_is_passed_over_and_named(pair: Pair) -> None:
    _, _, process, lane = pair
    lane.add("a")
    bad = b"\x95not a record at all"
    lane.body += encode_frame(lane_salt(lane.lane), lane.end, bad, 1)
    start = lane.end
    lane.add("b")
    found = run(fetch(process.place, slots_of(process)))
    assert [type(piece) for piece in found] == [Stretch, Broken, Stretch]
    snapshot = process.open()
    assert len(snapshot.broken) == 1
    report = process.fold()
    assert (report.quarantined, report.deltas) == (1, 2)
    root = run(process.register.read()).root
    assert [item.name for item in root.quarantine] == [lane.name]
    assert root.watermarks[lane.lane] == lane.end > start
    held = run(find_uses(process.place, process.register, ["blob/" + "0" * 32]))
    assert held.held_until_ms > 0, "what it named is not known: nothing from before may go"


def test_one_bad_frame_among_many_is_found_without_reading_all_of_them_again(pair: Pair) -> None:
    _, _, _, lane = pair
    for number in range(2000):
        lane.body += (
            encode_frame(lane_salt(lane.lane), lane.end, b"\x95no record", 1) if number == 1234 else lane.frame("k")
        )
    frames = decode_frames(lane.body[HEADER_BYTES:], lane.lane, HEADER_BYTES)
    assert (frames.count, len(frames.records), len(frames.broken)) == (2000, 1999, 1)
    assert frames.broken[0].end == frames.ends[1234]
    assert [frames.upto[at] for at in (1233, 1234, 1235)] == [1234, 1234, 1235]
