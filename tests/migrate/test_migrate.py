"""Migration: everything with its version, again and again, killed at any point, onto nothing but its own copy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swampstore.client.blocking import finish
from swampstore.errors import Conflict, FenceConflict, Misuse, StoreForbidden
from swampstore.stores.base import Overwrite
from swampstore.values.deltas import Delete, Put
from swampstore.workers import ground, migrate_contents
from swampstore.workers import migrate as worker
from swampstore.workers.migrate import migrate
from swampstore.workers.migrate_report import MigrateOptions
from tests.migrate.support import BIG, Pair, contents, everything, fill
from tests.workers.world import DAY_S, Crash, HookedStore


@pytest.fixture
def pair() -> Pair:
    made = Pair()
    fill(made)
    return made


def test_everything_is_there_with_its_version(pair: Pair) -> None:
    report = pair.migrate(verify="full")
    assert not report.incomplete
    assert (report.resumed, report.unchanged, report.copied) == (False, 0, 30 + 4 + 1 + 6 + 1 + 1)
    assert report.hashed == report.copied
    assert report.audit == 6
    assert report.checked > report.copied
    assert everything(pair, pair.target) == everything(pair, pair.source)
    entry = pair.new().get("big")
    assert entry is not None
    assert (entry.content_type, entry.tags) == ("text/x", {"a": "b"})


def test_a_second_run_takes_only_the_difference(pair: Pair) -> None:
    pair.migrate()
    again = pair.migrate()
    assert (again.copied, again.tombstones, again.stream_records, again.audit, again.resumed) == (0, 0, 0, 0, True)
    ns = pair.old()
    ns.put("k/000", b"new")
    ns.delete("k/001")
    ns.put("fresh", BIG + b"2")
    ns.stream("events").append([b"more", b"and more"])
    ns.data("aws/ec2:web", "state").put(b"v3")
    ns.audit("decisions").write({"n": 99})
    third = pair.migrate()
    assert (third.copied, third.tombstones, third.audit) == (4, 1, 1)
    assert everything(pair, pair.target) == everything(pair, pair.source)
    assert not third.incomplete


def test_the_source_is_not_changed(pair: Pair) -> None:
    pair.old().compact()
    before = {name: pair.source.raw(name) for name in pair.source.names() if "/log/" not in name}
    pair.migrate()
    after = {name: pair.source.raw(name) for name in pair.source.names() if "/log/" not in name}
    assert after == before


def test_it_goes_on_living_there(pair: Pair) -> None:
    """Writes and deletes at the destination win over what was copied; numbers and streams go on."""
    tail = pair.old().stream("events").tail()
    pair.migrate()
    ns = pair.new()
    ns.put("k/000", b"mine")
    ns.delete("k/001")
    assert contents(ns)["k/000"] == b"mine"
    assert "k/001" not in contents(ns)
    stream = ns.stream("events")
    assert stream.tail() == tail
    assert stream.append([b"next"], expected_tail=tail).tail > tail
    with pytest.raises(FenceConflict):
        ns.stream("events").append([b"late"], expected_tail=tail)
    assert [record.data for record in ns.stream("events").read()] == [b"events0", b"events1", b"events2", b"next"]
    data = ns.data("aws/ec2:web", "state")
    assert data.put(b"v3", ordinal=True).ordinal == 4
    assert [version.ordinal for version in data.versions()] == [4, 3, 2, 1]
    first = pair.old().data("aws/ec2:web", "state").get(1)
    assert first is not None
    same = data.get(first.id)
    assert same is not None
    assert same.ordinal == 1
    with ns.lock("deploy") as held:  # tickets begin anew there
        held.put("k/locked", b"y")


def test_streams_need_their_lanes_moved(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a new record would come before those that were copied."""

    async def nothing(*_: object, **__: object) -> bool:
        return False

    monkeypatch.setattr(worker, "claim", nothing)
    pair.migrate()
    stream = pair.new().stream("events")
    stream.append([b"next"])
    assert [record.data for record in stream.read()][-1] != b"next"


def test_stream_positions_after_a_second_run(pair: Pair) -> None:
    pair.migrate()
    for number in range(5):
        pair.old().stream("events").append([b"later%d" % number])
    tail = pair.old().stream("events").tail()
    pair.migrate()
    stream = pair.new().stream("events")
    assert stream.tail() == tail
    stream.append([b"next"], expected_tail=tail)
    assert [record.data for record in stream.read()][-2:] == [b"later4", b"next"]


