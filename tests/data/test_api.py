"""The data model as callers see it: put, get, versions, delete, rename, as_of; what each costs; both faces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import swampstore
from swampstore import (
    BelowHorizon,
    FileSource,
    Misuse,
    Model,
    NotFound,
    NotNumbered,
)
from swampstore.client.data_blocking import DataItem
from swampstore.errors import StoreUnavailable
from swampstore.stores.base import Get, Put, Request
from swampstore.values.data import id_key, meta_path, raw_path
from swampstore.values.data_version import DataVersion
from tests.data.desk import PLACES, Desk


def numbers(versions: list[DataVersion]) -> list[int | None]:
    return [version.ordinal for version in versions]


everywhere = pytest.mark.parametrize("settle", PLACES.values(), ids=PLACES)


# --- putting and reading ---------------------------------------------------------------------------------------------


@everywhere
def test_a_version_is_the_same_wherever_it_lies(desk: Desk, state: DataItem, settle: Callable[[Desk], object]) -> None:
    ack = state.put(
        b"contents",
        content_type="text/plain",
        tags={"type": "report", "env": "prod"},
        lifetime="30d",
        keep=5,
        owner={"ownerType": "model-method", "ownerRef": "run"},
        streaming=True,
        extra={"future": [1, {"a": True}]},
    )
    settle(desk)
    found = state.get()
    assert found is not None
    assert (found.model, found.name, found.id) == (Model("aws/ec2", "web"), "state", ack.id)
    assert (found.size, found.content_type, found.lifetime, found.keep) == (8, "text/plain", "30d", "5")
    assert found.tags == {"type": "report", "env": "prod"}
    assert found.owner == {"ownerType": "model-method", "ownerRef": "run"}
    assert (found.streaming, found.lifecycle, found.extra) == (True, "active", {"future": [1, {"a": True}]})
    assert found.expires == found.created + 30 * 24 * 3600 * 1000
    assert found.pending == (found.ordinal is None) == (settle is PLACES["pending"])
    assert state.read() == state.read(ack.id) == b"contents"
    assert b"".join(state.read_chunks()) == b"contents"
    assert [version.describe() for version in state.versions()] == [found.describe()]
    if found.ordinal:
        assert found.ordinal == 1
        assert state.read(1) == b"contents"
        assert desk.ns.read(found.key) == b"contents"
    assert desk.ns.list("data/").entries == ([] if found.pending else desk.ns.list("data/aws/ec2/web/state/1/").entries)


def test_large_contents_from_a_file(desk: Desk, state: DataItem, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"0123456789" * 100_000)
    state.put(FileSource(file))
    assert state.read() == file.read_bytes()
    desk.ns.compact()
    assert b"".join(state.read_chunks(1)) == file.read_bytes()


def test_the_newest_first_pending_before_numbered(desk: Desk, state: DataItem) -> None:
    for data in (b"1", b"2"):
        state.put(data)
    desk.ns.compact()
    desk.env.advance(1)
    third, fourth = state.put(b"3"), state.put(b"4")
    assert numbers(state.versions()) == [None, None, 2, 1]
    assert [version.id for version in state.versions(2)] == [fourth.id, third.id]
    assert state.read() == b"4"


def test_an_ordinal_at_once(desk: Desk, state: DataItem) -> None:
    assert [state.put(b"x", ordinal=True).ordinal for _ in range(3)] == [1, 2, 3]
    assert desk.another().data("aws/ec2:web", "state").put(b"x", ordinal=True).ordinal == 4
    assert state.put(b"x").ordinal is None


def test_every_one_of_many_who_ask_at_once_gets_theirs(tmp_path: Path) -> None:
    async def play() -> list[int | None]:
        stores = [await swampstore.open_async(str(tmp_path / "store"), create=True) for _ in range(4)]
        items = [store.namespace("ops").data("t:m", "n") for store in stores for _ in range(3)]
        acks = await asyncio.gather(*(item.put(b"x", ordinal=True) for item in items))
        for store in stores:
            await store.close()
        return [ack.ordinal for ack in acks]

    assert sorted(number or 0 for number in asyncio.run(play())) == list(range(1, 13))


def test_no_number_in_time_is_an_error_that_says_what_to_ask_for(desk: Desk, state: DataItem) -> None:
    async def refuse(request: Request) -> None:
        if isinstance(request, Put) and request.name == "ns/root":
            raise StoreUnavailable("not now")

    desk.store.before = refuse
    with pytest.raises(NotNumbered) as caught:
        state.put(b"x", ordinal=True)
    desk.store.before = None
    found = state.get(caught.value.id)
    assert found is not None
    assert found.pending


def test_an_expired_version_is_gone_at_once(desk: Desk, state: DataItem) -> None:
    state.put(b"stays")
    desk.ns.compact()
    ack = state.put(b"goes", lifetime="1h")
    assert state.read() == b"goes"
    desk.env.advance(3601)
    assert state.read() == b"stays"
    desk.ns.compact()
    assert (state.read(), state.get(ack.id), state.get(2), numbers(state.versions())) == (b"stays", None, None, [1])


def test_what_is_not_there(desk: Desk, state: DataItem) -> None:
    assert (state.get(), state.get(1), state.get("0" * 48), state.versions()) == (None, None, None, [])
    for call in (state.read, state.delete, lambda: state.rename("new"), lambda: next(state.read_chunks())):
        with pytest.raises(NotFound):
            call()


def test_neighbours_in_key_order_are_not_mixed_up(desk: Desk) -> None:
    """Names that sort between an item's own keys and its paths, and an item that lies among the versions of another."""
    names = ["a", "a-b", "a b", "a.1", "a!"]
    items = [desk.ns.data("t/x:m", name) for name in names]
    items.append(desk.ns.data(Model("t/x/m", "a"), "1"))  # data/t/x/m/a/1/<N>/raw
    for turn in range(2):
        for number, one in enumerate(items):
            one.put(f"{number}-{turn}".encode())
        desk.ns.compact()
    for number, one in enumerate(items):
        assert one.read() == f"{number}-1".encode()
        assert numbers(one.versions()) == [2, 1]
    found = list(desk.ns.search_data(latest_only=False))
    assert len(found) == 2 * len(items)
    assert len(list(desk.ns.search_data(model_type="t/x"))) == len(names)


