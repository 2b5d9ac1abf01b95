"""One gc at a time: what it asks of the store, when things expire, what it says, what it leaves to others."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.errors import ClockOff
from swampstore.limits import SEGMENT_DELTAS
from swampstore.protocols.place import Place
from swampstore.testing.env import FakeEnv
from swampstore.values.data import head_key, id_key, meta_path, raw_path
from swampstore.values.entry import Inline, Meta, Record, put_record
from swampstore.values.soonest import Soonest
from swampstore.workers.gc import reading as gc_reading
from swampstore.workers.gc import run as gc_run
from tests.gc.support import collect, datum, everything, live_versions, pending, version_records
from tests.workers.world import Process, World

HOUR_MS = 3_600_000


def plain(process: Process, key: str, *, expires: int = 0) -> Record:
    return put_record(key, process.writer.new_version(), Meta(size=1, at=Inline(b"x")), expires=expires)


def now_of(place: Place) -> int:
    return place.clock.now_ms()


# --- what it costs -----------------------------------------------------------------------------------------------------


def filled(world: World, items: int = 60) -> Process:
    """Many shards of plain entries and versions, compacted; nothing to do."""
    process = world.process()
    for number in range(items):
        process.append(version_records(process, datum(f"n{number:03}", 1, keep="5"), size=30))
        process.append([plain(process, f"z/{number:03}")])
    process.compact()
    assert len(process.root.shards) >= 8
    return process


def test_nothing_to_do_is_a_list_and_a_root(world: World, tiny: None) -> None:
    filled(world)
    gc = world.process()
    world.store.forget()
    report, _ = collect(gc)
    assert [verb for verb, _ in world.store.calls] == ["list", "get"]
    assert (report.entries, report.segments, report.runs_read) == (0, 0, 0)


def test_the_reads_are_the_shards_concerned_and_the_write_is_one_append(world: World, tiny: None) -> None:
    process = filled(world)
    soon = now_of(process.place) + 1000
    for number in (3, 30, 57):
        process.append(version_records(process, datum(f"n{number:03}", 2, keep="5"), expires=soon))
    process.compact()
    world.tick(2)
    concerned = [ref for ref in process.root.shards if ref.expires]
    assert 2 <= len(concerned) <= 3 < len(process.root.shards)
    gc = world.process()
    world.store.forget()
    report, appended = collect(gc)
    verbs = [verb for verb, _ in world.store.calls]
    assert verbs.count("put") == 1
    assert verbs.count("list") == 1
    assert verbs.count("get") == len(concerned) + 1
    assert len(verbs) == len(concerned) + 3
    assert (report.expired, report.entries, report.runs_read) == (3, 6, len(concerned))
    assert {record.key for record in appended} == {
        path(f"data/t/5f0e8a36-0b1a-4f6e-9f54-2f1b6a1c2d3e/n{number:03}", 2)
        for number in (3, 30, 57)
        for path in (raw_path, meta_path)
    }


def test_known_indexes_save_the_rest_of_the_shard(world: World, tiny: None) -> None:
    """A process that has the index reads, with the same one request, just the blocks it needs."""
    process = filled(world)
    process.append(version_records(process, datum("n030", 2, keep="5"), expires=now_of(process.place) + 1000))
    process.compact()
    world.tick(2)
    gc = world.process()
    collect(gc, dry_run=True)
    world.store.forget()
    report, _ = collect(gc, dry_run=True)
    assert report.expired == 1
    assert [verb for verb, _ in world.store.calls] == ["list", "get", "get"]


def test_of_a_large_shard_only_the_index_and_the_blocks_concerned_are_read(
    world: World, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = filled(world)
    soon = now_of(process.place) + 1000
    for number in (3, 30, 57):
        process.append(version_records(process, datum(f"n{number:03}", 2, keep="5"), expires=soon))
    process.compact()
    world.tick(2)
    concerned = sum(ref.expires > 0 for ref in process.root.shards)
    whole, _ = collect(world.process(), dry_run=True)
    monkeypatch.setattr(Soonest, "at", lambda self, now_ms: None)  # the root does not tell where they are
    monkeypatch.setattr(gc_reading, "_WHOLE_BYTES", 0)
    world.store.forget()
    report, _ = collect(world.process(), dry_run=True)
    assert [verb for verb, _ in world.store.calls].count("get") == 1 + 2 * concerned
    assert (report.runs_read, report.shown) == (whole.runs_read, whole.shown)
    assert report.expired == 3


def test_a_batch_that_does_not_fit_becomes_as_few_segments_as_needed(
    world: World, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = world.process()
    soon = now_of(process.place) + 1000
    for number in range(25):
        process.append(version_records(process, datum("a", number + 1), expires=soon))
    process.compact()
    world.tick(2)
    monkeypatch.setattr(gc_run, "SEGMENT_DELTAS", 20)
    gc = world.process()
    world.store.forget()
    report, appended = collect(gc)
    assert (report.expired, report.entries, report.segments) == (25, 50, 3)
    assert world.store.writes() == {"log": 3}
    assert len(appended) == 50 < SEGMENT_DELTAS
    assert collect(world.process())[0].entries == 0


# --- when ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start_ms", [5_000, 1_800_000_000_000, 4_102_444_800_000], ids=["1970", "2027", "2100"])
def test_expiry_at_the_very_millisecond(start_ms: int, tiny: None) -> None:
    world = World()
    world.env = FakeEnv(0, wall_ms=start_ms)
    world.store = type(world.store)(world.env)
    process = world.process()
    at = start_ms + 10_000
    process.append(version_records(process, datum("a", 1), expires=at))
    process.append([plain(process, "plain", expires=at), plain(process, "stays")])
    process.compact()
    world.env.wall, early = at - 1, world.process()
    assert collect(early, dry_run=True)[0].expired == 0
    assert set(keys_of(early)) >= {"plain", "stays"}
    world.env.wall, late = at, world.process()
    assert set(keys_of(late)) == {"stays"}
    assert collect(late)[0].expired == 2
    assert {key for key, record in everything(late).items() if not record.gone and "\0" not in key} == {"stays"}


def test_a_clock_that_jumps_to_2100_removes_nothing(world: World, tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a local disk the store's clock is the machine's: one that comes back from the workshop must not cost data."""
    process = world.process()
    process.append([plain(process, "plain", expires=now_of(process.place) + 30 * 24 * HOUR_MS)])
    process.compact()
    world.env.wall = 4_102_444_800_000
    gc = world.process()
    with pytest.raises(ClockOff):
        collect(gc)
    monkeypatch.setattr(gc_run, "_CLOCK_JUMP_MS", 1 << 62)
    assert collect(world.process(), dry_run=True)[0].expired == 1


