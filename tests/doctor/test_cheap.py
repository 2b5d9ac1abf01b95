"""Each check of the cheap examination: a store broken in just that way is told, and a whole one is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.stores.base import Overwrite
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.names import writer_lane
from swampstore.values.root import Garbage, Leader, Root, decode_root, encode_root
from swampstore.values.segment import SegmentHeader, encode_records, encode_segment
from swampstore.values.version import hlc_of, make_version, make_writer_id
from swampstore.workers.doctor.examine import examine
from swampstore.workers.doctor.finding import Finding, Report
from tests.doctor.history import busy
from tests.workers.world import DAY_S, Process, World

pytestmark = pytest.mark.usefixtures("tiny")


def look(process: Process, **options: Any) -> Report:
    return run(examine(process.place, process.register, **options))


def only(report: Report) -> Finding:
    """The one finding there is."""
    assert len(report.findings) == 1, report.findings
    return report.findings[0]


def write(world: World, name: str, body: bytes) -> None:
    run(world.store.inner.put(name, body, Overwrite()))


def drop(world: World, *names: str) -> None:
    run(world.store.inner.delete(names))


def change_root(world: World, change: Callable[[Root], Root]) -> None:
    """Write another root, behind everybody's back."""
    write(world, "ns/root", encode_root(change(decode_root(world.store.raw("ns/root"), "root"))))


def named(world: World, kind: str) -> str:
    """A run that the root names."""
    root = decode_root(world.store.raw("ns/root"), "root")
    return next(f"ns/{ref.name}" for ref in root.runs if ref.name.startswith(kind))


def segment(lane: str, slot: int, key: str = "x", hlc: int = 1) -> bytes:
    record = put_record(key, make_version(hlc, b"w" * 12, 1), Meta(size=1, at=Inline(b"x")))
    return encode_segment(SegmentHeader(lane, slot, b"12345678", 1), 1, encode_records([record]))


# --- whole -----------------------------------------------------------------------------------------------------------


def test_a_whole_namespace_is_healthy_and_left_as_it_was(world: World) -> None:
    busy(world)
    before = {name: world.store.raw(name) for name in world.store.names()}
    report = look(world.process())
    assert report.codes() == []
    assert report.healthy
    assert report.counts["runs"] == 3
    assert {name: world.store.raw(name) for name in world.store.names()} == before


def test_a_namespace_without_anything(world: World) -> None:
    assert look(world.process()).codes() == ["empty"]


def test_a_namespace_that_was_never_folded(world: World) -> None:
    world.process().put("a", b"1")
    assert look(world.process()).codes() == ["no-root-yet"]


def test_what_it_costs(world: World) -> None:
    """Requests do not depend on the number of entries; contents and blobs are never listed."""
    costs = []
    for _ in range(2):
        busy(world)
        process = world.process()
        process.compact()
        world.store.forget()
        report = look(process, guards=False)
        costs.append(len(world.store.calls) - report.counts["runs"])
        assert not any(name.startswith("ns/blob") for _, name in world.store.calls)
    assert costs[0] == costs[1] <= 22
    world.store.forget()
    look(process)
    assert len(world.store.calls) - costs[1] <= 80


# --- the root --------------------------------------------------------------------------------------------------------


def test_a_lost_root(world: World) -> None:
    busy(world)
    drop(world, "ns/root")
    found = look(world.process()).of("error")
    assert [(one.code, one.repair) for one in found] == [("root-lost", True)]


def test_a_lost_root_is_known_by_the_log_alone(world: World) -> None:
    write(world, "ns/log/w" + "00" * 12 + f"/{7:016x}", b"x")
    assert look(world.process()).codes() == ["root-lost"]


def test_a_damaged_root(world: World) -> None:
    busy(world)
    write(world, "ns/root", world.store.raw("ns/root")[:-3])
    (found,) = look(world.process()).of("error")
    assert (found.code, found.name, found.repair) == ("root-damaged", "ns/root", True)


def test_a_root_of_a_newer_program_is_no_damage(world: World) -> None:
    from swampstore.values.frame import Kind, pack

    busy(world)
    write(world, "ns/root", pack(Kind.ROOT, 9, b"from the future"))
    found = only(look(world.process()))
    assert (found.code, found.repair) == ("newer-format", False)
    assert "upgrade" in found.hint


def test_a_version_from_the_future(world: World) -> None:
    process = busy(world)
    world.env.advance(1)
    far = make_version(hlc_of(world.env.wall + 80 * 365 * 86_400_000), b"w" * 12, 1)
    process.append([put_record("late", far, Meta(size=0, at=Inline(b"")))])
    process.fold()
    assert look(world.process()).codes() == ["future-version"]


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["shard", "l0"])
def test_a_run_that_is_gone(world: World, kind: str) -> None:
    busy(world)
    name = named(world, kind)
    drop(world, name)
    found = only(look(world.process()))
    assert (found.code, found.severity, found.name) == ("run-missing", "error", name)
    assert "k/" in found.text


