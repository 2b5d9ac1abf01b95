"""The fold: exact watermarks, conserved sums, quarantine, leadership; and that losing a race changes nothing."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.errors import Damaged
from swampstore.limits import LEADER_TTL_MS, SHARED_LANE_MEMORY, STORE_TIME_GRAIN_MS
from swampstore.stores.base import Put, Request
from swampstore.testing.env import FakeEnv
from swampstore.values.entry import Blob, Meta, Packed, Record, put_record, record_sum
from swampstore.values.names import shared_lane
from swampstore.values.root import SlotId
from swampstore.values.segment import SegmentHeader, encode_records, encode_segment
from swampstore.workers import fold as fold_module
from swampstore.workers.fold import fold
from swampstore.workers.report import FoldReport
from tests.protocols.support import Process, Recording, world

TTL_S = (LEADER_TTL_MS + STORE_TIME_GRAIN_MS) / 1000
Pair = tuple[FakeEnv, Recording, Process, Process]


@pytest.fixture
def pair() -> Pair:
    """Clocks, store, a writer and a folder."""
    env, store = world()
    return env, store, Process(store, env), Process(store, env)


def unforced(process: Process, *, stay: bool = True) -> FoldReport:
    return run(fold(process.place, process.register, process.leadership, stay=stay))[0]


def shared_segment(store: Recording, lane: str, slot: int, *records: Record) -> bytes:
    """A slot of a shared lane, as a commit leaves it; its write id."""
    write_id = slot.to_bytes(8)
    header = SegmentHeader(lane, slot, write_id, 5)
    store.set(f"ns/log/{lane}/{slot:016x}", encode_segment(header, len(records), encode_records(records)))
    return write_id


# --- what a fold publishes ------------------------------------------------------------------------------------------------


def test_watermarks_are_exact_and_every_record_is_there(pair: Pair) -> None:
    env, store, writer, folder = pair
    other = Process(store, env)
    for n in range(3):
        mine = writer.put(f"a{n}")
    theirs = other.put("b")
    sums = sum(record_sum(record) for record in writer.open().overlay.values())
    report = folder.fold()
    assert report == FoldReport(published=True, segments=4, deltas=4)
    root = run(folder.register.read()).root
    assert root.watermarks == {mine.lane: 3, theirs.lane: 1}
    assert sum(map(record_sum, root.inline)) == sums
    assert [record.key for record in root.inline] == ["a0", "a1", "a2", "b"]
    assert root.hlc == max(int.from_bytes(record.version[:8]) for record in root.inline)


def test_a_gap_is_never_folded_over(pair: Pair) -> None:
    _, store, writer, folder = pair
    for n in range(4):
        ack = writer.put(f"k{n}")
    name = f"ns/log/{ack.lane}/{3:016x}"
    held = store.raw(name)
    store.drop(name)
    assert folder.fold().segments == 2
    assert run(folder.register.read()).root.watermarks == {ack.lane: 2}
    assert not folder.fold().published
    store.set(name, held)
    assert folder.fold().segments == 2
    assert folder.keys() == ["k0", "k1", "k2", "k3"]


def test_a_fold_of_nothing_writes_nothing(pair: Pair) -> None:
    _, store, _, folder = pair
    assert folder.fold() == FoldReport()
    assert store.names() == []


def test_slots_folded_once_are_inert_for_ever(pair: Pair) -> None:
    _, store, writer, folder = pair
    ack = writer.put("a")
    folder.fold()
    writer.delete("a")
    folder.fold()
    assert store.names("ns/log/") == [f"ns/log/{ack.lane}/{slot:016x}" for slot in (1, 2)]
    assert not folder.fold().published
    assert folder.keys() == []


def test_many_segments_are_folded_in_parts(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, writer, folder = pair
    monkeypatch.setattr(fold_module, "SEGMENTS_PER_FOLD", 3)
    for n in range(8):
        writer.put(f"k{n}")
    reports = [folder.fold().segments for _ in range(4)]
    assert reports == [3, 3, 2, 0]
    assert len(folder.keys()) == 8


@pytest.mark.parametrize("limit", ["_DELTAS_PER_FOLD", "_BYTES_PER_FOLD"])
def test_a_long_log_is_never_read_whole_into_memory(pair: Pair, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    _, store, writer, folder = pair
    monkeypatch.setattr(fold_module, "SEGMENTS_PER_FETCH", 2)
    monkeypatch.setattr(fold_module, limit, 2 if limit == "_DELTAS_PER_FOLD" else 300)
    for n in range(10):
        writer.put(f"k{n}")
    store.forget()
    assert folder.fold().segments == 3
    assert store.kinds().count("get") == 1 + 4  # the root, two fetches of two
    while folder.fold().published:
        pass
    assert len(folder.keys()) == 10


def test_what_outgrows_the_root_becomes_a_run(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, writer, folder = pair
    monkeypatch.setattr(fold_module, "INLINE_LEVEL0_BYTES", 500)
    writer.put("a")
    assert not folder.fold().spilled
    writer.put(*(f"b{n:02d}" for n in range(20)))
    assert folder.fold().spilled
    root = run(folder.register.read()).root
    assert root.inline == ()
    assert [run_ref.count for run_ref in root.level0] == [21]
    writer.put("c")
    folder.fold()
    assert folder.keys() == ["a", *(f"b{n:02d}" for n in range(20)), "c"]


def test_a_shared_lane_keeps_the_write_ids_of_its_last_slots(pair: Pair) -> None:
    _, store, _, folder = pair
    lane = shared_lane(0)
    ids = {slot: shared_segment(store, lane, slot, folder.record(f"k{slot}")) for slot in range(1, 11)}
    folder.fold()
    root = run(folder.register.read()).root
    assert root.shared[lane] == tuple(SlotId(slot, ids[slot]) for slot in range(1, 11))
    for slot in range(11, SHARED_LANE_MEMORY + 20):
        ids[slot] = shared_segment(store, lane, slot)
    folder.fold()
    kept = run(folder.register.read()).root.shared[lane]
    assert len(kept) == SHARED_LANE_MEMORY
    assert kept[-1].slot == SHARED_LANE_MEMORY + 19
    assert all(item.id == ids[item.slot] for item in kept)


def test_closed_lanes_are_noted(pair: Pair) -> None:
    _, _, writer, folder = pair
    writer.put("a")
    last = run(writer.writer.append([writer.record("b")], closing=True))
    folder.fold()
    assert run(folder.register.read()).root.closed == (last.lane,)


def test_contents_are_counted(pair: Pair) -> None:
    _, _, writer, folder = pair

    def put(key: str, at: Blob | Packed) -> None:
        meta = Meta(size=1, at=at)
        run(writer.writer.append([put_record(key, writer.writer.new_version(), meta)]))
        folder.fold()

    pack, blob = "1" * 32, "2" * 32
    put("a", Packed(pack, 0, 1))
    put("b", Packed(pack, 1, 1))
    put("c", Blob(blob))
    root = run(folder.register.read()).root
    assert (root.packs, root.garbage) == ({pack: 2}, ())
    writer.delete("a", "c")
    folder.fold()
    root = run(folder.register.read()).root
    assert (root.packs, [item.name for item in root.garbage]) == ({pack: 1}, [f"blob/{blob}"])
    put("b", Blob("3" * 32))
    root = run(folder.register.read()).root
    assert root.packs == {}
    assert {item.name for item in root.garbage} == {f"blob/{blob}", f"pack/{pack}"}


# --- it would rather not publish ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["a record lost", "a record twice", "a value changed", "a drop not told", "a drop made up"]
)
def test_the_conservation_check_trips_on_every_tampering(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    _, store, writer, folder = pair
    writer.put("a")
    folder.fold()
    writer.put("a", "b", "c")
    real = fold_module.join_counted

    def tampered(table: dict[str, Record], records: list[Record]) -> tuple[list[Record], list[Record]]:
        dropped, made = real(table, records)
        if fault == "a record lost":
            table.pop("b")
        elif fault == "a record twice":
            table["b2"] = table["b"]
        elif fault == "a value changed":
            table["b"] = folder.record("b", b"something else")
        elif fault == "a drop not told":
            dropped.pop()
        else:
            dropped.append(table["b"])
        return dropped, made

    monkeypatch.setattr(fold_module, "join_counted", tampered)
    before = store.raw("ns/root")
    with pytest.raises(AssertionError, match="conserve"):
        folder.fold()
    assert store.raw("ns/root") == before
    monkeypatch.setattr(fold_module, "join_counted", real)
    assert folder.fold().published


def test_losing_the_race_changes_nothing_but_the_report(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    env, store, writer, folder = pair
    monkeypatch.setattr(fold_module, "INLINE_LEVEL0_BYTES", 0)
    rival = Process(store, env)
    writer.put("a")
    writer.put("b")

    async def before(request: Request) -> None:
        if isinstance(request, Put) and request.name == "ns/root":
            store.before = None
            await rival.folded()

    store.before = before
    report = folder.fold()
    assert report == FoldReport(raced=True)
    root = run(folder.register.read()).root
    assert root.version == 1
    assert len(root.level0) == 1
    assert len(store.names("ns/l0/")) == 2  # the loser's run is an orphan
    assert not folder.fold().published
    assert folder.keys() == ["a", "b"]


def test_a_zombie_that_wakes_up_loses_its_cas(pair: Pair) -> None:
    env, store, writer, zombie = pair
    rival = Process(store, env)
    writer.put("a")

    async def before(request: Request) -> None:
        if isinstance(request, Put) and request.name == "ns/root":
            store.before = None
            env.advance(3600)
            for key in ("b", "c"):  # the world has moved on meanwhile
                await writer.write(key)
                await rival.folded()

    store.before = before
    assert zombie.fold().raced
    assert run(rival.register.read()).root.version == 2
    assert zombie.keys() == ["a", "b", "c"]


# --- broken segments ------------------------------------------------------------------------------------------------------


def broken_second(store: Recording, writer: Process) -> str:
    acks = [writer.put(f"k{n}") for n in range(3)]
    name = f"ns/log/{acks[0].lane}/{2:016x}"
    store.set(name, b"noise")
    return name


def test_a_broken_segment_is_passed_over_and_named_in_one_cas(pair: Pair) -> None:
    env, store, writer, folder = pair
    name = broken_second(store, writer)
    now = env.wall_ms()
    report = folder.fold()
    assert (report.segments, report.quarantined) == (2, 1)
    root = run(folder.register.read()).root
    assert list(root.watermarks.values()) == [3]
    assert [(item.name, item.time) for item in root.quarantine] == [(name, now)]
    assert "too short" in root.quarantine[0].reason
    assert root.version == 1
    assert folder.keys() == ["k0", "k2"]
    assert store.raw(name) == b"noise"
    writer.put("k3")
    folder.fold()
    assert [item.name for item in run(folder.register.read()).root.quarantine] == [name]


def test_a_value_that_nobody_can_read_is_quarantined_and_stops_nobody(pair: Pair) -> None:
    _, store, writer, folder = pair
    writer.put("a")
    shared_segment(store, "s00", 1, Record("poison", writer.writer.new_version(), 0, 0, b"\xc1"))
    assert folder.fold().quarantined == 1
    assert folder.keys() == ["a"]


def test_more_broken_segments_than_the_list_holds_stop_the_fold(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    _, store, writer, folder = pair
    monkeypatch.setattr(fold_module, "QUARANTINE", 0)
    broken_second(store, writer)
    with pytest.raises(Damaged, match="broken segments") as caught:
        folder.fold()
    assert "what else writes" in caught.value.hint
    assert "ns/root" not in store.names()


# --- leadership -----------------------------------------------------------------------------------------------------------


def test_who_stays_leads_and_others_leave_it_alone(pair: Pair) -> None:
    env, store, writer, leader = pair
    writer.put("a")
    assert unforced(leader).published
    root = run(leader.register.read()).root
    assert root.leader is not None
    assert (root.leader.id, root.leader.epoch, root.epoch) == (leader.leadership.id, 1, 1)
    rival = Process(store, env)
    writer.put("b")
    assert unforced(rival).not_leader
    assert unforced(leader).published
    root = run(leader.register.read()).root
    assert root.epoch == 1


def test_no_progress_for_a_ttl_lets_another_take_over(pair: Pair) -> None:
    env, store, writer, leader = pair
    writer.put("a")
    unforced(leader)
    writer.put("b")
    rival = Process(store, env)
    assert unforced(rival).not_leader
    env.advance(TTL_S - 1)
    assert unforced(rival).not_leader
    env.advance(1)
    assert unforced(rival).published
    root = run(rival.register.read()).root
    assert root.leader is not None
    assert (root.leader.id, root.epoch) == (rival.leadership.id, 2)
    writer.put("c")
    assert unforced(leader).not_leader  # it reads that it no longer leads


def test_progress_is_the_heartbeat(pair: Pair) -> None:
    env, store, writer, leader = pair
    rival = Process(store, env)
    writer.put("first")
    assert unforced(leader).published
    for n in range(5):
        writer.put(f"k{n}")
        assert unforced(rival).not_leader
        env.advance(TTL_S - 1)
        assert unforced(leader).published


def test_an_idle_leader_is_not_replaced(pair: Pair) -> None:
    env, store, writer, leader = pair
    writer.put("a")
    unforced(leader)
    env.advance(3600)
    assert unforced(Process(store, env)).not_leader


def test_a_one_shot_takes_the_roots_age_from_one_answer_and_leads_nobody(pair: Pair) -> None:
    env, store, writer, leader = pair
    writer.put("a")
    unforced(leader)
    writer.put("b")
    env.advance(TTL_S - 1)
    assert unforced(Process(store, env), stay=False).not_leader
    env.advance(1)
    assert unforced(Process(store, env), stay=False).published
    root = run(leader.register.read()).root
    assert root.leader is None
    assert root.epoch == 2


def test_insisting_takes_over_at_once(pair: Pair) -> None:
    env, store, writer, leader = pair
    writer.put("a")
    unforced(leader)
    writer.put("b")
    assert Process(store, env).fold().published
