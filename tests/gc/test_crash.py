"""A gc, a repack, a prune that die between any two store calls: the old or the new state, and the next one finishes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swampstore.env.blocking import run
from swampstore.workers.gc import run as gc_run
from swampstore.workers.prune import Prune, repack_all
from tests.gc.packs import contents_of, half_dead_packs, settled
from tests.gc.support import collect, datum, live_versions, version_records
from tests.workers.world import Crash, Process, World

ITEM = datum("a", 1).item


def old_versions(world: World) -> Process:
    process = world.process()
    for ordinal in range(1, 31):
        process.append(version_records(process, datum("a", ordinal, keep="4")))
    process.compact()
    return process


def dies_at(world: World, call: int) -> Callable[[str, str], None]:
    left = [call]

    def before(verb: str, name: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Crash(f"{verb} {name}")

    return before


def test_gc_killed_at_every_call(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_run, "SEGMENT_DELTAS", 11)
    calls = 0
    while True:
        calls += 1
        world = World()
        process = old_versions(world)
        world.store.before = dies_at(world, calls)
        try:
            collect(world.process())
            finished = True
        except Crash:
            finished = False
        world.store.before = lambda verb, name: None
        left = live_versions(world.process(), ITEM)
        assert left[-4:] == [27, 28, 29, 30]
        collect(world.process())
        process.compact()
        assert live_versions(world.process(), ITEM) == [27, 28, 29, 30]
        if finished:
            break
    assert calls > 8


@pytest.mark.parametrize("whole", [False, True], ids=["repack", "prune"])
def test_repack_and_prune_killed_at_every_call(tiny: None, whole: bool) -> None:
    calls = 0
    while True:
        calls += 1
        world = World()
        process, wanted = half_dead_packs(world)
        dying = world.process()
        world.store.before = dies_at(world, calls)
        try:
            if whole:
                run(Prune(dying.place, dying.register, dying.reader, dying.writer.append).run(dry_run=False))
            else:
                run(repack_all(dying.place, dying.register, dying.compactor._leadership))
            finished = True
        except Crash:
            finished = False
        world.store.before = lambda verb, name: None
        assert contents_of(world.process()) == wanted
        settled(world, process)
        assert contents_of(world.process()) == wanted
        if finished:
            break
    assert calls > 9