def test_a_run_swept_during_the_look_is_not_missed(world: World) -> None:
    """It is gone, but by then no root names it: a merge and a sweep went by."""
    process = busy(world)
    names = world.store.names("ns/shard/")
    done: list[int] = []

    def before(verb: str, name: str) -> None:
        if (verb == "get" and name == "ns/log/") or not (verb == "head" and name in names):
            return
        if not done:
            done.append(1)
            world.store.before = lambda verb, name: None
            change_root(world, lambda root: msgspec.structs.replace(root, version=root.version + 1, shards=()))

    listed = world.store.inner.list

    async def without(prefix: str, **options: Any) -> Any:
        page = await listed(prefix, **options)
        if prefix != "ns/shard/":
            return page
        drop(world, *names)
        return msgspec.structs.replace(page, items=())

    world.store.inner.list = without  # type: ignore[method-assign]
    world.store.before = before
    assert process
    assert "run-missing" not in look(world.process()).codes()
    assert done


def test_a_run_that_was_cut(world: World) -> None:
    busy(world)
    name = named(world, "shard")
    write(world, name, world.store.raw(name)[:-7])
    assert look(world.process()).codes() == ["run-damaged"]


def test_a_run_with_another_index(world: World) -> None:
    """Same size, but its index is not what the root says."""
    busy(world)
    name = named(world, "shard")
    body = bytearray(world.store.raw(name))
    body[-30] ^= 1
    write(world, name, bytes(body))
    assert look(world.process()).codes() == ["run-damaged"]


@pytest.mark.parametrize(
    "wrong", [{"sum": 1}, {"count": 7}, {"tombstones": 9}, {"last": "zzz"}, {"first": ""}, {"index_at": 1 << 40}]
)
def test_a_root_that_says_another_thing_of_a_run(world: World, wrong: dict[str, Any]) -> None:
    busy(world)

    def change(root: Root) -> Root:
        refs = (*root.level0[:-1], msgspec.structs.replace(root.level0[-1], **wrong))
        return msgspec.structs.replace(root, level0=refs)

    change_root(world, change)
    found = only(look(world.process()))
    assert (found.code, found.severity) == ("run-damaged", "error")


# --- the log ---------------------------------------------------------------------------------------------------------


def test_a_gap_behind_a_watermark(world: World) -> None:
    """An older root was put back: slots it does not cover are folded and deleted."""
    process = busy(world)
    (lane,) = process.root.watermarks
    mark = process.root.watermark(lane)
    drop(world, f"ns/log/{lane}/{mark + 1:016x}")
    process.put("more", b"1")
    found = only(look(world.process()))
    assert (found.code, found.severity, found.repair) == ("log-gap", "error", False)
    assert found.name == f"ns/log/{lane}/{mark + 1:016x}"


def test_a_lane_whose_watermark_was_forgotten(world: World) -> None:
    busy(world)
    lane = writer_lane(make_writer_id(world.env.wall, b"123456"))
    write(world, f"ns/log/{lane}/{5:016x}", segment(lane, 5))
    found = only(look(world.process()))
    assert (found.code, found.repair) == ("lost-watermark", True)


def test_a_slot_that_lands_during_the_look_is_no_gap(world: World) -> None:
    """The pages of a listing are not one moment."""
    process = busy(world)
    (lane,) = process.root.watermarks
    name = f"ns/log/{lane}/{process.root.watermark(lane) + 1:016x}"
    process.put("more", b"1")
    body = world.store.raw(name)
    drop(world, name)

    def before(verb: str, asked: str) -> None:
        if verb == "get" and asked == "ns/root":
            write(world, name, body)

    world.store.before = before
    assert look(world.process()).codes() == []


def test_a_quarantined_segment_is_named_with_its_reason(world: World) -> None:
    process = busy(world)
    name = world.store.names("ns/log/")[-1]
    write(world, name, b"broken")
    process.fold()
    found = only(look(world.process()))
    assert (found.code, found.severity, found.name) == ("quarantined", "warning", name)
    assert "too short" in found.text


@pytest.mark.parametrize("named", [True, False])
def test_segments_left_behind_by_a_retired_writer(world: World, named: bool) -> None:
    process = busy(world)
    world.env.advance(2 * 3600)
    process.compact()
    process.put("a", b"1")
    process.compact()
    lane = writer_lane(make_writer_id(5, b"123456"))
    write(world, f"ns/log/{lane}/{1:016x}", segment(lane, 1, "x", hlc_of(world.env.wall)))
    if named:
        process.put("b", b"1")
        process.fold()
        assert process.root.quarantine
    found = only(look(world.process()))
    assert (found.code, found.repair) == ("left-behind", True)
    assert lane in found.name


def test_foreign_names_in_the_log(world: World) -> None:
    busy(world)
    write(world, "ns/log/readme.txt", b"hello")
    found = only(look(world.process()))
    assert (found.code, found.severity, found.name) == ("foreign-names", "note", "ns/log/readme.txt")


def test_a_log_that_nobody_folds(world: World) -> None:
    busy(world)
    world.env.advance(3 * 3600)
    assert look(world.process()).codes() == ["fold-behind", "sweep-behind"]


