"""The spool's folder when something fails: processes that die at any step, full disks, torn and foreign files, clocks."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.errors import SpoolFull, SpoolUnusable, StoreUnavailable, UnknownFormat
from swampstore.values.frame import Kind, pack
from swampstore.values.spool import (
    Bundle,
    bundle_name,
    decode_bundle,
    encode_bundle,
    may_keep_version,
    parse_bundle_name,
)
from swampstore.values.version import hlc_of, make_version, version_ms
from swampstore.workers import audit_spool
from swampstore.workers.audit_spool import ABOUT, AuditSpool
from swampstore.workers.spool_place import spool_base, spool_for, spooled_namespaces
from tests.spool.desk import Machine
from tests.workers.world import Crash


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class Disk:
    """The ``os`` of the spool; ``at`` is the number of the call that ``end`` befalls, and so are all behind it."""

    CALLS = ("open", "write", "fsync", "rename", "unlink")

    def __init__(self, at: int, end: Callable[[], BaseException]) -> None:
        self.calls = 0
        self._at = at
        self._end = end

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.CALLS:
            return real

        def call(*args: Any, **how: Any) -> Any:
            self.calls += 1
            if self.calls > self._at:
                raise self._end()
            return real(*args, **how)

        return call


def test_killed_at_any_step_of_writing_it_leaves_the_bundle_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = 0
    for at in range(40):
        machine = Machine(tmp_path / str(at))
        machine.down = True
        disk = Disk(at, Crash)
        with monkeypatch.context() as patch:
            patch.setattr(audit_spool, "os", disk)
            try:
                machine.topic().write("x")
            except Crash:
                pass
            else:
                assert disk.calls <= at
                whole += 1
                if whole > 1:
                    break
        machine.down = False
        machine.env.beats.clear()
        there = len(machine.files())
        later = machine.process()
        later.namespace("ns").audit("t").write("later")
        later.close()
        assert sorted(str(record.data) for record in machine.found()) == ["later", "x"][: 1 + there]
        assert not machine.files()
    else:
        raise AssertionError("no write came to its end")


def test_killed_at_any_step_of_delivery_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    for at in range(60):
        machine = Machine(tmp_path / str(at))
        machine.down = True
        topic = machine.topic()
        ids = [topic.write(number).ids[0] for number in range(6)]
        machine.down = False
        machine.env.beats.clear()
        left = [at]

        def step(verb: str, name: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

        spool = machine.delivery().spool
        assert spool is not None
        remove, done = spool.remove, False

        def removing(names: list[str], step: Any = step, remove: Any = remove) -> None:
            for name in names:
                step("unlink", name)
                remove([name])

        spool.remove = removing  # type: ignore[method-assign,assignment]
        machine.store.before = machine.store.after = step
        try:
            run(machine.delivery().drain())
            done = True
        except Crash:
            pass
        machine.store.before = machine.store.after = lambda verb, name: None
        machine.process().close()
        assert [record.id for record in machine.found()] == sorted(ids)
        assert not machine.files()
        if done:
            return
    raise AssertionError("no delivery came to its end")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_that_says_that_nothing_was_kept(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    topic = machine.topic()
    machine.down = True
    topic.write("before")
    for at in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(audit_spool, "os", Disk(at, lambda: OSError(number, "full")))
            with pytest.raises(SpoolFull, match="kept nowhere") as caught:
                topic.write("lost, and told so")
            assert caught.value.code == "spool-full"
    assert len(machine.files()) == 1
    topic.write("after")
    machine.down = False
    machine.env.beat()
    assert [record.data for record in machine.found()] == ["before", "after"]


def test_a_disk_that_fails_otherwise_is_named_too(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = machine.topic()
    machine.down = True
    topic.write("before")
    monkeypatch.setattr(audit_spool, "os", Disk(1, lambda: OSError(errno.EIO, "broken")))
    with pytest.raises(SpoolUnusable, match="broken"):
        topic.write("x")


def test_a_file_system_that_cannot_sync_is_not_called_durable(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = machine.topic()
    machine.down = True
    assert topic.write("x").durable
    real = os.fsync
    monkeypatch.setattr(audit_spool.os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(errno.EINVAL, "no")))
    assert not topic.write("x").durable
    monkeypatch.setattr(audit_spool.os, "fsync", real)


def test_the_spool_is_bounded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_spool, "SPOOL_BUNDLES", 3)
    topic = machine.topic()
    machine.down = True
    for number in range(3):
        topic.write(number)
    with pytest.raises(SpoolFull, match="limit 3"):
        topic.write(3)
    with pytest.raises(SpoolFull):
        machine.process().namespace("ns").audit("t").write(4)
    machine.down = False
    machine.env.beat()
    machine.down = True
    assert topic.write(5).spooled, "there is room again"


def test_bytes_are_bounded_too(tmp_path: Path, machine: Machine) -> None:
    spool = AuditSpool(tmp_path / "s", "file:///x", "ns", machine.env, max_bytes=2000)
    record = machine.topic()._core._writer
    from swampstore.values.audit import audit_record

    made = audit_record(record.record(b"\0" * 50 + os.urandom(900)), bytes(24))
    spool.put([made])
    with pytest.raises(SpoolFull, match="2000"):
        spool.put([made, made])


# --- what lies in the folder ------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def elsewhere(path: Path) -> None:
    bundle = decode_bundle(path.read_bytes(), "x")
    path.write_bytes(encode_bundle(msgspec.structs.replace(bundle, store="file:///other")))


@pytest.mark.parametrize("harm", [cut, empty, flipped, elsewhere])
def test_a_torn_or_foreign_file_is_set_aside_and_stops_nobody(machine: Machine, harm: Callable[[Path], None]) -> None:
    topic = machine.topic()
    machine.down = True
    for number in range(3):
        topic.write(number)
    harm(machine.folder / machine.files()[1])
    machine.down = False
    machine.env.beat()
    assert [record.data for record in machine.found()] == [0, 2]
    status = machine.delivery().status()
    assert status is not None
    assert (status.writes, status.set_aside) == (0, 1)
    codes = machine.process().namespace("ns").doctor().codes()
    assert "spool-damaged" in codes
    assert len(list(machine.folder.glob("*.bad"))) == 1, "it is kept"


def test_a_file_of_a_newer_program_is_left_where_it_is(machine: Machine) -> None:
    topic = machine.topic()
    machine.down = True
    for number in range(3):
        topic.write(number)
    machine.down = False
    newer = machine.folder / machine.files()[0]
    newer.write_bytes(pack(Kind.SPOOL, 2, b"what comes then"))
    report = run(machine.delivery().drain())
    assert (report.records, report.left, report.set_aside) == (2, 1, 0)
    assert newer.exists()
    with pytest.raises(UnknownFormat):
        decode_bundle(newer.read_bytes(), "x")


@pytest.mark.parametrize(
    ("about", "said"),
    [
        (b'{"format": 1, "store": "file:///other"}', "belongs to the store file:///other"),
        (b'{"format": 0, "store": "memory://private"}', "format 0"),
        (b'{"format": 9, "store": "memory://private"}', "format 9"),
        (b"\xff{", "cannot be read"),
    ],
)
def test_a_spool_of_another_store_or_version_is_refused_and_left(machine: Machine, about: bytes, said: str) -> None:
    topic = machine.topic()
    machine.down = True
    topic.write("x")
    before = machine.files()
    (machine.folder.parent / ABOUT).write_bytes(about)
    later = machine.topic()
    with pytest.raises(SpoolUnusable, match=said) as caught:
        later.write("y")
    assert "SWAMP_SPOOL_DIR" in caught.value.hint
    machine.down = False
    with pytest.raises(SpoolUnusable, match=said):
        run(machine.delivery().drain())
    machine.env.beat()
    assert machine.files() == before
    status = machine.delivery().status()
    assert status is not None
    assert said in status.problem
    assert "spool-problem" in machine.process().namespace("ns").doctor().codes()


def test_a_file_in_the_place_of_the_folder_is_named(machine: Machine) -> None:
    machine.down = True
    machine.folder.parent.mkdir(parents=True)
    machine.folder.write_text("mine")
    with pytest.raises(SpoolUnusable):
        machine.topic().write("x")


def test_a_folder_that_is_open_to_others_is_closed(machine: Machine) -> None:
    machine.folder.mkdir(parents=True, mode=0o755)
    machine.folder.chmod(0o755)
    machine.down = True
    machine.topic().write("x")
    assert machine.folder.stat().st_mode & 0o77 == 0


def test_leftovers_of_a_death_go_after_an_hour(machine: Machine) -> None:
    topic = machine.topic()
    machine.down = True
    topic.write("x")
    old, young = machine.folder / ".tmp-1", machine.folder / ".tmp-2"
    for path, age in ((old, 4000), (young, 10)):
        path.write_bytes(b"half")
        os.utime(path, (machine.env.wall / 1000 - age,) * 2)
    machine.down = False
    run(machine.delivery().drain())
    assert (old.exists(), young.exists()) == (False, True)


# --- one at a time, in order ------------------------------------------------------------------------------------------


def test_one_process_delivers_at_a_time(machine: Machine) -> None:
    topic = machine.topic()
    machine.down = True
    topic.write("x")
    machine.down = False
    spool = machine.delivery().spool
    assert spool is not None
    with spool.delivering() as mine:
        assert mine
        machine.process()
        report = run(machine.delivery().drain())
        assert (report.busy, report.records, report.left) == (True, 0, 1)
    assert run(machine.delivery().drain()).records == 1


@pytest.mark.parametrize("jump", [-7 * 86_400, 7 * 86_400, -40])
def test_clocks_that_jump_change_no_order_and_push_no_version_ahead(machine: Machine, jump: float) -> None:
    machine.down = True
    wrote = []
    for number in range(4):
        wrote.append(machine.topic().write({"n": number}))
        machine.env.wall += round(jump * 1000) if number == 1 else 0
    status = machine.delivery().status()
    assert status is not None
    assert status.oldest_s >= 0
    machine.env.beats.clear()
    machine.env.wall -= round(jump * 1000)
    machine.down = False
    machine.process().close()
    page = machine.process().namespace("ns").audit("t").changes()
    assert [record.data["n"] for record in page.records] == [0, 1, 2, 3]  # type: ignore[index]
    assert [record.id for record in page.records] == [ack.ids[0] for ack in wrote]
    machine.process().namespace("ns").compact()
    root = run(machine.cores[-1].namespace("ns").register.read()).root
    assert version_ms(root.hlc.to_bytes(8)) <= machine.env.wall + 2000, "no clock was pushed ahead"


def test_versions_are_kept_for_a_day() -> None:
    now = 1_800_000_000_000
    for ms, kept in ((now, True), (now - 80_000_000, True), (now - 90_000_000, False), (now + 5000, False)):
        assert may_keep_version(make_version(hlc_of(ms), bytes(12), 1), now) is kept


def test_an_error_of_the_store_leaves_what_was_not_acknowledged(machine: Machine) -> None:
    topic = machine.topic()
    machine.down = True
    for number in range(3):
        topic.write(number)
    with pytest.raises(StoreUnavailable):
        run(machine.delivery().drain())
    assert len(machine.files()) == 3


# --- names and places -------------------------------------------------------------------------------------------------


def test_names_round_trip_and_foreign_ones_are_none() -> None:
    name = bundle_name(5, 1_800_000_000_000, [], 77, bytes(8))
    found = parse_bundle_name(name)
    assert found is not None
    assert (found.place, found.time, found.records, found.bytes, found.name) == (5, 1_800_000_000_000, 0, 77, name)
    for foreign in ("", "x.rec", name + ".bad", name.replace("-0-", "-x-"), ".tmp-1", "drain"):
        assert parse_bundle_name(foreign) is None
    assert decode_bundle(encode_bundle(Bundle("s", "n", [])), "x") == Bundle("s", "n", [])


def test_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SWAMP_SPOOL_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert spool_base() == tmp_path / "swampstore" / "spool"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert spool_base() == tmp_path / "home" / ".local" / "state" / "swampstore" / "spool"
    monkeypatch.setenv("SWAMP_SPOOL_DIR", str(tmp_path / "mine"))
    assert spool_base() == tmp_path / "mine"
    assert spool_base(str(tmp_path / "chosen")) == tmp_path / "chosen"
    assert spool_for("memory://x") is None
    assert spool_for("file:///x") == tmp_path / "mine"
    assert spooled_namespaces(tmp_path / "none", "file:///x") == []
