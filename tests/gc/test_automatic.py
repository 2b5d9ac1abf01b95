"""Automatic retention: off by default, at most once an hour in all, nothing done when nothing is due."""

from __future__ import annotations

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.errors import ClockOff
from swampstore.workers.gc.automatic import AutomaticGc, Retention, retention_of, set_auto, something_due
from tests.gc.support import datum, live_versions, version_records
from tests.workers.world import Process, World

HOUR_S = 3600.0
ITEM = datum("a", 1).item


def with_versions(world: World, count: int = 6, *, expires_in: float = 0) -> Process:
    process = world.process()
    expires = process.place.clock.now_ms() + round(expires_in * 1000) if expires_in else 0
    for ordinal in range(1, count + 1):
        process.append(version_records(process, datum("a", ordinal, keep="2"), expires=expires))
    process.compact()
    return process


def turn(process: Process, auto: bool) -> Retention:
    return run(set_auto(process.place, process.register, auto))


def rounds(process: Process, count: int = 2) -> list[int]:
    """What the gc of each round removed; -1 for none."""
    reports = [run(process.compactor.round(stay=True, insist=True)) for _ in range(count)]
    return [report.gc.removed if report.gc else -1 for report in reports]


def test_it_is_off_until_somebody_turns_it_on(world: World, tiny: None) -> None:
    process = with_versions(world)
    assert retention_of(process.root) == Retention()
    assert rounds(process) == [-1, -1]
    assert turn(process, True).auto
    assert rounds(process) == [4, -1]
    assert live_versions(world.process(), ITEM) == [5, 6]
    assert retention_of(process.root).last > 0


def test_at_most_once_an_hour_however_many_compactors(world: World, tiny: None) -> None:
    process, other = with_versions(world), world.process()
    turn(process, True)
    assert rounds(process, 1) == [4]
    for ordinal in range(7, 12):
        process.append(version_records(process, datum("a", ordinal, keep="2")))
    process.compact()
    assert rounds(other) == [-1, -1]
    world.env.advance(HOUR_S)
    assert sorted([*rounds(other, 1), *rounds(process, 1)]) == [-1, 5]


def test_two_that_begin_at_once_run_it_once(world: World, tiny: None) -> None:
    process, other = with_versions(world), world.process()
    turn(process, True)
    run(other.register.read())
    run(process.register.read())

    def the_other(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            world.store.before = lambda verb, name: None
            assert run(AutomaticGc(other.place, other.register).run()) is not None

    world.store.before = the_other
    assert run(AutomaticGc(process.place, process.register).run()) is None


def test_nothing_due_reads_and_writes_nothing(world: World, tiny: None) -> None:
    process = with_versions(world, 2)
    turn(process, True)
    world.env.advance(2 * HOUR_S)
    run(process.register.read())
    world.store.forget()
    assert run(AutomaticGc(process.place, process.register).run()) is None
    assert not world.store.calls


def test_a_small_namespace_that_was_never_merged(world: World) -> None:
    """Everything lies in the root itself: no run says anything."""
    process = world.process()
    for ordinal in range(1, 7):
        process.append(version_records(process, datum("a", ordinal, keep="2")))
    turn(process, True)
    found = rounds(process, 3)
    assert not process.root.shards
    assert max(found) == 4
    assert live_versions(world.process(), ITEM) == [5, 6]


def test_what_lies_under_tombstones_is_not_read_every_hour(world: World, tiny: None) -> None:
    process = with_versions(world)
    turn(process, True)
    automatic = AutomaticGc(process.place, process.register)
    found = []
    for _ in range(30):
        run(process.register.read())
        report = run(automatic.run())
        found.append(report.removed if report else -1)
        process.fold()
        world.env.advance(HOUR_S + 1)
    assert [count for count in found if count >= 0] == [4, 0, 0]  # then it is left to the merge for a day
    process.merge()
    assert not something_due(process.root, process.place.clock.now_ms())


def test_a_time_far_ahead_does_not_stop_it_for_ever(world: World, tiny: None) -> None:
    process = with_versions(world)
    turn(process, True)
    world.env.wall = 4_102_444_800_000
    far = world.process()
    run(far.register.read())
    with pytest.raises(ClockOff):
        run(AutomaticGc(far.place, far.register).run())
    world.env.wall = 1_800_000_100_000
    back = world.process()
    run(back.register.read())
    report = run(AutomaticGc(back.place, back.register).run())
    assert report is not None
    assert report.removed == 4


@pytest.mark.parametrize("full", [True, False])
def test_what_expires_comes_due_by_itself(full: bool, world: World, tiny: None) -> None:
    process = with_versions(world, 2, expires_in=1800)
    turn(process, True)
    assert not something_due(process.root, process.place.clock.now_ms())
    world.env.advance(1801)
    run(process.register.read())
    assert something_due(process.root, process.place.clock.now_ms())
    report = run(process.compactor.round(stay=True, insist=True, full=full))
    assert report.gc is not None
    assert report.gc.expired + report.gc.superseded == 2


def test_off_again(world: World, tiny: None) -> None:
    process = with_versions(world)
    turn(process, True)
    assert not turn(process, False).auto
    assert rounds(process) == [-1, -1]


def test_the_help_of_an_ordinary_client_does_none(world: World, tiny: None) -> None:
    process = with_versions(world)
    turn(process, True)
    process.put("x", b"1")
    assert run(process.compactor.round(stay=False, insist=False)).gc is None


def test_settings_that_make_no_sense_count_as_off(world: World, tiny: None) -> None:
    process = with_versions(world)
    for bad in (7, {"auto": "yes"}, {"auto": 1}, []):
        root = msgspec.structs.replace(process.root, settings={"retention": bad})
        assert not retention_of(root).auto
