"""That the wrappers do what tests rely on: counts are exact, delays overlap, faults hit before or after the effect."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.errors import AlreadyExists, NotFound, StoreUnavailable
from swampstore.stores.base import Create, Get, Head, List, Overwrite, Put, Replace, Stored
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.testing.samples import Blocks
from swampstore.testing.wrappers import (
    Call,
    CountingStore,
    FaultyStore,
    LatencyStore,
    in_order,
    lost_answer,
    lost_request,
)


def test_counts() -> None:
    store = CountingStore(MemoryStore())
    etag = run(store.put("a", b"123", Create())).etag
    run(store.put("a", b"4567", Replace(etag)))
    run(store.put("b", Blocks(1000), Overwrite()))
    run(store.get("a", span=(0, 2)))
    run(store.head("a"))
    run(store.list("x/"))
    run(store.now())
    run(store.delete([f"d{n}" for n in range(2001)]))
    with pytest.raises(AlreadyExists):
        run(store.put("a", b"8", Create()))
    assert store.requests == {
        "create": 2, "replace": 1, "overwrite": 1, "get": 1, "head": 1, "list": 1, "now": 1, "delete": 3,
    }  # fmt: skip
    assert (store.bytes_up, store.bytes_down) == (3 + 4 + 1000 + 1, 2)
    assert (store.total, store.puts) == (11, 4)
    assert store.names[:2] == [("create", "a"), ("replace", "a")]
    assert ("list", "x/") in store.names


def test_counts_of_many_and_reset() -> None:
    store = CountingStore(MemoryStore())
    run(store.put("a", b"123", Create()))
    store.reset()
    run(store.many([Get("a"), Get("no"), Head("a"), List(""), Put("b", b"12", Create())]))
    assert store.requests == {"get": 2, "head": 1, "list": 1, "create": 1}
    assert (store.bytes_up, store.bytes_down, store.total) == (2, 3, 5)
    assert run(store.delete([])) is None
    assert store.total == 5


def test_delays_overlap_in_many() -> None:
    env = FakeEnv()
    store = LatencyStore(MemoryStore(env), env, 0.5)
    run(store.put("a", b"1", Create()))
    assert env.boot() == 1000.5
    run(store.many([Get("a")] * 100))
    assert env.boot() == 1001.0
    run(store.many([Get("a")] * 101))
    assert env.boot() == 1002.0
    run(store.many([]))
    with pytest.raises(NotFound):
        run(store.get("no"))
    assert env.boot() == 1002.5


def test_faults_before_and_after_the_effect() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, in_order([lost_request(), lost_answer()]))
    for name in ("before", "after"):
        with pytest.raises(StoreUnavailable):
            run(store.put(name, b"1", Create()))
    run(store.put("later", b"1", Create()))
    assert [item.name for item in run(inner.list("")).items] == ["after", "later"]
    assert [call for call, _ in store.calls] == [
        Call(n, "create", (name,)) for n, name in enumerate(("before", "after", "later"), 1)
    ]


def test_a_lost_answer_hides_a_refusal_too() -> None:
    store = FaultyStore(MemoryStore(), in_order([lost_answer()]))
    with pytest.raises(StoreUnavailable) as caught:
        run(store.get("no"))
    assert isinstance(caught.value.__cause__, NotFound)


def test_faults_of_parts_of_many() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, in_order([lost_request(), None, lost_answer()], verbs=("create",)))
    outcomes = run(store.many([List(""), *[Put(name, b"1", Create()) for name in "abcd"]]))
    assert [type(outcome) is StoreUnavailable for outcome in outcomes] == [False, True, False, True, False]
    assert isinstance(outcomes[2], Stored)
    assert [item.name for item in run(inner.list("")).items] == ["b", "c", "d"]


def test_faults_of_deletes_and_now() -> None:
    inner = MemoryStore()
    run(inner.put("a", b"1", Create()))
    store = FaultyStore(inner, in_order([lost_request(), lost_answer(), lost_request()]))
    with pytest.raises(StoreUnavailable):
        run(store.delete(["a"]))
    assert run(inner.list("")).items
    with pytest.raises(StoreUnavailable):
        run(store.delete(["a"]))
    assert not run(inner.list("")).items
    with pytest.raises(StoreUnavailable):
        run(store.now())