# --- as of -----------------------------------------------------------------------------------------------------------


@everywhere
def test_as_of(desk: Desk, state: DataItem, settle: Callable[[Desk], object]) -> None:
    times = []
    for number in range(3):
        times.append(desk.env.wall)
        state.put(str(number))
        desk.env.advance(10)
        settle(desk)
    assert [state.read(as_of=moment) for moment in times] == [b"0", b"1", b"2"]
    assert state.get(as_of=times[0] - 1) is None
    assert state.read(as_of=datetime.fromtimestamp(times[1] / 1000, UTC)) == b"1"
    assert state.read(as_of=desk.env.wall + 10**12) == b"2"
    assert state.get(as_of=-(10**15)) is None
    with pytest.raises(Misuse):
        state.get(1, as_of=times[1])
    for moment in ("yesterday", 1.5, True, 1 << 70):
        with pytest.raises(Misuse):
            state.get(as_of=moment)  # type: ignore[arg-type]


def test_below_the_kept_horizon_is_an_error_and_not_absence(desk: Desk, state: DataItem) -> None:
    before = desk.env.wall - 1
    first = desk.env.wall
    for _ in range(3):
        state.put(b"x", lifetime="1h")
        desk.env.advance(10)
    state.put(b"kept")
    kept = desk.env.wall
    desk.ns.compact()
    assert state.get(as_of=before) is None
    desk.env.advance(4000)
    assert state.read(as_of=kept) == b"kept"
    for moment in (before, first, kept - 1):
        with pytest.raises(BelowHorizon, match="removed"):
            state.get(as_of=moment)
    state.delete()
    desk.ns.compact()
    with pytest.raises(BelowHorizon):
        state.get(as_of=desk.env.wall)


# --- deleting --------------------------------------------------------------------------------------------------------


@everywhere
def test_deleting_one_version_and_all(desk: Desk, state: DataItem, settle: Callable[[Desk], object]) -> None:
    acks = [state.put(str(number)) for number in range(3)]
    settle(desk)
    done = state.delete(acks[2].id)
    assert [version.id for version in done.removed] == [acks[2].id]
    assert state.read() == b"1"
    with pytest.raises(NotFound):
        state.delete(acks[2].id)
    settle(desk)
    assert [version.id for version in state.versions()] == [acks[1].id, acks[0].id]
    assert len(state.delete().removed) == 2
    assert (state.get(), state.versions(), list(desk.ns.search_data())) == (None, [], [])
    desk.ns.compact()
    assert (state.get(), state.versions(), list(desk.ns.search_data())) == (None, [], [])
    assert desk.ns.list("data/").entries == []
    assert state.put(b"again", ordinal=True).ordinal == (1 if settle is PLACES["pending"] else 4)


