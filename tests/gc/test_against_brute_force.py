"""A gc removes exactly what one would find by looking at everything, wherever in the store the versions lie."""

from __future__ import annotations

import random

import msgspec
import pytest

from swampstore.values.entry import Inline, Meta, Record, put_record
from swampstore.values.soonest import Soonest
from swampstore.values.summary import Summary
from swampstore.workers.gc import pick, reading, scan
from swampstore.workers.gc.candidates import Choice
from tests.gc.support import collect, datum, everything, pending, remove, slow_gc, version_records
from tests.workers.world import Process, World

NAMES = ("a", "a-b", "a.b", "b", "1", "10", "m1")
IDS = ("m1", "x")
"""Of type t/x, id m1, name 1 and type t, id x, name m1, one lies among the versions of the other."""
TYPES = ("t", "t/x", "zz")
KEEPS = ("", "1", "2", "3", "5", "30m", "2h", "1d")
HOUR_S = 3600.0


def somehow(dice: random.Random, world: World, process: Process, made: list[Record]) -> None:
    """One change of any kind."""
    now = process.place.clock.now_ms()
    expires = dice.choice((0, 0, 0, now + dice.randrange(1, 7_200_000)))
    keep = dice.choice(KEEPS) if dice.random() < 0.3 else "3"
    held = datum(dice.choice(NAMES), 0, keep=keep, type_=dice.choice(TYPES), id_=dice.choice(IDS))
    match dice.randrange(10):
        case 0 | 1 | 2 | 3:
            records = [pending(process, held, expires=expires) for _ in range(dice.randrange(1, 4))]
        case 4 | 5:
            held = msgspec.structs.replace(held, ordinal=dice.randrange(1, 40))
            created = now - dice.randrange(0, 10_000_000)
            records = version_records(
                process, held, created=created, expires=expires, metadata=dice.random() < 0.9, size=dice.randrange(60)
            )
        case 6:
            key = f"plain/{dice.randrange(50)}/raw"
            records = [put_record(key, process.writer.new_version(), Meta(size=0, at=Inline(b"")), expires=expires)]
        case 7 if made:
            records = [remove(process, dice.choice(made))]
        case _:
            world.tick(dice.choice((1.0, 60.0, HOUR_S / 2)))
            return
    made += [record for record in records if not record.gone and "\0" not in record.key]
    process.append(records)


def moved(dice: random.Random, process: Process) -> None:
    """Level to level, sometimes."""
    for chance, step in ((0.2, process.fold), (0.06, lambda: process.merge(full=False)), (0.03, process.compact)):
        if dice.random() < chance:
            process.fold()
            step()


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(100, 200))
def test_exactly_what_brute_force_finds_often(
    seed: int, world: World, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_exactly_what_brute_force_finds(seed, world, tiny, monkeypatch)


@pytest.mark.parametrize("seed", range(10))
def test_exactly_what_brute_force_finds(seed: int, world: World, tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    if seed % 2:
        monkeypatch.setattr(reading, "_WHOLE_BYTES", 0)  # every shard is a large one
    if seed % 3:
        monkeypatch.setattr(pick, "_FEW", 0)  # however many have expired
    if seed % 4 > 1:
        monkeypatch.setattr(Soonest, "at", lambda self, now_ms: None)  # as older programs wrote the root
    process, gc = world.process(), world.process()
    made: list[Record] = []
    for _ in range(6):
        for _ in range(40):
            somehow(dice, world, process, made)
            moved(dice, process)
        reader = gc if dice.random() < 0.5 else world.process()
        expected = slow_gc(world.process())
        dry, nothing = collect(reader, dry_run=True)
        assert not nothing
        report, appended = collect(reader)
        assert {record.key: record.version for record in appended} == expected
        assert len(appended) == report.entries == dry.entries == len(expected)
        assert (dry.expired, dry.superseded, dry.bytes) == (report.expired, report.superseded, report.bytes)
        assert not slow_gc(world.process())
        moved(dice, process)
    process.compact()  # what was pending has a number now
    expected = slow_gc(world.process())
    assert {record.key: record.version for record in collect(world.process())[1]} == expected


def test_the_summaries_are_needed(world: World, tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With summaries that say nothing, a gc passes over what it should remove."""
    process = world.process()
    for ordinal in range(1, 30):
        process.append(version_records(process, datum("a", ordinal, keep="3")))
    process.compact()
    assert collect(world.process(), dry_run=True)[0].superseded == 26

    def silent(stretches, touched, now_ms):  # type: ignore[no-untyped-def]
        from swampstore.workers.gc.candidates import concerned

        assert concerned([Summary()], now_ms).numbers == frozenset()
        return Choice([], set(touched), frozenset())

    monkeypatch.setattr(scan, "chosen", silent)
    assert collect(world.process(), dry_run=True)[0].superseded == 0


def test_an_item_seen_in_part_is_left_alone(world: World, tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions 1 to 3 keep one, the newest keeps ten; a scan that reads only the first block must not judge by it."""
    process = world.process()
    for ordinal in range(1, 10):
        process.append(version_records(process, datum("a", ordinal, keep="1" if ordinal < 9 else "10"), size=20))
    process.compact()
    assert len(everything(process)) >= 18

    def first_only(stretches, touched, now_ms):  # type: ignore[no-untyped-def]
        return Choice([0], set(touched), frozenset())

    monkeypatch.setattr(scan, "chosen", first_only)
    monkeypatch.setattr(reading, "chosen", first_only)
    assert collect(world.process(), dry_run=True)[0].superseded == 0
    monkeypatch.setattr(scan.Unread, "spare", lambda self, item: True)
    assert collect(world.process(), dry_run=True)[0].superseded > 0
