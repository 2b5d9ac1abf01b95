"""Audit archives when something fails, and audit records that nobody should have written."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import BadConfig, BadName, Misuse, TooLarge
from swampstore.protocols import writer
from swampstore.values.audit import (
    FIRST_MS,
    LAST_MS,
    AuditRecord,
    audit_key,
    check_retention,
    check_time,
    key_parts,
    topic_span,
)
from swampstore.values.entry import AUDIT, OPAQUE, Record
from swampstore.values.segment import encode_records
from swampstore.workers import sweep_orphans
from swampstore.workers.archive_catalog import Catalog
from tests.classes.audit_world import DAY_MS, DAY_S, Crash, Process, World
from tests.workers.test_crash import crash_at


@pytest.fixture
def world() -> World:
    return World()


# --- failures ---------------------------------------------------------------------------------------------------------


def story(world: World) -> Process:
    process = world.process()
    for _ in range(3):
        world.env.advance(DAY_S)
        for topic in "tu":
            process.audit(*range(9), topic=topic)
        process.fold()
    process.sort()
    for _ in range(3):
        for topic in "tu":
            process.audit(*range(9), topic=topic, ts=world.env.wall - DAY_MS)
        process.fold()
    process.audit("last")
    return process


def everything(process: Process) -> None:
    run(process.compactor.round(stay=False, insist=True, full=True))
    run(process.compactor.sweep_once(insist=True))


@pytest.mark.usefixtures("tiny_archives")
def test_crash_before_every_store_call(world: World) -> None:
    story(world)
    process = world.process()
    world.store.forget()
    everything(process)
    calls = len(world.store.calls)
    assert world.store.writes()["audit"] >= 4
    for number in range(calls):
        one = World()
        story(one)
        one.store.before = crash_at(number, Crash)
        with pytest.raises(Crash):
            everything(one.process())
        one.store.before = lambda verb, name: None
        one.check()
        everything(one.process())
        one.check()


@pytest.mark.usefixtures("tiny_archives")
def test_a_zombie_that_is_overtaken_anywhere_changes_nothing(world: World) -> None:
    story(world)
    process = world.process()
    world.store.forget()
    everything(process)
    for number in range(len(world.store.calls)):
        one = World()
        story(one)
        start = one.process().changes()
        left = [number]

        def before(verb: str, name: str, one: World = one, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                other = one.process()
                other.audit(*"overtaking", ts=one.env.wall - DAY_MS)
                everything(other)

        one.store.before = before
        everything(one.process())
        one.store.before = lambda verb, name: None
        one.check()
        fresh = [record.data for record in one.process().changes(start.after).records]
        assert sorted(fresh) == (sorted("overtaking") if left[0] < 0 else [])


@pytest.mark.usefixtures("tiny_archives")
def test_sorted_archives_are_no_orphans(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = story(world)
    everything(process)

    def weeks() -> None:
        for _ in range(4):
            world.env.advance(2 * DAY_S)
            world.process().put("tick", b"%d" % world.env.wall)
            everything(process)

    weeks()
    world.check()
    orphan, name = process.place.new_object("audit")
    world.store.names()
    run(world.store.inner.put(name, b"x", sweep_create()))
    weeks()
    assert name not in world.store.names("ns/audit/"), orphan

    async def nothing(place: object, root: object) -> frozenset[str]:
        return frozenset()

    monkeypatch.setattr(sweep_orphans, "archive_names", nothing)
    weeks()
    with pytest.raises(Exception, match=r"gone|audit"):
        world.check()


def sweep_create() -> Any:
    from swampstore.stores.base import Create

    return Create()


@pytest.mark.usefixtures("tiny_archives")
def test_an_archive_that_is_lost_is_told_and_stops_nothing_else(world: World) -> None:
    process = story(world)
    lost = process.root.audit.fresh[0].run.name
    run(world.store.inner.delete([f"ns/{lost}"]))
    world.env.advance(60)
    process.put("k", b"x")
    report = run(world.process().compactor.round(stay=False, insist=True, full=True))
    assert report.archive is not None
    assert lost in report.archive.problem
    assert report.fold.published
    assert report.sweep.segments > 0


# --- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["", "a\0b", "a\nb", "x" * 300, "\ud800", 3, None, "a\x7fb"])
def test_bad_topics_are_refused(world: World, topic: Any) -> None:
    with pytest.raises(BadName):
        world.process().topic(topic)


@pytest.mark.parametrize("topic", ["a/../b", "..", "données", "a b", "*", "t\\u", "-", "~", "a" * 256])
def test_odd_topics_are_kept_apart(world: World, topic: str) -> None:
    process = world.process()
    process.audit("1", topic=topic)
    process.audit("2", topic="a")
    process.sort()
    world.check()
    assert all(name.startswith("ns/") and ".." not in name for name in world.store.names())


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda writer: writer.record({"x": object()}), Misuse),
        (lambda writer: writer.record(b"x" * (256 * 1024 + 1)), TooLarge),
        (lambda writer: writer.record(1, ts=1.5), Misuse),
        (lambda writer: writer.record(1, ts=1 << 60), Misuse),
        (lambda writer: writer.record(1, ts=LAST_MS + 1), Misuse),
        (lambda writer: writer.record(1, ts=FIRST_MS - 1), Misuse),
        (lambda writer: AuditRecord(topic="t", id="x", ts=LAST_MS + 1, data=1), Misuse),
        (lambda writer: AuditRecord(topic="t", id="x\0", ts=1, data=1), Misuse),
        (lambda writer: AuditRecord(topic="t", id="", ts=1, data=1), Misuse),
        (lambda writer: AuditRecord(topic="t", id="x", ts="now", data=1), Misuse),  # type: ignore[arg-type]
        (lambda writer: AuditRecord(topic="t", id=7, ts=1, data=1), Misuse),  # type: ignore[arg-type]
        (lambda writer: writer.record(1, ts=datetime.datetime(2026, 1, 1)), Misuse),  # noqa: DTZ001
        (lambda writer: writer.record(1, record_id="x"), Misuse),
        (lambda writer: writer.record(1, ts=1, record_id="x\0"), Misuse),
        (lambda writer: writer.record(1, ts=1, record_id="x" * 65), Misuse),
        (lambda writer: AuditRecord(topic="other", id="x", ts=1, data=1), Misuse),
    ],
)
def test_bad_records_are_refused_before_anything_is_sent(
    world: World, make: Callable[[Any], AuditRecord], error: type[Exception]
) -> None:
    writer = world.process().topic("t")
    with pytest.raises(error):
        run(writer.write([make(writer)]))
    assert not world.store.names()


def test_times_are_ms_or_aware_datetimes(world: World) -> None:
    writer = world.process().topic("t")
    moment = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert writer.record(1, ts=moment).ts == 1_772_359_200_000
    assert writer.record(1, ts=-5, record_id="a").ts == -5
    with pytest.raises(BadConfig):
        check_retention({"t": 0})


UTC = datetime.UTC
EDGES = [
    datetime.datetime.min.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=23, minutes=59))),
    datetime.datetime.min.replace(tzinfo=UTC),
    datetime.datetime(6429, 12, 31, tzinfo=UTC),
    datetime.datetime(7000, 1, 1, tzinfo=UTC),
    datetime.datetime(9000, 1, 1, tzinfo=UTC),
    datetime.datetime.max.replace(tzinfo=UTC),
    datetime.datetime.max.replace(tzinfo=datetime.timezone(-datetime.timedelta(hours=23, minutes=59))),
]


@pytest.mark.usefixtures("tiny_archives")
def test_every_datetime_is_kept_in_few_parts_and_harms_nobody(world: World) -> None:
    process = world.process()
    times = [FIRST_MS, *EDGES, LAST_MS]
    process.write([process.topic("t").record(number, ts=ts) for number, ts in enumerate(times)])
    process.audit("now")
    for _ in range(2):
        world.check()
        found = [record.ts for record in process.found()]
        assert found == sorted(found)
        assert len(found) == len(times) + 1
        since = check_time(datetime.datetime(8999, 1, 1, tzinfo=UTC))
        assert [record.data for record in process.found(since=since)] == [5, 6, 7, 8]
        assert [record.data for record in process.found(until=since)] == [0, 1, 2, "now", 3, 4]
        assert not process.found(since=LAST_MS + 1)
        assert len(process.found(until=LAST_MS + 1)) == len(found)
        process.sort()
    assert not process.root.quarantine
    catalog = run(Catalog.open(process.place, process.root.audit.catalog))
    assert len(catalog.records) == 3, "the past, today, the future"


def test_a_time_out_of_range_names_the_range(world: World) -> None:
    with pytest.raises(Misuse, match="out of range") as caught:
        world.process().topic("t").record(1, ts=LAST_MS + 1)
    assert "281474976710655 (year 10889)" in caught.value.hint


@pytest.mark.parametrize(
    "ts", [-(1 << 47), -1, 0, 1_800_000_000_000, (1 << 47) - 1, 1 << 47, 253_402_300_799_999, (1 << 48) - 1]
)
def test_keys_round_trip_and_sort_by_time(ts: int) -> None:
    key = audit_key("a b", ts, "id")
    assert key_parts(key) == ("a b", ts, "id")
    assert key < audit_key("a b", ts, "ie") < topic_span("a b", None, None)[1]
    assert ts == LAST_MS or key < audit_key("a b", ts + 1, "")
    low, high = topic_span("a b", ts, None)
    assert low <= key < high
    assert not topic_span("a b", None, ts)[0] <= key < topic_span("a b", None, ts)[1]


@pytest.mark.parametrize(
    "key", ["\0audit\0t\0xyz\0id", "\0audit\0\0000000000001\0id", "a/b", "\0audit\0t\0000000000001\0"]
)
def test_a_hostile_record_breaks_its_segment_and_nothing_else(
    world: World, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = world.process()
    process.audit("good")
    hostile = world.process()
    bad = [Record(key, hostile.writer.new_version(), AUDIT | OPAQUE, 0, b"x")]
    with pytest.raises(Misuse, match="no reader could decode"):
        hostile.append(bad)
    with monkeypatch.context() as other:  # a program that looks at nothing
        other.setattr(writer, "encode_readable", encode_records)
        hostile.append(bad)
    process.fold()
    assert len(process.root.quarantine) == 1
    world.check()


JUNK = [b"\xc1junk", b"", b"\x92\xc4\x02\xc1\xc1\xa1m", b"\x91" * 5000, b"\x95\xc4\x01x\xa1b\xff\xa1l\x01"]


@pytest.mark.parametrize("value", JUNK)
def test_a_value_that_cannot_be_read_is_shown_as_bytes_and_hides_nothing(world: World, value: bytes) -> None:
    process = world.process()
    process.append([Record(audit_key("t", 5, "id"), process.writer.new_version(), AUDIT | OPAQUE, 0, value)])
    process.audit("good")
    for _ in range(3):
        found = process.found()
        assert found[0].ts == 5
        assert isinstance(found[0].data, bytes)
        assert found[1].data == "good"
        assert len(process.changes().records) == 2
        process.sort()


def test_ids_of_a_process_sort_as_they_were_made(world: World) -> None:
    writer = world.process().topic("t")
    ids = [writer.record(1).id for _ in range(50)]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in ids)
