"""Live locks: by the store's clock, wherever one may lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import StoreUnavailable
from swampstore.stores.base import Create, Outcome
from swampstore.stores.memory import MemoryStore
from swampstore.testing.legacy_tree import Shape, make_tree
from swampstore.workers.legacy.limits import ASSUMED_LOCK_TTL_MS, LOCK_TTL_MAX_MS
from swampstore.workers.legacy.locks import live_locks, read_lock
from swampstore.workers.legacy.rules import Place
from tests.legacy.helpers import stored, tree_objects

PLACE = Place("team/", "ops")


class SetClock(BlockingEnv):
    ms = 1_000_000_000

    def wall_ms(self) -> int:
        return self.ms


def lock(**fields: Any) -> bytes:
    said = {"holder": "sync", "hostname": "box-1", "pid": 4711, "ttlMs": 60_000, "acquiredAt": "2020-01-01T00:00:00Z"}
    return json.dumps(said | fields).encode()


def at_age(name: str, body: bytes, age_ms: int) -> MemoryStore:
    clock = SetClock()
    store = MemoryStore(clock)
    run(store.put(name, body, Create()))
    clock.ms += age_ms
    return store


def live_names(store: MemoryStore, place: Place = PLACE) -> list[str]:
    return [found.name for found in run(live_locks(store, place))]


@pytest.mark.parametrize(
    "name",
    ["team/ops/.datastore.lock", "team/.locks/ops.lock", "team/.datastore.lock", "team/ops/data/command/x/.lock"],
)
def test_each_place_of_a_lock_is_looked_at(name: str) -> None:
    assert live_names(stored({name: lock()})) == [name]


@pytest.mark.parametrize(
    "name",
    ["team/.locks/other.lock", "team/other/.datastore.lock", "team/ops/data/x/poetry.lock", "ops/.datastore.lock"],
)
def test_locks_of_others_do_not_matter(name: str) -> None:
    assert live_names(stored({name: lock()})) == []


def test_a_lock_lives_as_long_as_its_object_is_young() -> None:
    name = "team/ops/.datastore.lock"
    (found,) = run(live_locks(at_age(name, lock(), 59_000), PLACE))
    assert (found.name, found.holder, found.age_ms) == (name, "sync box-1 4711", 59_000)
    assert "sync box-1 4711" in found.describe()
    assert live_names(at_age(name, lock(), 61_500)) == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b"7", b"\xff", lock(ttlMs="60000"), lock(ttlMs=None), lock(ttlMs=True)]
)
def test_a_lock_that_cannot_be_read_is_live_for_an_hour(body: bytes) -> None:
    name = "team/ops/.datastore.lock"
    assert live_names(at_age(name, body, ASSUMED_LOCK_TTL_MS - 1000)) == [name]
    assert live_names(at_age(name, body, ASSUMED_LOCK_TTL_MS + 2000)) == []


@pytest.mark.parametrize(("ttl", "expected"), [(-5, 0), (1.5, 1), (1e300, LOCK_TTL_MAX_MS), (0, 0)])
def test_odd_times_to_live_are_bounded(ttl: float, expected: int) -> None:
    assert read_lock(lock(ttlMs=ttl))[1] == expected


def test_a_list_of_names_saves_the_listing() -> None:
    store = stored({"team/ops/data/x/.lock": lock()})
    assert run(live_locks(store, PLACE, found=[])) == []
    assert [found.name for found in run(live_locks(store, PLACE, found=["team/ops/data/x/.lock"]))] == [
        "team/ops/data/x/.lock"
    ]


def test_a_store_that_does_not_answer_is_not_an_unlocked_one() -> None:
    class Silent(MemoryStore):
        async def many(self, requests: Any) -> list[Outcome]:
            return [StoreUnavailable("no answer") for _ in requests]

    with pytest.raises(StoreUnavailable):
        run(live_locks(Silent(), PLACE))


@pytest.mark.parametrize("namespace", ["", "ops"])
def test_the_locks_of_a_made_tree(tmp_path: Path, namespace: str) -> None:
    make_tree(tmp_path, Shape(models=1, namespace=namespace, nasty=frozenset({"live-locks"})))
    objects = {name: body for name, body in tree_objects(tmp_path).items() if "/dead/" not in name}
    place = Place("", namespace)
    found = live_names(stored(objects), place)
    assert f"{place.base}.datastore.lock" in found
    assert len(found) == (4 if namespace else 2)