def test_a_leader_that_does_nothing(world: World) -> None:
    process = busy(world)
    change_root(world, lambda root: msgspec.structs.replace(root, leader=Leader("l", 3, "host:7"), epoch=3))
    process.put("a", b"1")
    assert look(world.process()).codes() == []
    world.env.advance(120)
    found = only(look(world.process()))
    assert found.code == "leader-idle"
    assert "host:7" in found.text


# --- waste -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["l0", "shard", "pack"])
def test_orphans_are_counted_when_they_are_old(world: World, kind: str) -> None:
    process = busy(world)
    _, name = process.place.new_object(kind)  # type: ignore[arg-type]
    write(world, name, b"x" * 99)
    assert look(world.process()).codes() == []
    world.env.advance(1.1 * DAY_S)
    process.compact()
    found = only(look(world.process(), guards=False))
    assert (found.code, found.severity, found.name) == ("orphans", "note", name)
    assert "1 objects of 99 bytes" in found.text


def test_pins_of_readers_that_are_gone(world: World) -> None:
    process = busy(world)
    _, name = process.place.new_object("pin")
    write(world, name, b"x")
    world.env.advance(1.1 * DAY_S)
    process.compact()
    assert look(world.process()).codes() == ["dead-pins"]


def test_garbage_that_waits_for_days(world: World) -> None:
    process = busy(world)
    process.compact()
    process.fold()
    change_root(
        world,
        lambda root: msgspec.structs.replace(root, garbage=(Garbage("blob/" + "0" * 32, 1, world.env.wall),)),
    )
    assert look(world.process()).codes() == []
    world.env.advance(2.1 * DAY_S)
    process.compact()
    assert "garbage-waits" in look(world.process()).codes()


def test_a_pack_that_entries_name_is_gone(world: World) -> None:
    busy(world)
    (name,) = world.store.names("ns/pack/")
    drop(world, name)
    found = only(look(world.process()))
    assert (found.code, found.severity, found.name) == ("content-missing", "error", name)
    assert "2 entries" in found.text


# --- saved snapshots, leftovers, queues, clock --------------------------------------------------------------------------


def test_saved_snapshots(world: World) -> None:
    process = busy(world)
    write(world, "ns/saved/good", world.store.raw("ns/root"))
    assert look(world.process()).codes() == []
    write(world, "ns/saved/bad", b"no root")
    found = only(look(world.process()))
    assert (found.code, found.name) == ("saved-damaged", "ns/saved/bad")
    drop(world, "ns/saved/bad")
    old = world.store.names("ns/l0/")
    process.compact()
    drop(world, *old)
    found = only(look(world.process()))
    assert (found.code, found.name) == ("saved-damaged", "ns/saved/good")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ns/.datastore-index.json", "legacy-index"),
        ("ns/.namespace.json", "legacy-index"),
        ("ns/_index/data.json", "legacy-index"),
        ("ns/.datastore.lock", "legacy-lock"),
        (".locks/ns.lock", "legacy-lock"),
        ("ns/data/a/b/c/1/raw", "legacy-tree"),
    ],
)
def test_leftovers_of_the_replaced_system(world: World, name: str, code: str) -> None:
    busy(world)
    write(world, name, b"{}")
    found = only(look(world.process()))
    assert found.code == code
    assert name.startswith(found.name)
    assert found.severity == ("warning" if code == "legacy-lock" else "note")
    world.env.advance(3600)
    assert all(one.severity == "note" for one in look(world.process()).findings if one.code.startswith("legacy"))


def test_a_queue_that_cannot_be_read(world: World) -> None:
    busy(world)
    write(world, "ns/queue/" + "ab" * 16 + "/register", b"junk")
    found = only(look(world.process()))
    assert (found.code, found.severity) == ("queue-damaged", "error")


@pytest.mark.parametrize(("off_s", "codes"), [(10, []), (-60, ["clock-drifts"]), (400, ["clock-off"])])
def test_the_clock(world: World, off_s: int, codes: list[str]) -> None:
    busy(world)
    env = world.env.twin(3)
    env.wall += off_s * 1000
    report = look(world.process(env), guards=False)
    assert report.codes() == codes
    assert report.healthy == (abs(off_s) < 300)


# --- hostile bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_no_bytes_make_it_crash(world: World, seed: int) -> None:
    """Any object cut, flipped, emptied or replaced by another one: told or not, never an exception."""
    import random

    busy(world)
    write(world, "ns/saved/s", world.store.raw("ns/root"))
    dice = random.Random(seed)
    names = world.store.names()
    for name in names:
        good = world.store.raw(name)
        flipped = bytearray(good)
        flipped[dice.randrange(len(good))] ^= 1 << dice.randrange(8)
        bad = dice.choice([b"", good[: dice.randrange(len(good))], bytes(flipped), world.store.raw(dice.choice(names))])
        write(world, name, bad)
        report = look(world.process(), guards=False, deep=True)
        if name == "ns/root" and bad != good:
            assert not report.healthy
        write(world, name, good)
    assert look(world.process(), guards=False).codes() == []
