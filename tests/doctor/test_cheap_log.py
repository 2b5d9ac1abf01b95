"""The log, what nobody needs, and everything around: a store broken in just that way is told."""

from __future__ import annotations

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.values.frame import Kind, pack
from swampstore.values.names import COMMIT_LANE, writer_lane
from swampstore.values.root import Garbage, Leader, garbage_list
from swampstore.values.version import hlc_of, make_writer_id
from swampstore.workers.doctor import waiting
from tests.doctor.broken import change_root, drop, look, only, segment, write
from tests.doctor.history import busy
from tests.workers.world import DAY_S, World

pytestmark = pytest.mark.usefixtures("tiny")


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


@pytest.mark.parametrize("deep", [False, True])
def test_a_damaged_segment_is_an_error_before_it_is_folded(world: World, deep: bool) -> None:
    """In a shared lane too; also to a process that has read it while it was whole; and its bytes put back mend it."""
    process = busy(world)
    lane = COMMIT_LANE
    name, body = f"ns/log/{lane}/{1:016x}", segment(lane, 1, "shared", hlc_of(world.env.wall))
    write(world, name, body)
    before = world.process()
    assert look(before, deep=deep, guards=False).healthy
    run(before.reader.open())
    write(world, name, body[:-1] + bytes([body[-1] ^ 1]))
    for looker in (before, world.process()):
        (found,) = look(looker, deep=deep, guards=False).of("error")
        assert (found.code, found.name) == ("segment-damaged", name)
        assert "checksum" in found.text
    write(world, name, body)
    assert look(world.process(), guards=False).healthy
    write(world, name, b"broken")
    process.fold()
    assert look(world.process(), guards=False).codes() == ["quarantined"]


def test_a_segment_of_a_newer_program_is_no_damage(world: World) -> None:
    busy(world)
    lane = COMMIT_LANE
    write(world, f"ns/log/{lane}/{1:016x}", pack(Kind.SEGMENT, 9, b"from the future"))
    found = only(look(world.process(), guards=False))
    assert (found.code, found.severity) == ("newer-format", "error")


def test_of_very_many_segments_that_wait_only_the_first_are_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = busy(world)
    process.put("k/1", b"1")
    name = world.store.names("ns/log/")[-1]
    write(world, name, b"broken")
    monkeypatch.setattr(waiting, "MOST", 1)
    assert look(world.process(), guards=False).codes() == ["log-unread"]
    assert "segment-damaged" in look(world.process(), deep=True, guards=False).codes()


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
        lambda root: msgspec.structs.replace(
            root, garbage_raw=garbage_list([Garbage("blob/" + "0" * 32, 1, world.env.wall)])
        ),
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


def test_a_queue_of_a_newer_program_is_no_damage(world: World) -> None:
    busy(world)
    write(world, "ns/queue/" + "ab" * 16 + "/t/0000000000000001", pack(Kind.TICKET, 9, b"from the future"))
    found = only(look(world.process()))
    assert (found.code, found.severity) == ("newer-format", "error")
    assert "upgrade" in found.hint


@pytest.mark.parametrize(("off_s", "codes"), [(10, []), (-60, ["clock-drifts"]), (400, ["clock-off"])])
def test_the_clock(world: World, off_s: int, codes: list[str]) -> None:
    busy(world)
    env = world.env.twin(3)
    env.wall += off_s * 1000
    report = look(world.process(env), guards=False)
    assert report.codes() == codes
    assert report.healthy == (abs(off_s) < 300)
