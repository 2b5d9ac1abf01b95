"""A crash between any two store calls leaves the old or the new state, and nothing that needs repair."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swampstore.env.blocking import run
from swampstore.errors import StoreUnavailable
from tests.workers.world import DAY_S, Crash, Process, World, blob, packed

pytestmark = pytest.mark.usefixtures("tiny")


def history(world: World) -> Process:
    """Shards, level 0, inline records, contents in garbage, segments to sweep: everything the background half touches."""
    process = world.process()
    parts = [process.upload() for _ in range(3)]
    pack = process.upload("pack")
    process.put_all({f"k/{number:04}": b"v" * 30 for number in range(60)})
    for number, part in enumerate(parts):
        process.put(f"blob/{number}", b"", at=blob(part))
    process.put("pack/0", b"", at=packed(pack))
    process.compact()
    process.delete("blob/0", "pack/0")
    process.put_all({f"k/{number:04}": b"w" * 30 for number in range(0, 60, 3)})
    process.compact()
    world.env.advance(1.2 * DAY_S)
    process.put_all({f"m/{number:04}": b"w" * 30 for number in range(20)})
    process.fold()
    world.env.advance(60)
    process.upload()
    process.put("k/0003", b"last")
    return process


def everything(process: Process) -> None:
    run(process.compactor.round(stay=False, insist=True, full=True))
    run(process.compactor.sweep_once(insist=True))


def count_calls() -> int:
    world = World()
    history(world)
    process = world.process()
    world.store.forget()
    everything(process)
    return len(world.store.calls)


CALLS = count_calls()


def check_whole(world: World) -> None:
    """What the root names is there, and contents of live entries are there."""
    root = world.process().root
    there = set(world.store.names())
    assert {f"ns/{ref.name}" for ref in (*root.level0, *root.shards)} <= there
    entries = run(run(world.process().reader.open()).page()).entries
    for entry in entries:
        at = entry.meta.at
        if hasattr(at, "unique"):
            assert any(name.endswith(at.unique) for name in there), entry.key


def crash_at(number: int, error: Callable[[], BaseException]) -> Callable[[str, str], None]:
    left = [number]

    def before(verb: str, name: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise error()

    return before


def _after(world: World) -> None:
    """Life goes on in another process; in the end nothing is left over."""
    world.check()
    check_whole(world)
    other = world.process()
    other.put("after", b"1")
    everything(other)
    world.check()
    check_whole(world)
    for _ in range(3):
        world.env.advance(1.1 * DAY_S)
        everything(other)
    world.check()
    check_whole(world)
    root = other.root
    known = {ref.name for ref in (*root.level0, *root.shards)} | {item.name for item in root.garbage}
    orphans = {name[3:] for folder in ("l0", "shard") for name in world.store.names(f"ns/{folder}/")} - known
    assert not orphans
    assert len(world.store.names("ns/blob/")) == 2
    assert not world.store.names("ns/pack/")


@pytest.mark.parametrize("number", range(CALLS))
def test_crash_before_a_store_call(number: int) -> None:
    """Call ``number`` and all after it never happen."""
    world = World()
    history(world)
    process = world.process()
    world.store.before = crash_at(number, Crash)
    with pytest.raises(Crash):
        everything(process)
    world.store.before = lambda verb, name: None
    _after(world)


@pytest.mark.parametrize("number", range(CALLS))
def test_one_failed_call_is_told_and_harmless(number: int) -> None:
    """Call ``number`` fails with an error that the process sees; it goes on as it likes."""
    world = World()
    history(world)
    process = world.process()
    left = [number]

    def before(verb: str, name: str) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise StoreUnavailable(f"{verb} {name}: no answer")

    world.store.before = before
    with pytest.raises(StoreUnavailable):
        everything(process)
    world.store.before = lambda verb, name: None
    everything(process)
    _after(world)


def test_the_history_reaches_every_part() -> None:
    """The crash tests above would prove little if the round did not fold, merge and sweep."""
    world = World()
    history(world)
    process = world.process()
    compacted = run(process.compactor.round(stay=False, insist=True, full=True))
    swept = run(process.compactor.sweep_once(insist=True))
    assert compacted.fold.published
    assert compacted.merge.published
    assert compacted.sweep.segments > 0
    assert compacted.sweep.runs > 0
    assert compacted.sweep.contents == 2
    assert swept.orphans == 0
    assert CALLS > 40
