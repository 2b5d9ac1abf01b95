"""The retry layer: lost requests, lost answers, conflicts with oneself, and the end of patience."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import pytest

from swampstore.env.blocking import run
from swampstore.errors import (
    AlreadyExists,
    Misuse,
    NotFound,
    StaleWrite,
    StoreForbidden,
    StoreUnavailable,
    SwampError,
    Throttled,
    Undecided,
)
from swampstore.stores import settle
from swampstore.stores.base import Create, Get, Got, Head, List, NotModified, Overwrite, Put, Replace, Stored
from swampstore.stores.memory import MemoryStore
from swampstore.stores.retry import Retrying
from swampstore.testing.env import FakeEnv
from swampstore.testing.samples import Blocks
from swampstore.testing.wrappers import (
    After,
    Before,
    Call,
    CountingStore,
    Fault,
    FaultyStore,
    busy,
    in_order,
    lost_answer,
    lost_request,
    slow_down,
)

DEADLINE = 10.0
FORBIDDEN = Before(StoreForbidden("403"))


class World:
    """A retrying store over a faulty, counted one in memory, on fake clocks."""

    def __init__(self) -> None:
        self.env = FakeEnv(7)
        self.memory = MemoryStore(self.env)
        self.counted = CountingStore(self.memory)
        self.faulty = FaultyStore(self.counted)
        self.store = Retrying(self.faulty, self.env, deadline_s=DEADLINE)

    def faults(self, *faults: Fault, forever: Fault = None) -> None:
        self.faulty.script = in_order(itertools.chain(faults, itertools.repeat(forever)))

    def sent(self) -> list[str]:
        return [call.verb for call, _ in self.faulty.calls]

    def body(self, name: str) -> bytes:
        got = run(self.memory.get(name))
        assert isinstance(got, Got)
        return got.body


@pytest.fixture
def world() -> World:
    return World()


def seconds(world: World, since: float = 1000.0) -> float:
    return world.env.boot() - since


# --- create ----------------------------------------------------------------------------------------------------------


def test_a_create_without_faults_is_one_request(world: World) -> None:
    run(world.store.put("a", b"1", Create()))
    assert world.sent() == ["create"]


@pytest.mark.parametrize("fault", [lost_answer(), After(Throttled("503"))])
def test_a_create_whose_answer_was_lost_is_ours(world: World, fault: Fault) -> None:
    world.faults(fault)
    stored = run(world.store.put("a", b"1", Create()))
    assert world.sent() == ["create", "get"]
    assert stored.etag == run(world.memory.head("a")).info.etag
    assert seconds(world) == 0


@pytest.mark.parametrize("fault", [lost_request(), busy(), slow_down()])
def test_a_create_that_did_not_arrive_is_sent_again(world: World, fault: Fault) -> None:
    world.faults(fault)
    run(world.store.put("a", b"1", Create()))
    assert world.sent() == ["create", "get", "create"]
    assert world.body("a") == b"1"


def test_a_create_that_met_its_own_earlier_attempt_is_ours(world: World) -> None:
    """The client library, a proxy or the network sent it twice, and the second answer came back."""
    run(world.memory.put("a", b"1", Create()))
    run(world.store.put("a", b"1", Create()))
    assert world.sent() == ["create", "get"]


def test_a_create_whose_read_back_is_lost_too_is_settled_by_the_next_attempt(world: World) -> None:
    world.faults(lost_answer(), lost_request(), None, None)
    run(world.store.put("a", b"1", Create()))
    assert world.sent() == ["create", "get", "create", "get"]
    assert world.memory._writes == 1


@pytest.mark.parametrize("fault", [None, lost_answer(), busy()])
def test_a_create_that_another_won(world: World, fault: Fault) -> None:
    theirs = run(world.memory.put("a", b"theirs", Create()))
    world.faults(fault)
    with pytest.raises(AlreadyExists) as caught:
        run(world.store.put("a", b"ours", Create()))
    found = caught.value.found
    assert (found.body, found.etag) == (b"theirs", theirs.etag)
    assert world.body("a") == b"theirs"


@pytest.mark.parametrize(("mine", "theirs"), [(b"1", b"12"), (b"12", b"1"), (b"", b"1"), (b"1", b"")])
def test_bytes_that_begin_alike_are_not_equal(world: World, mine: bytes, theirs: bytes) -> None:
    run(world.memory.put("a", theirs, Create()))
    with pytest.raises(AlreadyExists):
        run(world.store.put("a", mine, Create()))


def test_no_more_than_the_limit_is_read_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "FOUND_BYTES", 10)
    run(world.memory.put("a", b"x" * 1000, Create()))
    with pytest.raises(AlreadyExists) as caught:
        run(world.store.put("a", b"x" * 20, Create()))
    assert (len(caught.value.found.body), caught.value.found.size) == (20, 1000)


def test_the_winner_is_deleted_before_the_read_back(world: World) -> None:
    run(world.memory.put("a", b"theirs", Create()))

    def deleted_meanwhile(call: Call) -> Fault:
        if call.verb == "get":
            run(world.memory.delete(["a"]))
        return None

    world.faulty.script = deleted_meanwhile
    run(world.store.put("a", b"ours", Create()))
    assert world.sent() == ["create", "get", "create"]
    assert world.body("a") == b"ours"


# --- the end of patience -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [Create(), Replace("m1")])
@pytest.mark.parametrize("fault", [lost_request(), lost_answer(), busy()])
def test_a_write_nobody_could_settle_is_undecided(world: World, when: Create | Replace, fault: Fault) -> None:
    if isinstance(when, Replace):
        run(world.memory.put("a", b"old", Create()))
    world.faulty.script = lambda call: lost_request() if call.verb == "get" else fault
    with pytest.raises(Undecided) as caught:
        run(world.store.put("a", b"1", when))
    assert caught.value.name == "a"
    assert isinstance(caught.value.__cause__, SwampError)
    assert caught.value.hint
    assert DEADLINE / 4 < seconds(world) <= DEADLINE
    assert 5 < len(world.sent()) < 60


def test_a_refusal_before_anything_could_land_is_that_refusal(world: World) -> None:
    world.faults(FORBIDDEN)
    with pytest.raises(StoreForbidden):
        run(world.store.put("a", b"1", Create()))
    assert world.sent() == ["create"]


@pytest.mark.parametrize("fault", [lost_request(), lost_answer()])
def test_a_refusal_after_a_lost_attempt_is_undecided(world: World, fault: Fault) -> None:
    world.faults(fault, forever=FORBIDDEN)
    with pytest.raises(Undecided) as caught:
        run(world.store.put("a", b"1", Create()))
    assert isinstance(caught.value.__cause__, StoreForbidden)


# --- replace -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def etag(world: World) -> str:
    return run(world.memory.put("root", b"0", Create())).etag


def test_a_replace_without_faults_is_one_request(world: World, etag: str) -> None:
    run(world.store.put("root", b"1", Replace(etag)))
    assert world.sent() == ["replace"]


def test_a_replace_whose_answer_was_lost_is_ours(world: World, etag: str) -> None:
    world.faults(lost_answer())
    stored = run(world.store.put("root", b"1", Replace(etag)))
    assert world.sent() == ["replace", "get"]
    assert stored.etag == run(world.memory.head("root")).info.etag


@pytest.mark.parametrize("fault", [lost_request(), busy(), slow_down(), Before(StaleWrite("412"))])
def test_a_replace_that_did_not_arrive_is_sent_again(world: World, etag: str, fault: Fault) -> None:
    world.faults(fault)
    run(world.store.put("root", b"1", Replace(etag)))
    assert world.sent() == ["replace", "get", "replace"]
    assert world.body("root") == b"1"


@pytest.mark.parametrize("fault", [None, lost_request(), busy()])
def test_a_replace_that_another_won(world: World, etag: str, fault: Fault) -> None:
    theirs = run(world.memory.put("root", b"theirs", Replace(etag)))
    world.faults(fault)
    with pytest.raises(StaleWrite) as caught:
        run(world.store.put("root", b"ours", Replace(etag)))
    assert (caught.value.found.body, caught.value.found.etag) == (b"theirs", theirs.etag)


def test_a_replace_of_what_is_gone(world: World, etag: str) -> None:
    run(world.memory.delete(["root"]))
    with pytest.raises(NotFound):
        run(world.store.put("root", b"1", Replace(etag)))


def test_a_conditional_body_may_not_be_streamed(world: World) -> None:
    for when in (Create(), Replace("e")):
        with pytest.raises(Misuse):
            run(world.store.put("a", Blocks(10), when))
    assert world.sent() == []


# --- unconditional calls ---------------------------------------------------------------------------------------------------


def test_every_unconditional_call_is_repeated(world: World) -> None:
    run(world.memory.put("a", b"1", Create()))
    store = world.store
    for work in (
        store.get("a"), store.head("a"), store.list(""), store.now(), store.put("b", b"1", Overwrite()),
        store.put("c", Blocks(10), Overwrite()), store.delete(["c"]),
    ):  # fmt: skip
        before = len(world.sent())
        world.faults(lost_request(), slow_down(), lost_answer())
        run(work)
        assert len(world.sent()) - before == 4
    assert [item.name for item in run(world.memory.list("")).items] == ["a", "b"]
    assert isinstance(run(store.get("a", if_none_match="m1")), NotModified)


def test_unconditional_calls_give_up_at_the_deadline(world: World) -> None:
    world.faults(forever=slow_down())
    for work in (world.store.get("a"), world.store.now(), world.store.put("a", b"1", Overwrite())):
        started = world.env.boot()
        with pytest.raises(Throttled) as caught:
            run(work)
        assert DEADLINE / 4 < seconds(world, started) <= DEADLINE
        assert any("attempts" in note for note in caught.value.__notes__)


def test_what_is_decided_is_not_repeated(world: World) -> None:
    with pytest.raises(NotFound):
        run(world.store.get("no"))
    world.faults(FORBIDDEN)
    with pytest.raises(StoreForbidden):
        run(world.store.delete(["a"]))
    assert world.sent() == ["get", "delete"]


def test_pauses_differ_between_clients() -> None:
    spent = []
    for seed in range(8):
        world = World()
        world.env = FakeEnv(seed)
        world.store = Retrying(world.faulty, world.env, deadline_s=DEADLINE)
        world.faults(*[slow_down()] * 5)
        with contextlib.suppress(NotFound):
            run(world.store.get("a"))
        spent.append(seconds(world))
    assert len(set(spent)) == 8
    assert max(spent) < 0.05 * (2**5 - 1)


# --- many ------------------------------------------------------------------------------------------------------------------


def test_many_sends_only_the_undecided_again(world: World) -> None:
    run(world.memory.put("taken", b"theirs", Create()))
    requests = [
        Get("taken"), Get("no"), Put("lost answer", b"1", Create()), Put("lost request", b"2", Create()),
        Put("taken", b"3", Create()), Head("taken"), List("t"), Put("plain", b"4", Overwrite()),
    ]  # fmt: skip
    faults = {"lost answer": lost_answer(), "lost request": lost_request(), "plain": lost_request()}
    world.faulty.script = lambda call: faults.pop(call.names[0], None)
    outcomes = run(world.store.many(requests))
    kinds = [type(outcome).__name__ for outcome in outcomes]
    assert kinds == ["Got", "NotFound", "Stored", "Stored", "AlreadyExists", "Headed", "Page", "Stored"]
    later = [(call.verb, call.names[0]) for call, _ in world.faulty.calls[len(requests) :]]
    assert sorted(later) == [
        ("create", "lost request"), ("get", "lost answer"), ("get", "lost request"), ("get", "taken"),
        ("overwrite", "plain"),
    ]  # fmt: skip
    assert world.body("taken") == b"theirs"
    assert run(world.store.many([])) == []


def test_many_gives_up_part_by_part(world: World) -> None:
    world.faulty.script = lambda call: lost_request() if call.names[0].startswith("bad") else None
    outcomes = run(world.store.many([Get("bad/1"), Put("good", b"1", Create()), Put("bad/2", b"1", Create())]))
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, Stored, Undecided]
    assert seconds(world) <= DEADLINE


# --- all histories -----------------------------------------------------------------------------------------------------------


def histories(length: int) -> Iterator[tuple[Fault, ...]]:
    yield from itertools.product((None, lost_request(), lost_answer(), busy()), repeat=length)


def test_every_short_history_of_faults_ends_in_the_truth() -> None:
    """Whatever is lost in the first five requests: success means our bytes are there, a conflict that they are not."""
    for history in histories(5):
        for taken in (False, True):
            world = World()
            if taken:
                run(world.memory.put("a", b"theirs", Create()))
            world.faults(*history)
            try:
                run(world.store.put("a", b"ours", Create()))
                assert world.body("a") == b"ours"
                assert not taken
            except AlreadyExists:
                assert taken
            assert world.memory._writes == 1  # theirs or ours, and ours once