def test_streams_that_were_written_there_stop_it(pair: Pair) -> None:
    pair.migrate()
    pair.old().stream("events").append([b"here"])
    pair.new().stream("events").append([b"there"])
    with pytest.raises(Conflict, match="stream 'events'"):
        pair.migrate()
    pair.old().stream("events").append([b"here too"])
    with pytest.raises(Conflict, match="stream"):
        pair.migrate()
    assert [record.data for record in pair.new().stream("events").read()][-1] == b"there"


def test_slots_that_were_used_there_stop_it(pair: Pair) -> None:
    """Another writer takes the slot between the look and the create."""
    pair.migrate()
    pair.old().stream("events").append([b"here"])

    def before(verb: str, name: str) -> None:
        if verb == "put" and "/log/s" in name:
            pair.calm()
            pair.new().stream("events").append([b"there"])

    pair.target.before = before
    with pytest.raises(Conflict, match="streams of the destination"):
        pair.migrate()
    assert [record.data for record in pair.new().stream("events").read()][-1] == b"there"


# --- deletions -----------------------------------------------------------------------------------------------------------


def test_what_the_destination_alone_has_stays_unless_it_is_meant(pair: Pair) -> None:
    pair.migrate()
    pair.new().put("mine", b"m")
    pair.new().data("aws/ec2:web", "mine").put(b"m", ordinal=True)
    report = pair.migrate()
    assert (report.only_there, report.deleted) == (3, 0)
    assert "mine" in contents(pair.new())
    report = pair.migrate(delete=True)
    assert (report.only_there, report.deleted) == (3, 3)
    assert contents(pair.new()) == contents(pair.old())
    assert list(pair.new().data("aws/ec2:web", "mine").versions()) == []


def test_a_deletion_that_the_source_has_forgotten_is_told(pair: Pair) -> None:
    pair.migrate()
    pair.old().delete("k/001")
    for _ in range(6):
        pair.env.advance(2 * DAY_S)
        pair.old().put("other", b"")
        pair.old().compact()
    report = pair.migrate()
    assert "k/001" in report.only_there_examples
    pair.migrate(delete=True)
    assert contents(pair.new()) == contents(pair.old())


def test_what_expired_hides_what_was_there_before(pair: Pair) -> None:
    pair.migrate()
    pair.old().put("k/000", b"short", expires=pair.env.wall + 60_000)
    pair.old().put("short", b"short", expires=pair.env.wall + 60_000)
    pair.env.advance(120)
    report = pair.migrate()
    assert report.expired == 2
    assert contents(pair.new()) == contents(pair.old())
    assert pair.migrate().expired <= 1


def test_two_migrations_at_once(pair: Pair) -> None:
    """An older one that is slow brings nothing back that the newer one has deleted."""
    slow_source, slow_target = pair.core(pair.source), pair.core(pair.target)

    def before(verb: str, name: str) -> None:
        if verb == "put" and "/log/" in name:
            pair.calm()
            pair.env.advance(1)
            pair.old().delete("k/001")
            pair.old().put("k/002", b"new")
            pair.migrate()

    pair.target.before = before
    finish(migrate(slow_source, slow_target, MigrateOptions()))
    assert contents(pair.new()) == contents(pair.old())


# --- whose copy ----------------------------------------------------------------------------------------------------------


def test_a_destination_that_holds_something_else_is_refused(pair: Pair) -> None:
    pair.new().put("mine", b"m")
    for dry_run in (True, False):
        with pytest.raises(Conflict, match="holds something"):
            pair.migrate(dry_run=dry_run)
    pair.new().compact()
    with pytest.raises(Conflict, match="holds something"):
        pair.migrate()
    report = pair.migrate(force=True)
    assert report.only_there == 1
    assert contents(pair.new()) == contents(pair.old()) | {"mine": b"m"}


def test_the_copy_of_another_is_refused(pair: Pair) -> None:
    pair.migrate()
    pair.source.url = "memory://another"
    with pytest.raises(Conflict, match="'ops' in memory://old"):
        pair.migrate()


def test_onto_itself(pair: Pair) -> None:
    core = pair.core(pair.source)
    with pytest.raises(Misuse):
        finish(migrate(core, core, MigrateOptions()))
    with pytest.raises(Misuse):
        pair.migrate(verify="some")
    there = pair.core(pair.source, "copy")
    assert not finish(migrate(core, there, MigrateOptions())).incomplete
    assert contents(pair.old("copy")) == contents(pair.old())