def keys_of(process: Process) -> list[str]:
    return [entry.key for entry in run(run(process.reader.open()).page()).entries]


@pytest.mark.parametrize("created", [1, 4_102_444_800_000], ids=["1970", "2100"])
def test_versions_of_wrong_clocks(created: int, world: World, tiny: None) -> None:
    """Made "in 1970" is old, made "in 2100" is not; the highest ordinal stays in any case."""
    process = world.process()
    for ordinal in (1, 2, 3):
        process.append(version_records(process, datum("a", ordinal, keep="1d"), created=created))
    process.compact()
    report, _ = collect(world.process())
    assert report.superseded == (2 if created == 1 else 0)
    assert 3 in live_versions(world.process(), datum("a", 1).item)


def test_by_age_a_version_goes_when_its_time_has_come(world: World, tiny: None) -> None:
    process = world.process()
    made = now_of(process.place)
    for ordinal in (1, 2, 3):
        process.append(version_records(process, datum("a", ordinal, keep="1h"), created=made + ordinal * 1000))
    process.compact()
    world.env.wall = made + HOUR_MS + 1999
    assert collect(world.process())[0].superseded == 1
    world.env.wall = made + 30 * HOUR_MS
    assert collect(world.process())[0].superseded == 1
    assert live_versions(world.process(), datum("a", 1).item) == [3]


def test_when_the_newest_expires_the_rule_is_that_of_the_one_before(world: World, tiny: None) -> None:
    process = world.process()
    soon = now_of(process.place) + 1000
    for ordinal in range(1, 9):
        process.append(version_records(process, datum("a", ordinal, keep="2"), size=100))
    process.append(version_records(process, datum("a", 9, keep="50"), expires=soon))
    process.compact()
    assert collect(world.process())[0].entries == 0
    world.tick(2)
    report, _ = collect(world.process())
    assert (report.expired, report.superseded) == (1, 6)
    assert live_versions(world.process(), datum("a", 1).item) == [7, 8]


# --- numbered and pending -------------------------------------------------------------------------------------------------


