"""Orphans: what a crash left behind goes after a day; what anything names or may still name stays."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.stores.base import Overwrite
from swampstore.workers import fold
from tests.workers.world import World, blob, packed

HOUR_S = 3600.0


def test_orphans_go_after_a_day_and_nothing_else_does(world: World) -> None:
    process = world.process()
    used = process.upload()
    process.put("a", at=blob(used))
    process.put("p", at=packed(process.upload("pack")))
    process.compact()
    orphan, _ = process.upload(), process.upload("pack")
    part, name = process.place.new_object("shard")
    run(world.store.put(name, b"a merge that crashed", Overwrite()))
    run(world.store.put(process.place.names.unique("l0", part), b"a fold that crashed", Overwrite()))
    run(world.store.put("ns/blob/README", b"not ours", Overwrite()))
    world.env.advance(24 * HOUR_S + 1.9)
    assert run(process.compactor.sweep_once(insist=True)).orphans == 0
    world.env.advance(0.1)
    report = run(process.compactor.sweep_once(insist=True))
    assert report.orphans == 4
    assert report.bytes > 0
    assert world.store.names("ns/blob/") == [f"ns/blob/{used}", "ns/blob/README"]
    assert orphan not in used
    assert len(world.store.names("ns/pack/")) == 1
    assert len(world.store.names("ns/shard/")) == len(process.root.shards)
    world.check()


def test_an_upload_that_an_unfolded_delta_names_is_no_orphan(world: World) -> None:
    process = world.process()
    process.put("a", at=blob(process.upload()))
    world.env.advance(25 * HOUR_S)
    assert run(process.compactor.sweep_once(insist=True)).orphans == 0
    assert len(world.store.names("ns/blob/")) == 1
    world.check()


def test_a_publisher_that_slept_over_the_orphan_sweep_loses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold put its run, slept for 25 hours, and publishes on the root it had read: the sweep has replaced that root."""
    monkeypatch.setattr(fold, "INLINE_LEVEL0_BYTES", 100)
    process, sweeper = world.process(), world.process()
    process.put("a", b"1" * 200)
    process.fold()
    process.put("b", b"1" * 200)

    def sleep_over(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            world.store.before = lambda verb, name: None
            world.env.advance(25 * HOUR_S)
            assert run(sweeper.compactor.sweep_once(insist=True)).orphans == 1

    world.store.before = sleep_over
    report, _ = run(process.compactor.fold_once(insist=True))
    assert report.raced
    process.fold()
    world.check()
