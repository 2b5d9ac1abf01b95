"""Audit records: no weight in the index, archives that stay few, reads that touch only their files."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.errors import AmbiguousAppend, Misuse, Undecided
from swampstore.limits import AUDIT_FUTURE_DAYS, AUDIT_PAST_DAYS, SHARD_GRACE_MS
from swampstore.protocols.audit_changes import AuditPosition
from swampstore.protocols.settings import change_settings
from swampstore.values.audit import (
    FUTURE,
    PAST,
    SETTING,
    AuditRecord,
    audit_record,
    check_retention,
    part_of,
    retention_of,
)
from swampstore.values.root import NO_GARBAGE, encode_root
from swampstore.workers import archive_catalog, archive_sort
from swampstore.workers.archive_catalog import Catalog
from tests.classes.audit_world import DAY_MS, DAY_S, Process, World


@pytest.fixture
def world() -> World:
    return World()


def gets(world: World, folder: str = "audit") -> list[str]:
    return [name for verb, name in world.store.calls if verb == "get" and name.startswith(f"ns/{folder}/")]


def files(process: Process) -> list[tuple[str, int]]:
    """``(part, records)`` of every sorted archive."""
    catalog = run(Catalog.open(process.place, process.root.audit.catalog))
    return [(key.split("\0")[0], archive_sort.file_of(record).count) for key, record in sorted(catalog.records.items())]


# --- weight and cost --------------------------------------------------------------------------------------------------


def test_a_write_is_one_append_and_weighs_nothing_in_the_index(world: World) -> None:
    process = world.process()
    process.put_all({f"k/{number}": b"x" for number in range(20)})
    process.compact()
    before = (process.root.entries, process.root.inline, process.root.level0, process.root.shards)
    world.store.forget()
    process.audit({"n": 1})
    assert [verb for verb, _ in world.store.calls] == ["put"]
    world.store.forget()
    process.fold()
    assert [verb for verb, _ in world.store.calls] == ["list", "get", "get", "put"]
    for number in range(300):
        process.audit({"n": number})
    process.fold()
    process.merge()
    assert (process.root.entries, process.root.inline, process.root.level0, process.root.shards) == before
    assert world.store.writes()["audit"] == 1
    world.check()


@pytest.mark.usefixtures("tiny_archives")
def test_the_root_stays_small_however_many_records_days_and_topics(world: World) -> None:
    process = world.process()
    sizes = []
    for day in range(40):
        world.env.advance(DAY_S)
        for topic in "abc":
            process.audit(*[{"n": number} for number in range(12)], topic=topic)
        process.sort()
        run(process.compactor.sweep_once(insist=True))
        if day % 10 == 9:
            sizes.append(len(encode_root(msgspec.structs.replace(process.root, garbage_raw=NO_GARBAGE))))
    assert len(files(process)) >= 3 * 40
    # tiny catalog runs of five files each: a whole one holds some thousands
    assert max(sizes) - sizes[0] < 40 * len(process.root.audit.catalog) * 10
    assert len(process.root.audit.catalog) < 40
    assert process.root.audit.records == 3 * 40 * 12
    world.check()


@pytest.mark.usefixtures("tiny_archives")
def test_a_day_that_is_added_to_again_and_again_stays_a_few_files(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_sort, "AUDIT_FILE_BYTES", 50_000)
    process = world.process()
    for _ in range(60):
        world.env.advance(60)
        process.audit(*[{"n": number} for number in range(4)])
        process.fold()
        process.sort()
    parts = [part for part, _ in files(process)]
    assert max(parts.count(part) for part in set(parts)) <= 8
    assert sum(count for _, count in files(process)) == 240
    world.check()


@pytest.mark.usefixtures("tiny_archives")
def test_a_query_of_an_hour_reads_only_the_files_of_its_topic_and_day(world: World) -> None:
    process = world.process()
    for _ in range(20):
        world.env.advance(DAY_S / 2)
        for topic in "abc":
            process.audit(*[{"n": number} for number in range(6)], topic=topic)
    process.sort()
    assert len(files(process)) >= 30
    some = world.of("b")[60]
    reader = world.process()
    reader.found("b", some.ts, some.ts + 1)  # the root, the log and the catalog's index are warm
    reader.place.caches.blocks.clear()
    world.store.forget()
    since, until = some.ts - 1_800_000, some.ts + 1_800_000
    assert reader.found("b", since, until) == world.of("b", since, until)
    catalog = {f"ns/{ref.name}" for ref in process.root.audit.catalog}
    assert len(set(gets(world)) - catalog) == 1
    assert len(set(gets(world)) & catalog) <= 3, "its own day, and the two edges"


@pytest.mark.usefixtures("tiny_archives")
def test_a_query_of_an_hour_reads_only_its_parquet_file(world: World) -> None:
    process = world.process()
    run(change_settings(process.place, process.register, lambda old: {**old, SETTING: {"format": "parquet"}}))
    for _ in range(8):
        world.env.advance(DAY_S / 2)
        for topic in "ab":
            process.audit(*[{"n": number} for number in range(6)], topic=topic)
    process.sort()
    some = world.of("b")[20]
    reader = world.process()
    reader.found("b", some.ts, some.ts + 1)
    reader.place.caches.indexes.clear()
    reader.place.caches.blocks.clear()
    world.store.forget()
    since, until = some.ts - 1_800_000, some.ts + 1_800_000
    assert reader.found("b", since, until) == world.of("b", since, until)
    asked = [name for name in gets(world) if name.endswith(".parquet")]
    assert len(set(asked)) == 1
    assert "audit_topic=b" in asked[0]
    assert len(asked) == 2, "its end, and one row group"


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_archives")
def test_a_read_sees_log_inline_fresh_and_sorted_alike(world: World) -> None:
    process = world.process()
    for step in range(4):
        world.env.advance(100)
        process.audit(*[{"n": number} for number in range(9)])
        process.audit({"other": step}, topic="other")
        if step < 3:
            process.fold()
        if step == 1:
            process.sort()
    root = process.root.audit
    assert root.catalog
    assert root.fresh or root.inline
    world.check()
    times = [record.ts for record in world.of("t")]
    for since, until in ((times[5], times[30]), (None, times[3]), (times[-1], None), (times[7], times[7])):
        assert world.process().found("t", since, until) == world.of("t", since, until)


def test_what_was_written_comes_back(world: World) -> None:
    class Point(msgspec.Struct):
        x: int

    process = world.process()
    values: list[Any] = [{"a": [1, None, "é"]}, b"\0raw", Point(3), "text", 5, [1, 2]]
    process.audit(*values)
    for _ in range(3):
        assert [record.data for record in process.found()] == [*values[:2], {"x": 3}, *values[3:]]
        process.sort()


@pytest.mark.usefixtures("tiny_archives")
def test_a_record_appended_twice_is_one_record(world: World) -> None:
    process = world.process()
    record = process.topic("t").record({"n": 1})
    for _ in range(4):
        world.process().write([record])
        process.audit(*[{"n": number} for number in range(6)])
        process.fold()
        assert world.process().found() == world.of("t")
        process.sort()
    world.check()
    assert 25 <= process.root.audit.records <= 28, "doubles go when their files meet"


def test_an_unknown_outcome_is_tried_once_more_with_the_same_records(world: World) -> None:
    process = world.process()
    process.audit("first")
    lost: list[str] = []

    def after(verb: str, name: str) -> None:
        if verb == "put" and not lost:
            lost.append(name)
            raise Undecided("the answer was lost")

    world.store.after = after
    process.audit("second")
    assert lost
    assert len(world.store.names("ns/log/")) == 3
    world.check()
    process.fold()
    world.check()
    world.store.after = lambda verb, name: (_ for _ in ()).throw(Undecided("lost")) if verb == "put" else None
    with pytest.raises(AmbiguousAppend):
        process.audit("third")


# --- positions --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_archives")
def test_a_late_commit_is_never_skipped(world: World) -> None:
    process, slow = world.process(), world.process()
    record = slow.topic("t").record("late", ts=world.env.wall - 5 * DAY_MS)
    slow.audit("of another topic", topic="other")
    for _ in range(3):
        process.audit(*range(9))
        process.sort()
    first = world.process().changes()
    assert len(first.records) == 27
    slow.write([record])
    for _ in range(2):
        late = world.process().changes(first.after)
        assert [item.data for item in late.records] == ["late"]
        process.sort()
    again = world.process().changes(AuditPosition.parse(str(late.after)))
    assert not again.records


def test_a_position_of_a_later_state_is_refused(world: World) -> None:
    process = world.process()
    process.audit("x")
    with pytest.raises(Misuse):
        process.changes(AuditPosition(fold=9))
    for text in ("", "{", "[1]", '{"fold": "x"}'):
        with pytest.raises(Misuse):
            AuditPosition.parse(text)


# --- partitions, retention ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_archives")
def test_times_far_from_now_share_two_parts(world: World) -> None:
    process = world.process()
    now = world.env.wall
    for number in range(60):
        process.audit(number, ts=now - (AUDIT_PAST_DAYS + 2 + number * 37) * DAY_MS)
        process.audit(number, ts=now + (AUDIT_FUTURE_DAYS + 2 + number * 41) * DAY_MS)
    process.audit("edge", ts=-(1 << 47))
    process.audit("edge", ts=(1 << 47) - 1)
    process.audit("now")
    process.sort()
    assert {part for part, _ in files(process)} == {PAST, part_of(now, now), FUTURE}
    assert len(files(process)) < 30
    world.check()
    old = now - 500 * DAY_MS
    assert world.process().found("t", old, now) == world.of("t", old, now)


@pytest.mark.usefixtures("tiny_archives")
def test_retention_frees_whole_files_by_topic(world: World) -> None:
    process = world.process()
    rules = check_retention({"t": 3, "*": 10})
    run(
        change_settings(
            process.place, process.register, lambda old: {**old, SETTING: {"retention": rules, "format": "kept"}}
        )
    )
    for _ in range(14):
        process.audit(*range(9))
        process.audit(*range(9), topic="other")
        process.sort()
        world.env.advance(DAY_S)
    now = world.env.wall
    process.sort()
    for topic, days in (("t", 3), ("other", 10)):
        found = process.found(topic)
        assert [record for record in found if record.ts >= now - days * DAY_MS] == world.of(topic, now - days * DAY_MS)
        assert 0 < len(found) < len(world.of(topic))
        assert min(record.ts for record in found) > now - (days + 2) * DAY_MS
    freed = len(world.store.names("ns/audit/"))
    world.env.advance(SHARD_GRACE_MS / 1000 + 10)
    run(process.compactor.sweep_once(insist=True))
    assert len(world.store.names("ns/audit/")) < freed
    assert len(world.store.names("ns/audit/")) == len(run(archive_catalog.archive_names(process.place, process.root)))
    assert process.root.audit.records == sum(count for _, count in files(process))


@pytest.mark.parametrize(
    "settings", [{}, {SETTING: 1}, {SETTING: {"retention": 3}}, {SETTING: {"retention": {"t": "x"}}}]
)
def test_a_retention_that_cannot_be_read_keeps(settings: dict[str, object]) -> None:
    assert not retention_of(settings)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("folds", [0, 1, 2])
def test_of_two_contents_under_one_name_the_first_written_stays_wherever_they_lie(
    world: World, folds: int, apart: bool
) -> None:
    first, second = world.process(), world.process()
    if apart:
        second.put("opens its lane first", b"")
    name = {"topic": "t", "id": "order-17", "ts": world.env.wall}
    first.write([AuditRecord(**name, data="first")])  # type: ignore[arg-type]
    if folds == 2:
        first.sort()
    world.env.advance(1)
    run(second.topic("t").write([AuditRecord(**name, data="second")]))  # type: ignore[arg-type]
    for step in range(3):
        assert [record.data for record in first.found()] == ["first"], step
        assert [record.data for record in first.changes().records] == ["first"], step
        if step < folds:
            first.sort()
        first.audit("other", topic="u")


def test_a_copy_that_comes_late_but_was_written_first_is_the_one_that_counts(world: World) -> None:
    process = world.process()
    early, late = (process.writer.new_version() for _ in range(2))
    name = AuditRecord(topic="t", id="x", ts=5, data="late")
    process.append([audit_record(name, late)])
    process.sort()
    process.append([audit_record(msgspec.structs.replace(name, data="early"), early)])
    for _ in range(2):
        assert [record.data for record in process.found()] == ["early"]
        process.sort()
