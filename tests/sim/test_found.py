"""What the simulation has found, forced: each was a rare interleaving, here it is the only one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from swampstore.env.blocking import run
from swampstore.env.clock import StoreClock
from swampstore.protocols import log
from swampstore.protocols.place import Caches, Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.stores.base import Get, Outcome, Request, outcome
from swampstore.stores.memory import MemoryStore
from swampstore.values.names import Names
from tests.workers.world import HookedStore, World


class Late(HookedStore):
    """Carries out the read of the root first; ``between`` happens, then the rest of the same round."""

    def __init__(self, world: World) -> None:
        super().__init__(world.env)
        self.inner: MemoryStore = world.store.inner
        self.between: Callable[[], None] = lambda: None

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        found: dict[int, Outcome] = {}
        for number, request in sorted(enumerate(requests), key=lambda one: not isinstance(one[1], Get)):
            found[number] = await outcome(self, request)
            if isinstance(request, Get) and request.name.endswith("/root"):
                self.between()
        return [found[number] for number in range(len(requests))]


def a_read_across(*, root: bool, calibrated: bool = True) -> Snapshot:
    """A process reads the root, its machine stands still while all is folded and deleted, then it lists the log."""
    world = World()
    other, store = world.process(), Late(world)
    if root:
        other.put("old", b"1")
        other.fold()
    other.put("new", b"2")
    env = world.env.twin(9)
    place = Place(store, env, StoreClock(env), Names("ns"), Caches.of(env))
    if calibrated:
        place.clock.calibrate(world.env.wall_ms())

    def asleep() -> None:
        store.between = lambda: None
        other.fold()
        world.env.advance(60)
        run(other.compactor.sweep_once(insist=True))
        assert world.store.names("ns/log/") == []

    store.between = asleep
    return run(SnapshotReader(place, Register(place)).open())


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("root", [True, False])
def test_a_machine_that_stands_still_between_root_and_list_misses_nothing(root: bool, calibrated: bool) -> None:
    assert run(a_read_across(root=root, calibrated=calibrated).get("new")) is not None


def test_without_the_second_look_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "DELETE_GRACE_MS", 1e12)
    assert run(a_read_across(root=True).get("new")) is None


def test_the_first_fold_goes_by_the_store_s_time() -> None:
    """A compactor whose wall clock is an hour ahead lets no runtime state expire when it makes the first root."""
    world = World()
    ahead = world.env.twin(3)
    ahead.wall += 3_600_000
    place = Place(world.store, ahead, StoreClock(ahead), Names("ns"), Caches.of(ahead))
    _, seen = run(log.list_and_root(place, Register(place)))
    assert abs(seen.time - world.env.wall_ms()) < 2_000