def test_one_of_two_sources_at_once_wins(pair: Pair) -> None:
    other = Pair()
    fill(other)

    def before(verb: str, name: str) -> None:
        if verb == "put" and name == "ops/root":
            pair.calm()
            source, target = other.core(other.source), pair.core(pair.target)
            other.source.url = "memory://other"
            finish(migrate(source, target, MigrateOptions()))

    pair.target.before = before
    with pytest.raises(Conflict):
        pair.migrate()


def test_a_dry_run_writes_nothing(pair: Pair) -> None:
    report = pair.migrate(dry_run=True)
    assert report.copied >= 30 + 4 + 1 + 1
    assert not pair.target.names()


# --- damage --------------------------------------------------------------------------------------------------------------


def test_damaged_contents_are_told_and_the_rest_goes_over(pair: Pair) -> None:
    for name in pair.source.names("ops/blob/"):
        finish(pair.source.inner.put(name, b"x" * len(BIG), Overwrite()))
    finish(pair.source.inner.delete(pair.source.names("ops/pack/")))
    report = pair.migrate()
    assert (report.damaged, report.astray, report.incomplete) == (5, 0, True)
    assert contents(pair.new()).keys() >= {"k/000", "tail"}
    assert "big" not in contents(pair.new())


def test_full_verification_finds_what_was_broken_there(pair: Pair) -> None:
    pair.migrate()
    for name in pair.target.names("ops/blob/"):
        finish(pair.target.inner.put(name, b"x" * len(BIG), Overwrite()))
    report = pair.migrate(verify="full")
    assert (report.astray, report.incomplete) == (1, True)
    assert report.astray_examples[0].startswith("big: ")


def test_a_read_only_source(pair: Pair) -> None:
    pair.old().data("aws/ec2:web", "state").put(b"pending")

    def before(verb: str, name: str) -> None:
        if verb in ("put", "delete"):
            raise StoreForbidden("read only")

    pair.source.before = before
    report = pair.migrate()
    assert (report.pending, report.incomplete) == (1, True)
    pair.calm()
    assert not pair.migrate().incomplete
    assert everything(pair, pair.target) == everything(pair, pair.source)


def test_contents_in_pieces(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate_contents, "PART_BYTES", 1000)
    assert not pair.migrate(verify="full").incomplete
    assert contents(pair.new()) == contents(pair.old())


def test_clocks_of_other_times(pair: Pair) -> None:
    """A source whose clock was in 2100: what is written at the destination later wins all the same."""
    there = Pair()
    there.env.wall = 4_102_444_800_000
    fill(there)
    there.env.wall = pair.env.wall
    there.migrate()
    there.new().put("k/000", b"later")
    assert contents(there.new())["k/000"] == b"later"


# --- crashes -------------------------------------------------------------------------------------------------------------


def crashing(pair: Pair, number: int) -> Callable[[str, str], None]:
    left = [number]

    def before(verb: str, name: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Crash

    pair.source.before = pair.target.before = before
    return before


def test_killed_anywhere_and_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "BATCH_RECORDS", 12)
    pair = Pair()
    fill(pair)
    pair.source.forget()
    pair.migrate()
    calls = len(pair.source.calls) + len(pair.target.calls)
    assert calls > 40
    for number in range(calls - 1):
        pair = Pair()
        fill(pair)
        crashing(pair, number)
        with pytest.raises(Crash):
            pair.migrate()
        pair.calm()
        report = pair.migrate()
        assert not report.incomplete
        assert everything(pair, pair.target) == everything(pair, pair.source), number


def test_a_conflict_that_was_settled_does_not_come_back_there(pair: Pair) -> None:
    """The put that decided it names its base; at the destination the loser would seem unseen once more."""
    ns = pair.old()
    first = ns.put("k/000", b"first").version
    ns.put("k/000", b"second")
    pair.migrate()
    ns = pair.old()
    ns.append([Put(key="k/000", data=b"third", base=first)])
    ns.compact()
    (kept,) = conflicts(pair, pair.source)
    ns.append([Delete(key=kept[0], base=kept[1])])
    for _ in range(6):
        pair.env.advance(2 * DAY_S)
        pair.old().put("other", b"")
        pair.old().compact()
    assert not conflicts(pair, pair.source)
    pair.migrate()
    pair.new().compact()
    assert contents(pair.new())["k/000"] == b"third"
    assert not conflicts(pair, pair.target)


def conflicts(pair: Pair, store: HookedStore) -> list[tuple[str, bytes]]:
    async def found() -> list[tuple[str, bytes]]:
        snapshot = await pair.core(store).snapshot()
        return [(one.key, one.version) async for records in snapshot.conflicts() for one in records]

    return finish(found())
