"""A crash between any two store calls of a round that holds runtime state: old or new, and nothing to repair."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from tests.classes.support import DAY_S, Crash, Process, World, blob
from tests.workers.test_crash import crash_at

pytestmark = pytest.mark.usefixtures("tiny_state")


def history(world: World) -> Process:
    """Runs of state to join, to tidy and to bury, contents to free, entries below state and above it."""
    process = world.process()
    process.put_all({f"k/{number:02}": b"v" * 30 for number in range(30)})
    process.compact()
    process.state(*[f"k/{number:02}" for number in range(0, 30, 3)], value=b"s" * 40, ttl=600)
    process.state(*[f"r/{number:02}" for number in range(30)], value=b"s" * 40, ttl=600)
    process.state("r/blob", at=blob(process.upload()), ttl=600)
    process.fold()
    janitor = world.process()
    for _ in range(5):
        world.env.advance(0.9 * DAY_S)
        world.process().put("tick", b"%d" % world.env.wall)
        for _ in range(2):
            run(janitor.compactor.fold_once(insist=True))
            run(janitor.compactor.sweep_once(insist=True, orphans=False))
            world.env.advance(40)
    janitor.state(*[f"k/{number:02}" for number in range(0, 30, 2)], value=b"t" * 40, ttl=DAY_S)
    janitor.forget("k/04", "r/05")
    janitor.put("k/06", b"again")
    janitor.delete("r/07")
    return janitor


def everything(process: Process) -> None:
    run(process.compactor.round(stay=False, insist=True, full=True))
    run(process.compactor.sweep_once(insist=True))


@pytest.mark.usefixtures("tiny_state")
def test_crash_before_every_store_call(world: World) -> None:
    history(world)
    process = world.process()
    world.store.forget()
    everything(process)
    calls = len(world.store.calls)
    assert {"eph", "shard", "root"} <= set(world.store.writes())
    assert calls > 30
    for number in range(calls):
        one = World()
        history(one)
        one.store.before = crash_at(number, Crash)
        with pytest.raises(Crash):
            everything(one.process())
        one.store.before = lambda verb, name: None
        one.check()
        one.check_whole()
        everything(one.process())
        one.check()
        one.check_whole()


@pytest.mark.usefixtures("tiny_state")
def test_a_zombie_that_is_overtaken_anywhere_changes_nothing(world: World) -> None:
    history(world)
    process = world.process()
    world.store.forget()
    everything(process)
    calls = len(world.store.calls)
    for number in range(calls):
        one = World()
        history(one)
        left = [number]

        def before(verb: str, name: str, one: World = one, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                other = one.process()
                other.state("k/09", "r/01", value=b"new", ttl=DAY_S)
                other.put("k/12", b"new")
                everything(other)

        one.store.before = before
        everything(one.process())
        one.store.before = lambda verb, name: None
        one.check()
        one.check_whole()