def test_a_deletion_that_saw_it_pending_holds_when_it_was_numbered_meanwhile(desk: Desk, state: DataItem) -> None:
    state.put(b"stays")
    ack = state.put(b"goes")
    other = desk.another()

    async def number_it(request: Request) -> None:
        if isinstance(request, Put) and request.name.startswith("ns/log/"):
            desk.store.before = None
            other.compact()

    desk.store.before = number_it
    state.delete(ack.id)
    assert state.read() == b"stays"
    assert raw_path("data/aws/ec2/web/state", 2) in [entry.key for entry in desk.ns.list("data/")]
    desk.ns.compact()
    assert [entry.key for entry in desk.ns.list("data/")] == [
        meta_path("data/aws/ec2/web/state", 1),
        raw_path("data/aws/ec2/web/state", 1),
    ]


def test_what_is_put_after_the_look_survives_a_deletion_of_all(desk: Desk, state: DataItem) -> None:
    state.put(b"old")
    other = desk.another().data("aws/ec2:web", "state")

    async def put_more(request: Request) -> None:
        if isinstance(request, Put) and request.name.startswith("ns/log/"):
            desk.store.before = None
            other.put(b"new")

    desk.store.before = put_more
    state.delete()
    desk.ns.compact()
    assert state.read() == b"new"


# --- cost ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries", [0, 2000])
def test_a_put_is_one_create_and_nothing_else(desk: Desk, state: DataItem, entries: int) -> None:
    if entries:
        desk.ns.append([swampstore.Put(key=f"k/{number:05d}", data=b"x") for number in range(entries)])
        desk.ns.compact()
    state.put(b"first")
    desk.store.forget()
    state.put(b"x" * 1000)
    assert desk.store.kinds() == ["create"]
    assert desk.store.sent < 2000


def test_a_get_costs_the_snapshot_and_two_reads_of_a_run_when_cold_nothing_more_when_warm(
    desk: Desk, state: DataItem
) -> None:
    for number in range(3):
        state.put(str(number))
    desk.ns.compact()
    cold = desk.another().data("aws/ec2:web", "state")
    desk.store.forget()
    assert cold.get().ordinal == 3  # type: ignore[union-attr]
    assert sorted(desk.store.kinds()) == ["get", "get", "get", "list"]
    desk.store.forget()
    assert cold.get().ordinal == 3  # type: ignore[union-attr]
    assert cold.get(2).ordinal == 2  # type: ignore[union-attr]
    assert len(cold.versions()) == 3
    assert sorted(desk.store.kinds()) == ["get"] * 3 + ["list"] * 3


def test_a_fold_numbers_many_items_in_two_more_rounds(desk: Desk) -> None:
    for turn in range(2):
        for number in range(50):
            desk.ns.data("t:m", f"n{number}").put(b"x")
        if not turn:
            desk.ns.compact()
    folder = desk.another()
    desk.store.forget()
    from swampstore.env.blocking import run

    rounds = desk.store.rounds
    run(folder._core.compactor().fold_once(insist=True))
    shards = [call for call in desk.store.calls if isinstance(call, Get) and "/shard/" in call.name]
    assert len(shards) == 2  # the index and a block, for fifty items
    assert desk.store.rounds - rounds == 1 + 1 + 2 + 1  # list and root, segments, the look-up, the CAS


def test_ids_are_found_by_point_look_ups(desk: Desk, state: DataItem) -> None:
    ack = state.put(b"x")
    desk.ns.compact()
    assert state.get(ack.id).ordinal == 1  # type: ignore[union-attr]
    desk.store.forget()
    state.get(ack.id)
    assert sorted(desk.store.kinds()) == ["get", "list"]
    record = desk.store.raw("ns/root")
    assert id_key("data/aws/ec2/web/state", ack.version).encode() not in record  # it lies in a shard


# --- the other face --------------------------------------------------------------------------------------------------


def test_the_asyncio_face() -> None:
    async def play() -> None:
        async with await swampstore.open_async("memory://data-aio") as store:
            ns = store.namespace("ops")
            item = ns.data("t:m", "n")
            assert (item.name, item.model) == ("n", Model("t", "m"))
            ack = await item.put(b"one", ordinal=True)
            await item.put(b"two")
            assert ack.ordinal == 1
            assert await item.read() == b"two"
            assert (await item.get(1)).id == ack.id  # type: ignore[union-attr]
            assert [part async for part in item.read_chunks(1)] == [b"one"]
            assert len(await item.versions()) == 2
            await item.rename("m")
            assert [found.name async for found in ns.search_data(model="t:m")] == ["m"]
            assert len((await item.delete()).removed) == 3

    asyncio.run(play())
