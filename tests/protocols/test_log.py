"""Reading the log: gaps, pages, segments that vanish or are broken, a lost root."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.errors import CorruptObject, Damaged, SnapshotExpired, StoreUnavailable, UnknownFormat
from swampstore.limits import READ_RESTARTS
from swampstore.protocols.log import SegmentGone, fetch, list_and_root, oldest_ms, unfolded
from swampstore.stores.base import Get, List, Request
from swampstore.testing.env import FakeEnv
from swampstore.values.frame import Kind, pack
from swampstore.values.root import Root
from swampstore.values.segment import SegmentHeader, encode_segment
from tests.protocols.support import Process, Recording, world


@pytest.fixture
def two() -> tuple[FakeEnv, Recording, Process, Process]:
    """Clocks, store, a writer and a reader of its own caches."""
    env, store = world()
    return env, store, Process(store, env), Process(store, env)


Two = tuple[FakeEnv, Recording, Process, Process]


def slot_name(process: Process, slot: int) -> str:
    lane = process.put("lane?").lane
    return f"ns/log/{lane}/{slot:016x}"


# --- gaps -------------------------------------------------------------------------------------------------------------


def test_what_lies_behind_a_gap_is_not_yet_read(two: Two) -> None:
    _, store, writer, reader = two
    acks = [writer.put(f"k{n}") for n in range(5)]
    name = f"ns/log/{acks[2].lane}/{3:016x}"
    held = store.raw(name)
    store.drop(name)
    assert reader.keys() == ["k0", "k1"]
    store.set(name, held)
    assert reader.keys() == ["k0", "k1", "k2", "k3", "k4"]


def test_one_lanes_gap_is_not_anothers(two: Two) -> None:
    env, store, writer, reader = two
    other = Process(store, env)
    for n in range(3):
        ack = writer.put(f"a{n}")
        other.put(f"b{n}")
    store.drop(f"ns/log/{ack.lane}/{2:016x}")
    assert reader.keys() == ["a0", "b0", "b1", "b2"]


def test_past_the_watermark_the_log_begins_at_the_next_slot(two: Two) -> None:
    _, store, writer, reader = two
    ack = writer.put("a")
    writer.put("b")
    assert writer.fold().segments == 2
    store.drop(*store.names("ns/log/"))
    writer.put("c")
    writer.put("d")
    assert reader.keys() == ["a", "b", "c", "d"]
    assert reader.open().slots == ((ack.lane, 3), (ack.lane, 4))
    assert reader.open().tail(ack.lane) == 4
    assert reader.open().tail("s00") == 0


def test_a_gap_right_behind_the_watermark_hides_the_rest(two: Two) -> None:
    _, store, writer, reader = two
    ack = writer.put("a")
    writer.fold()
    writer.put("b")
    writer.put("c")
    store.drop(f"ns/log/{ack.lane}/{2:016x}")
    assert reader.keys() == ["a"]


def test_no_root_and_a_log_that_does_not_begin_at_one_is_damage(two: Two) -> None:
    _, store, writer, reader = two
    ack = writer.put("a")
    writer.put("b")
    store.drop(f"ns/log/{ack.lane}/{1:016x}")
    with pytest.raises(Damaged, match="begins at slot 2") as caught:
        reader.open()
    assert "backup" in caught.value.hint
    with pytest.raises(Damaged):
        writer.fold()
    assert "ns/root" not in store.names()


def test_the_root_lost_after_a_fold_is_damage(two: Two) -> None:
    _, store, writer, reader = two
    writer.put("a")
    writer.fold()
    store.drop(*store.names("ns/log/"), "ns/root")
    writer.put("b")
    with pytest.raises(Damaged):
        reader.open()


def test_segments_of_retired_lanes_are_ignored(two: Two) -> None:
    _, _, writer, _ = two
    ack = writer.put("a")
    listing, seen = run(list_and_root(writer.place, writer.register))
    assert unfolded(listing, seen.root) == [(ack.lane, 1)]
    born = int(ack.lane[1:13], 16)
    assert unfolded(listing, Root(1, b"n", retire_floor=born)) == []
    assert unfolded(listing, Root(1, b"n", retire_floor=born - 1)) == [(ack.lane, 1)]


def test_foreign_names_in_the_log_are_set_aside(two: Two) -> None:
    _, store, writer, reader = two
    writer.put("a")
    store.set("ns/log/README", b"hello")
    store.set("ns/log/s00/notes.txt", b"hello")
    listing, _ = run(list_and_root(reader.place, reader.register))
    assert listing.foreign == ("ns/log/README", "ns/log/s00/notes.txt")
    assert listing.names == 3
    assert reader.keys() == ["a"]


def test_the_age_of_the_oldest_unfolded_slot(two: Two) -> None:
    env, store, writer, _ = two
    writer.put("a")
    writer.fold()
    env.advance(10)
    first = env.wall_ms()
    writer.put("b")
    env.advance(10)
    writer.put("c")
    Process(store, env).put("d")
    listing, seen = run(list_and_root(writer.place, writer.register))
    slots = unfolded(listing, seen.root)
    assert len(slots) == 3
    assert oldest_ms(listing, slots) == first
    assert oldest_ms(listing, []) == 0


def test_no_root_but_shards_is_damage_for_readers_and_for_the_fold(two: Two) -> None:
    env, store, writer, _ = two
    writer.put("a")
    store.set(f"ns/shard/{'0' * 32}", b"left behind by a lost root")
    with pytest.raises(Damaged, match="root has been lost"):
        writer.fold()
    assert "ns/root" not in store.names()
    store.set(f"gone/shard/{'0' * 32}", b"left behind by a lost root")
    with pytest.raises(Damaged, match="root has been lost"):
        Process(store, env, "gone").open()


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 7, 9])
def test_a_log_of_many_pages_is_read_whole(two: Two, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    env, store, writer, reader = two
    monkeypatch.setattr("swampstore.protocols.log.LIST_PAGE", 3)
    other = Process(store, env)
    for n in range(count):
        (writer if n % 2 else other).put(f"k{n}")
    store.forget()
    assert reader.keys() == [f"k{n}" for n in range(count)]
    pages = max(1, -(-count // 3)) + 1  # one more list: a namespace without a root, was it lost?
    assert store.kinds().count("list") == pages
    assert store.kinds().count("get") == count + 1


def test_a_log_without_end_is_refused(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, writer, reader = two
    monkeypatch.setattr("swampstore.protocols.log.LIST_PAGE", 2)
    monkeypatch.setattr("swampstore.protocols.log.LIST_PAGES", 2)
    for n in range(9):
        writer.put(f"k{n}")
    with pytest.raises(Damaged, match="more than 4 names"):
        reader.open()


@pytest.mark.parametrize(("seconds", "roots"), [(0.0, 1), (14.0, 1), (16.0, 2), (100.0, 2)])
@pytest.mark.parametrize("asleep", [False, True])
def test_a_slow_listing_is_paired_with_a_root_read_after_it(
    two: Two, monkeypatch: pytest.MonkeyPatch, seconds: float, roots: int, asleep: bool
) -> None:
    env, store, writer, reader = two
    monkeypatch.setattr("swampstore.protocols.log.LIST_PAGE", 2)
    for n in range(3):
        writer.put(f"k{n}")

    async def before(request: Request) -> None:
        if isinstance(request, List) and request.start_after:
            env.advance(seconds, asleep=asleep)

    store.before = before
    store.forget()
    reader.register.known_new = True
    run(list_and_root(reader.place, reader.register))
    assert [call for call in store.calls if isinstance(call, Get)] == [Get("ns/root")] * roots
    assert isinstance(store.calls[-1], Get) == (roots == 2)


# --- segments that vanish -----------------------------------------------------------------------------------------------


def test_a_segment_folded_and_deleted_under_the_readers_hand_starts_it_again(two: Two) -> None:
    _, store, writer, reader = two
    for n in range(3):
        ack = writer.put(f"k{n}")
    folded: list[int] = []

    async def before(request: Request) -> None:
        if isinstance(request, Get) and request.name.endswith("2") and not folded:
            folded.append(1)
            store.before = None
            await writer.folded()
            store.drop(*store.names("ns/log/"))

    store.before = before
    assert reader.keys() == ["k0", "k1", "k2"]
    assert folded
    assert reader.open().slots == ()
    assert reader.open().tail(ack.lane) == 3


def test_a_segment_that_is_gone_for_good_ends_the_read_after_a_bounded_number_of_tries(two: Two) -> None:
    _, store, writer, reader = two
    writer.put("a")
    gone = store.names("ns/log/")

    async def before(request: Request) -> None:
        if isinstance(request, List):  # listed, but never there
            store.set(gone[0], b"x")
        elif isinstance(request, Get) and request.name == gone[0]:
            store.drop(gone[0])

    store.before = before
    store.forget()
    with pytest.raises(SnapshotExpired):
        reader.open()
    assert store.kinds().count("list") == READ_RESTARTS + 1  # the first read looks for a lost root as well


def test_fetch_says_which_is_gone(two: Two) -> None:
    _, store, writer, reader = two
    ack = writer.put("a")
    store.drop(*store.names("ns/log/"))
    with pytest.raises(SegmentGone, match=ack.lane):
        run(fetch(reader.place, [(ack.lane, 1)]))


def test_a_store_that_does_not_answer_is_neither_gone_nor_broken(two: Two) -> None:
    _, store, writer, reader = two
    writer.put("a")

    async def before(request: Request) -> None:
        if isinstance(request, Get) and "/log/" in request.name:
            raise StoreUnavailable("503")

    store.before = before
    with pytest.raises(StoreUnavailable):
        reader.open()
    store.before = None
    assert reader.keys() == ["a"]


# --- segments that are broken ---------------------------------------------------------------------------------------------


def garbled(store: Recording, name: str) -> None:
    body = bytearray(store.raw(name))
    body[len(body) // 2] ^= 4
    store.set(name, bytes(body))


def test_a_broken_segment_is_skipped_and_named(two: Two) -> None:
    _, store, writer, reader = two
    acks = [writer.put(f"k{n}") for n in range(3)]
    name = f"ns/log/{acks[1].lane}/{2:016x}"
    garbled(store, name)
    store.forget()
    snapshot = reader.open()
    assert [entry.key for entry in run(snapshot.page()).entries] == ["k0", "k2"]
    assert [(broken.name, broken.slot) for broken in snapshot.broken] == [(name, (acks[1].lane, 2))]
    assert "checksum" in snapshot.broken[0].reason
    assert [call.name for call in store.calls if isinstance(call, Get)].count(name) == 2
    # It stays named while it is unfolded, also for a snapshot that builds on the last one.
    writer.put("k3")
    assert [broken.name for broken in reader.open().broken] == [name]


def test_one_cut_answer_is_no_damage(two: Two) -> None:
    _, store, writer, reader = two
    ack = writer.put("a")
    name = f"ns/log/{ack.lane}/{1:016x}"
    whole = store.raw(name)
    store.set(name, whole[:-3])

    async def after(request: Request) -> None:
        if isinstance(request, Get) and request.name == name:
            store.set(name, whole)

    store.after = after
    snapshot = reader.open()
    assert snapshot.broken == ()
    assert run(snapshot.get("a")) is not None


def test_two_reads_that_disagree_call_nothing_broken(two: Two) -> None:
    _, store, writer, reader = two
    ack = writer.put("a")
    name = f"ns/log/{ack.lane}/{1:016x}"
    count = 0

    async def before(request: Request) -> None:
        nonlocal count
        if isinstance(request, Get) and request.name == name:
            count += 1
            store.set(name, b"noise %d" % count)

    store.before = before
    with pytest.raises(CorruptObject):
        reader.open()
    with pytest.raises(CorruptObject):
        writer.fold()
    assert "ns/root" not in store.names()


@pytest.mark.parametrize("what", ["segment", "root"])
def test_a_newer_format_stops_readers_and_the_fold_and_changes_nothing(two: Two, what: str) -> None:
    _, store, writer, reader = two
    ack = writer.put("a")
    writer.fold()
    writer.put("b")
    if what == "segment":
        store.set(f"ns/log/{ack.lane}/{2:016x}", pack(Kind.SEGMENT, 2, b"?"))
    else:
        store.set("ns/root", pack(Kind.ROOT, 2, b"?"))
    before = {name: store.raw(name) for name in store.names()}
    with pytest.raises(UnknownFormat):
        reader.open()
    with pytest.raises(UnknownFormat):
        writer.fold()
    assert {name: store.raw(name) for name in store.names()} == before


def test_a_segment_in_anothers_place_is_broken(two: Two) -> None:
    _, store, writer, reader = two
    ack = writer.put("a")
    writer.put("b")
    store.set(f"ns/log/{ack.lane}/{2:016x}", store.raw(f"ns/log/{ack.lane}/{1:016x}"))
    assert [broken.slot for broken in reader.open().broken] == [(ack.lane, 2)]


def test_an_empty_segment_is_a_slot_like_any_other(two: Two) -> None:
    _, store, writer, reader = two
    store.set(f"ns/log/s00/{1:016x}", encode_segment(SegmentHeader("s00", 1, b"i" * 8, 5), 0, b""))
    writer.put("a")
    assert reader.keys() == ["a"]
    assert writer.fold().segments == 2
    assert reader.open().root.shared["s00"][0].slot == 1