def test_a_numbered_version_goes_with_its_metadata_and_its_id(world: World, tiny: None) -> None:
    process = world.process()
    held = datum("a", 0, keep="1")
    first, second = pending(process, held), pending(process, held)
    process.append([first, second])
    process.compact()
    report, appended = collect(world.process())
    item = held.item
    assert (report.superseded, report.entries) == (1, 3)
    assert {record.key for record in appended} == {raw_path(item, 1), meta_path(item, 1), id_key(item, first.version)}
    process.compact()
    left = {key for key, record in everything(process).items() if not record.gone}
    assert left == {raw_path(item, 2), meta_path(item, 2), id_key(item, second.version), head_key(item)}


def test_what_waits_for_its_number_is_the_newest_and_stays(world: World, tiny: None) -> None:
    process = world.process()
    for ordinal in (1, 2):
        process.append(version_records(process, datum("a", ordinal, keep="1")))
    process.append([pending(process, datum("a", 0, keep="1")) for _ in range(3)])
    report, _ = collect(world.process())
    assert report.superseded == 2
    process.compact()
    assert live_versions(world.process(), datum("a", 1).item) == [3, 4, 5]
    assert collect(world.process())[0].superseded == 2
    assert live_versions(world.process(), datum("a", 1).item) == [5]


def test_a_plain_entry_that_looks_like_a_version_is_none(world: World, tiny: None) -> None:
    process = world.process()
    for ordinal in range(1, 5):
        process.append(version_records(process, datum("a", ordinal, keep="1")))
        process.append(
            [plain(process, f"data/t/x/b/{ordinal}/raw"), plain(process, f"data/t/x/b/{ordinal}/metadata.yaml")]
        )
    process.compact()
    assert collect(world.process())[0].superseded == 3
    assert sum("x/b" in key for key in keys_of(world.process())) == 8


# --- races: every removal names what it removes ---------------------------------------------------------------------------


def without_base(record: Record, process: Process) -> Record:
    from swampstore.values.entry import tombstone

    return tombstone(record.key, process.writer.new_version())


@pytest.mark.parametrize("guard", [True, False])
def test_what_is_put_between_the_look_and_the_append_stays(
    guard: bool, world: World, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the base taken out of its tombstones a gc removes what it has never seen."""
    process = world.process()
    soon = now_of(process.place) + 1000
    process.append([plain(process, "p", expires=soon)])
    process.append(version_records(process, datum("a", 1), expires=soon))
    process.compact()
    world.tick(2)
    gc = world.process()
    if not guard:
        monkeypatch.setattr("swampstore.workers.gc.collect.removal", lambda record: without_base(record, gc))

    def put_again(verb: str, name: str) -> None:
        if verb == "put" and "/log/" in name:
            world.store.before = lambda verb, name: None
            process.append([plain(process, "p")])
            process.append(version_records(process, datum("a", 1)))
            world.tick(0.01)

    # The put takes its version before the tombstones are made, and lands after: nothing is newer by its clock alone.
    early = [process.writer.new_version() for _ in range(3)]
    monkeypatch.setattr(process.writer, "new_version", lambda: early.pop(0))
    world.store.before = put_again
    collect(gc)
    world.store.before = lambda verb, name: None
    process.compact()
    survived = {key for key, record in everything(process).items() if not record.gone and "\0" not in key}
    item = datum("a", 1).item
    wanted = {"p", raw_path(item, 1), meta_path(item, 1)}
    assert (survived == wanted) is guard


def test_two_at_once_are_one(world: World, tiny: None) -> None:
    process = world.process()
    for ordinal in range(1, 9):
        process.append(version_records(process, datum("a", ordinal, keep="2")))
    process.compact()
    one, two = world.process(), world.process()

    def the_other(verb: str, name: str) -> None:
        if verb == "put" and "/log/" in name:
            world.store.before = lambda verb, name: None
            assert collect(two)[0].superseded == 6

    world.store.before = the_other
    assert collect(one)[0].superseded == 6
    process.compact()
    assert live_versions(world.process(), datum("a", 1).item) == [7, 8]


def test_the_newest_deleted_while_a_gc_runs(world: World, tiny: None) -> None:
    """The gc came first then: each of the two did what it was asked to do, and nothing else is gone."""
    process = world.process()
    for ordinal in range(1, 5):
        process.append(version_records(process, datum("a", ordinal, keep="2")))
    process.compact()

    def delete(verb: str, name: str) -> None:
        if verb == "put" and "/log/" in name:
            world.store.before = lambda verb, name: None
            process.delete(raw_path(datum("a", 4).item, 4))

    world.store.before = delete
    collect(world.process())
    assert live_versions(world.process(), datum("a", 1).item) == [3]
