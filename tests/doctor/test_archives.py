"""Audit archives and runtime state: damage is told, and what archives hold outlives the root."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.stores.base import Overwrite
from swampstore.workers.archive_catalog import Catalog
from swampstore.workers.doctor.examine import examine
from tests.classes.audit_world import DAY_S, Process, World
from tests.classes.conftest import tiny_archives, tiny_state  # noqa: F401
from tests.doctor.broken import lose, mend

pytestmark = pytest.mark.usefixtures("tiny_archives")


@pytest.fixture
def world() -> World:
    return World()


def sorted_archives(world: World) -> Process:
    """Archives of two topics and three days, fresh ones, and records in the log."""
    process = world.process()
    for day in range(3):
        for number in range(6):
            process.audit({"day": day, "n": number}, topic="ab"[number % 2])
            process.fold()
        process.sort()
        world.env.advance(DAY_S)
    for number in range(12):
        process.audit({"n": number}, topic="a")
        process.fold()
    assert process.root.audit.catalog
    assert process.root.audit.fresh
    process.audit("late", topic="a")
    return process


def archives(process: Process) -> list[str]:
    catalog = run(Catalog.open(process.place, process.root.audit.catalog))
    return [f"ns/{key.rpartition(chr(0))[2]}" for key in sorted(catalog.records)]


def codes(process: Process) -> list[str]:
    return run(examine(process.place, process.register, deep=True, guards=False)).codes()


def test_archives_that_only_the_catalog_names(world: World) -> None:
    process = sorted_archives(world)
    assert codes(world.process()) == []
    name = archives(process)[1]
    good = world.store.raw(name)
    bad = bytearray(good)
    bad[5] ^= 1
    run(world.store.inner.put(name, bytes(bad), Overwrite()))
    assert codes(world.process()) == ["archive-damaged"]
    run(world.store.inner.put(name, world.store.raw(archives(process)[0]), Overwrite()))
    assert codes(world.process()) == ["archive-damaged"]
    run(world.store.inner.delete([name]))
    assert codes(world.process()) == ["archive-missing"]


def test_archived_records_outlive_the_root(world: World) -> None:
    process = sorted_archives(world)
    inline = {record.key for record in process.root.audit.inline}
    lose(world)
    mend(world)
    missing = [record for topic in "ab" for record in world.of(topic) if record not in world.process().found(topic)]
    assert len(missing) <= len(inline)
    world.written = [record for record in world.written if record not in missing]
    world.check()
    other = world.process()
    for _ in range(4):
        other.audit("more", topic="b")
        other.sort()
    world.check()
    world.env.advance(3 * DAY_S)
    run(other.compactor.sweep_once(insist=True))
    other.sort()
    world.check()
    assert codes(world.process()) == []
