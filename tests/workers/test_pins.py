"""Pins: a long reader keeps what its snapshot names, or learns that it is too late."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.errors import CorruptObject, SnapshotExpired
from swampstore.limits import PIN_TTL_MS
from swampstore.protocols import pins
from swampstore.protocols.pins import Pin, PinnedSnapshot, decode_pin, encode_pin, list_held, pin_snapshot
from swampstore.stores.base import Overwrite
from tests.workers.world import Process, World, blob

HOUR_S = 3600.0
TTL_S = PIN_TTL_MS / 1000


def scene(world: World) -> tuple[Process, Process]:
    """``(compacting process, reading process)``: one shard, one blob."""
    process = world.process()
    process.put_all({f"k/{number}": b"%d" % number for number in range(20)})
    process.put("big", at=blob(process.upload()))
    process.compact()
    return process, world.process()


def change_all(process: Process) -> None:
    """Rewrite the shard and drop the blob."""
    process.put_all({f"k/{number}": b"new" for number in range(20)})
    process.put("big", b"small")
    process.compact()


def sweep(process: Process) -> int:
    report = run(process.compactor.sweep_once(insist=True))
    return report.runs + report.contents


def open_pin(reader: Process) -> PinnedSnapshot:
    pinned = pin_snapshot(reader.place, reader.register, reader.reader)
    run(pinned.__aenter__())
    return pinned


def read_all(pinned: PinnedSnapshot) -> int:
    return len(run(pinned.snapshot.page()).entries)


def test_a_pin_that_is_renewed_holds_runs_and_contents(world: World) -> None:
    process, reader = scene(world)
    pinned = open_pin(reader)
    change_all(process)
    for _ in range(300):
        world.env.advance(TTL_S / 3)
        run(pinned.keep())
        sweep(process)
    assert read_all(pinned) == 21
    assert len(world.store.names("ns/blob/")) == 1
    run(pinned.release())
    assert not world.store.names("ns/pin/")
    assert sweep(process) == 2
    world.check()


def test_keeping_costs_nothing_before_a_third_of_the_ttl(world: World) -> None:
    _, reader = scene(world)
    pinned = open_pin(reader)
    world.store.forget()
    world.env.advance(TTL_S / 3 - 1)
    run(pinned.keep())
    assert not world.store.calls
    world.env.advance(1)
    run(pinned.keep())
    assert [verb for verb, _ in world.store.calls] == ["put"]


def test_a_paused_machine_renews_by_the_stores_time(world: World) -> None:
    """Its boot clock stood still; the answer to the renewal tells that the pin had run out."""
    process = world.process()
    env = world.env.twin(9)
    reader = world.process(env)
    scene_process, _ = scene(world)
    pinned = open_pin(reader)
    change_all(scene_process)
    world.env.advance(2 * HOUR_S)
    sweep(process)
    env.advance(TTL_S / 3)
    with pytest.raises(SnapshotExpired):
        run(pinned.keep())


def test_a_pin_renewed_late_but_before_any_sweep_is_good(world: World) -> None:
    process, reader = scene(world)
    pinned = open_pin(reader)
    change_all(process)
    world.env.advance(2 * HOUR_S)
    run(pinned.keep())
    assert sweep(process) == 0
    assert read_all(pinned) == 21


@pytest.mark.parametrize(("age", "holds"), [(TTL_S + 1.999, True), (TTL_S + 2, False)])
def test_a_pin_runs_out_by_the_stores_time(world: World, age: float, holds: bool) -> None:
    process, reader = scene(world)
    open_pin(reader)
    world.env.advance(age)
    assert bool(run(list_held(process.place))) == holds


def test_without_a_pin_a_scan_raises(world: World) -> None:
    process, reader = scene(world)
    snapshot = run(reader.reader.open())
    change_all(process)
    world.env.advance(2 * HOUR_S)
    sweep(process)
    with pytest.raises(SnapshotExpired):
        run(snapshot.page())
    world.check()


def _sweep_between_snapshot_and_pin(world: World) -> PinnedSnapshot:
    """The reader took its root, slept for hours, and wrote its pin after the sweep."""
    process, reader = scene(world)

    def sleep_first(verb: str, name: str) -> None:
        if verb == "put" and name.startswith("ns/pin/"):
            world.store.before = lambda verb, name: None
            change_all(process)
            world.env.advance(26 * HOUR_S)
            assert sweep(process) == 2

    world.store.before = sleep_first
    return open_pin(reader)


def test_a_pin_written_too_late_starts_over(world: World) -> None:
    pinned = _sweep_between_snapshot_and_pin(world)
    assert pinned.snapshot.root.version >= pinned.snapshot.root.sweep_floor
    assert read_all(pinned) == 21
    assert len(world.store.names("ns/pin/")) == 1


def test_without_reading_the_root_again_its_snapshot_would_be_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "passed", lambda root, snapshot: False)
    pinned = _sweep_between_snapshot_and_pin(world)
    with pytest.raises(SnapshotExpired):
        read_all(pinned)


def test_a_pin_written_between_floor_and_deletion_is_either_seen_or_starts_over(world: World) -> None:
    """Whatever call of a sweep a reader's pin falls before, it reads its whole snapshot afterwards."""
    count = 0
    for number in range(40):
        world = World()
        process, reader = scene(world)
        change_all(process)
        process.put("more", b"1")
        process.compact()
        world.env.advance(26 * HOUR_S)
        left = [number]
        opened: list[PinnedSnapshot] = []

        def before(verb: str, name: str, left=left, opened=opened, reader=reader, world=world) -> None:  # type: ignore[no-untyped-def]
            left[0] -= 1
            if left[0] == -1:
                opened.append(open_pin(reader))

        world.store.before = before
        sweep(process)
        world.store.before = lambda verb, name: None
        if opened:
            count += 1
            assert read_all(opened[0]) == 22
    assert count > 10


