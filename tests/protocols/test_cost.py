"""What things cost, counted at the store: the same whatever the size of the index."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from swampstore.env.blocking import run
from swampstore.stores.base import Create, Get, List, Put, Replace
from swampstore.testing.env import FakeEnv
from swampstore.values.entry import Blob, Meta, Record, put_record
from swampstore.values.root import NO_ROOT
from swampstore.values.run import RunBuilder
from swampstore.values.version import make_version
from tests.protocols.support import Process, Recording, world

SIZES = [
    pytest.param(1_000, id="1k"),
    pytest.param(100_000, id="100k"),
    pytest.param(1_000_000, id="1M", marks=pytest.mark.prove),
]
SHARD_RECORDS = 50_000


def entry(number: int) -> Record:
    meta = Meta(size=1000, at=Blob(f"{number:032x}"), sha256=number.to_bytes(4) * 8, tags={"type": "report"})
    return put_record(f"runs/{number:08d}/out.json", make_version(number + 1, b"w" * 12, 0), meta)


def filled(count: int) -> tuple[FakeEnv, Recording]:
    """A store whose namespace holds ``count`` entries in shards, as a merge would leave it."""
    env, store = world()
    maker = Process(store, env)
    shards = []
    for start in range(0, count, SHARD_RECORDS):
        part, name = maker.place.new_object("shard")
        builder = RunBuilder()
        for number in range(start, min(start + SHARD_RECORDS, count)):
            builder.add(entry(number))
        ref, data = builder.finish(f"shard/{part}")
        store.set(name, data)
        shards.append(ref)
    seen = run(maker.register.read())
    run(maker.register.publish(seen, replace(NO_ROOT, shards=tuple(shards))))
    store.forget()
    return env, store


_made: dict[int, tuple[FakeEnv, Recording]] = {}


@pytest.fixture
def index(request: pytest.FixtureRequest) -> tuple[FakeEnv, Recording]:
    count: int = request.param
    if count not in _made:
        _made[count] = filled(count)
    env, store = _made[count]
    store.drop(*store.names("ns/log/"))
    store.forget()
    return env, store


@pytest.mark.parametrize("index", SIZES, indirect=True)
def test_an_append_is_one_create_and_its_bytes_do_not_know_the_index(index: tuple[FakeEnv, Recording]) -> None:
    env, store = index
    process = Process(store, env)
    process.put("warm-up")
    store.forget()
    sizes = set()
    for n in range(50):
        process.put(f"k/{n:02d}", data=b"x" * 100)
        sizes.add(store.sent)
        (call,) = store.calls
        assert isinstance(call, Put)
        assert call.when == Create()
        assert call.name.startswith("ns/log/w")
        store.forget()
    assert max(sizes) < 400


@pytest.mark.parametrize("index", SIZES, indirect=True)
def test_a_strict_read_of_nothing_new_is_two_requests_in_one_round(index: tuple[FakeEnv, Recording]) -> None:
    env, store = index
    reader, writer = Process(store, env), Process(store, env)
    reader.open()
    for known in range(3):
        store.forget()
        reader.open()
        etag = store.calls[1].if_none_match if isinstance(store.calls[1], Get) else None
        assert store.calls == [List("ns/log/"), Get("ns/root", if_none_match=etag)]
        assert etag
        assert (store.rounds, store.received) == (1, 0)
        for n in range(known + 1):  # then k new segments: k more requests, in one more round
            writer.put(f"new/{known}/{n}")
        store.forget()
        reader.open()
        assert store.kinds() == ["list", "get", *["get"] * (known + 1)]
        assert store.rounds == 2


def test_a_read_of_an_empty_namespace_is_two_requests_and_once_a_look_for_a_lost_root() -> None:
    env, store = world()
    reader = Process(store, env)
    for extra in (["list"], [], []):
        store.forget()
        reader.open()
        assert store.kinds() == ["list", "get", *extra]


def test_a_read_that_may_be_old_costs_nothing() -> None:
    env, store = world()
    reader, writer = Process(store, env), Process(store, env)
    writer.put("a")
    snapshot = reader.open()
    store.forget()
    env.advance(4)
    assert run(reader.reader.open(max_age=5)) is snapshot
    assert store.calls == []
    env.advance(2)
    run(reader.reader.open(max_age=5))
    assert store.kinds() == ["list", "get"]


@pytest.mark.parametrize("index", SIZES, indirect=True)
def test_a_cold_point_look_up_is_three_rounds_and_under_a_megabyte(index: tuple[FakeEnv, Recording]) -> None:
    env, store = index
    for key, there in (("runs/00000777/out.json", True), ("runs/00000777/nothing", False), ("zzz", False)):
        reader = Process(store, env)
        store.forget()
        assert (run(reader.open().get(key)) is not None) == there
        assert store.rounds <= 3
        assert len(store.calls) <= 4
        assert store.received < 1_000_000
        store.forget()
        run(reader.open().get(key))  # warm: the blocks are held
        assert store.kinds() == ["list", "get"]


@pytest.mark.parametrize("index", SIZES, indirect=True)
def test_many_look_ups_take_as_many_rounds_as_one(index: tuple[FakeEnv, Recording]) -> None:
    env, store = index
    reader = Process(store, env)
    keys = [f"runs/{number:08d}/out.json" for number in range(0, 1000, 5)]
    snapshot = reader.open()
    store.forget()
    found = run(snapshot.get_many([*keys, "nothing"]))
    assert [key for key, one in found.items() if one is None] == ["nothing"]
    assert store.rounds == 2


@pytest.mark.parametrize("index", SIZES, indirect=True)
@pytest.mark.parametrize("count", [1, 7])
def test_a_small_fold_is_list_root_segments_and_one_cas(index: tuple[FakeEnv, Recording], count: int) -> None:
    env, store = index
    writer, folder = Process(store, env), Process(store, env)
    root_bytes = len(store.raw("ns/root"))
    for n in range(count):
        writer.put(f"k/{n}")
    store.forget()
    assert folder.fold().segments == count
    assert store.kinds() == ["list", "get", *["get"] * count, "replace"]
    assert {call.name for call in store.calls if isinstance(call, Put)} == {"ns/root"}
    assert isinstance(store.calls[-1], Put)
    assert isinstance(store.calls[-1].when, Replace)
    assert store.sent < root_bytes + 2000  # no shard is touched
    store.forget()
    assert not folder.fold().published  # nothing to fold: nothing is written
    assert store.kinds() == ["list", "get"]


@pytest.mark.parametrize("index", SIZES[:1], indirect=True)
def test_a_page_reads_little_more_than_it_shows(index: tuple[FakeEnv, Recording]) -> None:
    env, store = index
    reader = Process(store, env)
    snapshot = reader.open()
    store.forget()
    assert len(run(snapshot.page("runs/", limit=10))) == 10
    assert store.kinds() == ["get", "get"]  # the index and one block