def test_a_pin_of_an_old_snapshot_is_seen_or_learns_that_it_is_too_late() -> None:
    """Whatever call of a sweep it falls before. The sweep has to look at pins after it has raised the floor: one that was
    written in between has seen no floor, and no earlier look has seen it."""
    held: list[bool] = []
    for number in range(40):
        world = World()
        process, reader = scene(world)
        snapshot = run(reader.reader.open())
        change_all(process)
        world.env.advance(26 * HOUR_S)
        left = [number]

        def pin(verb: str, name: str, left=left, reader=reader, snapshot=snapshot) -> None:  # type: ignore[no-untyped-def]
            left[0] -= 1
            if left[0] == -1:
                run(pins.Hold(reader.place, snapshot.root.version).take())
                held.append(not pins.passed(run(reader.register.read()).root, snapshot.root))

        world.store.before = pin
        sweep(process)
        world.store.before = lambda verb, name: None
        if left[0] >= 0:
            break
        if held[-1]:
            assert len(run(snapshot.page()).entries) == 21
            assert world.store.names("ns/blob/")
    assert {True, False} == set(held)


def test_the_context_releases_even_after_an_error(world: World) -> None:
    _, reader = scene(world)

    async def fail() -> None:
        async with pin_snapshot(reader.place, reader.register, reader.reader) as pinned:
            assert pinned.snapshot.root.version
            raise LookupError("the scan failed")

    with pytest.raises(LookupError):
        run(fail())
    assert not world.store.names("ns/pin/")


def test_a_pin_that_cannot_be_read_holds_everything(world: World) -> None:
    process, _ = scene(world)
    change_all(process)
    world.env.advance(26 * HOUR_S)
    run(world.store.put("ns/pin/" + "0" * 32, b"?", Overwrite()))
    assert [item.version for item in run(list_held(process.place))] == [0]
    assert sweep(process) == 0


def test_a_saved_snapshot_holds_what_it_names(world: World) -> None:
    process, _ = scene(world)
    run(world.store.put(process.place.names.saved("monday"), world.store.raw("ns/root"), Overwrite()))
    change_all(process)
    world.env.advance(26 * HOUR_S)
    assert sweep(process) == 0
    run(world.store.delete([process.place.names.saved("monday")]))
    assert sweep(process) == 2


def test_pins_of_the_dead_are_cleared_away(world: World) -> None:
    process, reader = scene(world)
    open_pin(reader)
    world.env.advance(25 * HOUR_S)
    sweep(process)
    assert not world.store.names("ns/pin/")


def test_the_format_round_trips_and_refuses_others() -> None:
    assert decode_pin(encode_pin(Pin(7, "me")), "x") == Pin(7, "me")
    for data in (b"", b"junk" * 20, encode_pin(Pin(7, "me"))[:-1]):
        with pytest.raises(CorruptObject):
            decode_pin(data, "x")
