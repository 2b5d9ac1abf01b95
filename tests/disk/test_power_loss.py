"""Power fails between any two operations on the disk: the next open finds every acknowledged write, and goes on.

A workload that touches everything runs once over a watched folder; then each of its moments is rebuilt as a crash may leave
it. The guards (sync of files, sync of folders) are switched off in turn: then something must be lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import swampstore
from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.errors import SwampError
from swampstore.protocols import update
from swampstore.protocols.queue_local import LocalQueue
from swampstore.protocols.queue_register import QueueBase
from swampstore.stores import disk, local, local_lanes
from swampstore.stores.local import LocalStore
from swampstore.testing.env import FakeEnv
from tests.disk.ledger import Ledger, Luck
from tests.workers.world import Crash

MODEL = swampstore.Model("power", "one")
LINUX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see the contents of open files")
pytestmark = LINUX
LANES = {"files": False}
LOSSES = (Luck(0.0), Luck(1.0), Luck(0.5, 1), Luck(0.5, 2))


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEnv]:
    """A clock that files get their times from, so that graces pass at once."""
    env = FakeEnv()
    clock = SimpleNamespace(time_ns=lambda: env.wall * 1_000_000, time=lambda: env.wall / 1000)
    monkeypatch.setattr(local, "time", clock)
    monkeypatch.setattr(local_lanes, "time", clock)
    return env


@pytest.fixture(params=["segments", "files"])
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What writers' lanes are."""
    monkeypatch.setitem(LANES, "files", request.param == "files")


def open_ns(folder: Path, env: FakeEnv) -> Namespace:
    namespace = Datastore(CoreStore(LocalStore(folder, lanes=LANES["files"]), env)).namespace("ops")
    namespace._core._proved = True  # the probe is tested elsewhere
    return namespace


class Work:
    """The workload: what it was promised is noted as ``(kind, name, value)``, what it tries as ``("try", ...)`` before."""

    def __init__(self, folder: Path, env: FakeEnv) -> None:
        folder.mkdir()
        self.env = env
        self.folder = folder
        self.ledger = Ledger(folder)

    def run(self) -> Ledger:
        with self.ledger.watching():
            for turn in range(3):
                self.turn(open_ns(self.folder, self.env), turn)
        return self.ledger

    def turn(self, ns: Namespace, turn: int) -> None:
        for key, data in {f"s/{turn}": b"small", f"p/{turn}": b"p" * 9000, f"b/{turn}": b"b" * 300_000}.items():
            self.promise("put", key, data)
            ns.put(key, data)
            self.kept()
        self.promise("put", "again", b"%d" % turn)
        ns.put("again", b"%d" % turn)
        self.kept()
        self.promise("put", "counter", b"%d" % (turn + 1))
        ns.update("counter", lambda current: b"%d" % (int(current or b"0") + 1))
        self.kept()
        record = b"%d" % turn
        self.promise("push", "run", record)
        ns.stream("run").append([record], expected_tail=ns.stream("run").tail())
        self.kept()
        with ns.lock("deploy") as held:
            self.promise("ticket", "deploy", held.ticket)
            self.kept()
            self.promise("put", "deployed", b"%d" % turn)
            held.put("deployed", b"%d" % turn)
            self.kept()
        self.promise("version", "report", b"v%d" % turn)
        ns.data(MODEL, "report").put(b"v%d" % turn, ordinal=turn == 1)
        self.kept()
        self.promise("audit", "topic", turn)
        ns.audit("topic").write({"n": turn})
        self.kept()
        self.env.advance(5)
        ns.compact(full=turn > 0)
        if turn:
            self.promise("delete", f"b/{turn - 1}", b"")
            ns.delete(f"b/{turn - 1}")
            self.kept()
        ns.save(f"saved-{turn}")
        self.env.advance(40)
        ns.compact(full=True)  # sweeps what the first round has folded

    def promise(self, kind: str, name: str, value: object) -> None:
        self.ledger.note("try", kind, name, value)

    def kept(self) -> None:
        self.ledger.note("kept")


def check(ledger: Ledger, moment: int, folder: Path, env: FakeEnv, luck: Luck) -> list[str]:
    """What is wrong with the store after a crash at ``moment``; it is opened, read, and written again."""
    ledger.rebuild(moment, folder, luck)
    ns = open_ns(folder, env)
    wanted: dict[tuple[str, str], list[object]] = {}
    maybe: tuple[str, str, object] | None = None
    for what, *promise in ledger.notes(moment):
        if what == "try":
            maybe = (promise[0], promise[1], promise[2])
        elif maybe is not None:
            wanted.setdefault(maybe[:2], []).append(maybe[2])
            maybe = None
    try:
        wrong = _compare(ns, wanted, maybe)
        _go_on(ns, wanted)
    except (SwampError, OSError, AssertionError) as error:
        return [f"at {moment}: {error!r}"]
    return [f"at {moment}: {one}" for one in wrong]


def _compare(
    ns: Namespace, wanted: dict[tuple[str, str], list[object]], maybe: tuple[str, str, object] | None
) -> list[str]:
    kind_of = maybe[0] if maybe else ""
    expected = {name: values[-1] for (kind, name), values in wanted.items() if kind == "put"}
    for kind, name in wanted:
        if kind == "delete":
            expected.pop(name, None)
    found: dict[str, object] = {
        entry.key: ns.read(entry.key) for entry in ns.list() if not entry.key.startswith("data/")
    }
    wrong: list[str] = []
    for name in expected.keys() | found.keys():
        in_flight = maybe is not None and kind_of in ("put", "delete") and maybe[1] == name
        allowed = [expected.get(name)]
        if in_flight:
            assert maybe is not None
            allowed.append(maybe[2] if kind_of == "put" else None)
        if found.get(name) not in allowed:
            wrong.append(f"{name} is {str(found.get(name))[:20]}")
    lists = {
        "push": [record.data for record in ns.stream("run").read()],
        "version": [ns.data(MODEL, "report").read(one.id) for one in reversed(ns.data(MODEL, "report").versions())],
        "audit": [record.data["n"] for record in ns.audit("topic").read()],  # type: ignore[index]
    }
    for kind, have in lists.items():
        must = next((values for (one, _), values in wanted.items() if one == kind), [])
        if have != must and not (maybe is not None and kind_of == kind and have == [*must, maybe[2]]):
            wrong.append(f"{kind}: {have} instead of {must}")
    return wrong


def _go_on(ns: Namespace, wanted: dict[tuple[str, str], list[object]]) -> None:
    """No repair is needed: everything works at once, and again after a compaction."""
    ns.put("later", b"1")
    ns.update("counter", lambda current: b"%d" % (int(current or b"0") + 1))
    tickets = [value for (kind, _), values in wanted.items() if kind == "ticket" for value in values]
    with ns.lock("deploy") as held:
        assert held.ticket > max([0, *tickets]), f"fencing token {held.ticket} after {tickets}"  # type: ignore[type-var]
        held.put("deployed", b"later")
    ns.compact(full=True)
    assert ns.read("later") == b"1"
    assert ns.read("deployed") == b"later"
    report = ns.doctor(deep=True, guards=False)
    assert report.healthy, report.of("error")


def crash_everywhere(ledger: Ledger, target: Path, env: FakeEnv, step: int, losses: tuple[Luck, ...]) -> list[str]:
    wrong: list[str] = []
    moments = range(1, len(ledger.events) + 1, step)
    for number, moment in enumerate(moments):
        luck = losses[number % len(losses)] if step > 1 else None
        for at, one in enumerate([luck] if luck else losses):
            later = env.twin(moment)  # a machine that was switched on again
            wrong += check(ledger, moment, target / f"{moment}-{at}", later, one)
    return wrong


@pytest.mark.usefixtures("lanes")
def test_power_loss_at_some_moments(tmp_path: Path, env: FakeEnv) -> None:
    ledger = Work(tmp_path / "store", env).run()
    assert len(ledger.events) > 500
    assert crash_everywhere(ledger, tmp_path / "after", env, 37, LOSSES) == []


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("lanes")
def test_power_loss_at_every_moment(tmp_path: Path, env: FakeEnv) -> None:
    ledger = Work(tmp_path / "store", env).run()
    assert crash_everywhere(ledger, tmp_path / "after", env, 1, LOSSES) == []


@pytest.mark.parametrize("guard", ["files", "folders", "frames"])
def test_without_syncs_something_is_lost(
    guard: str, tmp_path: Path, env: FakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    if guard == "files":
        monkeypatch.setattr(local, "sync_file", lambda fd: None)
    elif guard == "frames":
        monkeypatch.setitem(LANES, "files", True)
        monkeypatch.setattr(local_lanes, "_HAS_FDATASYNC", False)
        monkeypatch.setattr(local_lanes, "sync_file", lambda fd: None)
    else:
        monkeypatch.setattr(disk.Folders, "sync", lambda self, path: None)
    ledger = Work(tmp_path / "store", env).run()
    assert crash_everywhere(ledger, tmp_path / "after", env, 40, (Luck(0.0),))


def lose_tickets(folder: Path, *, torn: bool) -> None:
    """What a loss of power may do to a queue: its tickets are gone, or there without their contents."""
    tickets = [path for path in folder.glob("ops/queue/*/t/*") if path.is_file()]
    assert tickets
    for path in tickets:
        if torn:
            path.write_bytes(b"")
        else:
            path.unlink()


@pytest.mark.parametrize("guarded", [True, False])
def test_a_fencing_token_is_never_given_twice(
    guarded: bool, tmp_path: Path, env: FakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:  # marks are then as if there had been none
        monkeypatch.setattr(update, "marked_ticket", lambda mark: 0)
    (tmp_path / "store").mkdir()
    ns = open_ns(tmp_path / "store", env)
    tickets = []
    for _ in range(4):
        for _ in range(3):
            with ns.lock("deploy") as held:
                tickets.append(held.ticket)
                held.put("k", b"1")
        lose_tickets(tmp_path / "store", torn=False)
    assert (tickets == sorted(set(tickets))) is guarded, tickets


@pytest.mark.parametrize("guarded", [True, False])
def test_a_queue_is_named_when_no_ticket_can_be_read(
    guarded: bool, tmp_path: Path, env: FakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        monkeypatch.setattr(LocalQueue, "prepare", QueueBase.prepare)
    (tmp_path / "store").mkdir()
    ns = open_ns(tmp_path / "store", env)
    with ns.lock("deploy"):
        pass
    lose_tickets(tmp_path / "store", torn=True)
    assert ns.doctor(guards=False).healthy is guarded
    if guarded:
        assert list(ns.queues()) == ["deploy"]
        assert ns.status(queues=True).queues


def test_the_first_read_after_a_crash_waits_for_nothing(tmp_path: Path, env: FakeEnv) -> None:
    """No grace, no time to live and no second try: its clock does not move."""
    ledger = Work(tmp_path / "store", env).run()
    ledger.rebuild(len(ledger.events) * 2 // 3, tmp_path / "after", Luck(0.5, 3))
    began = env.boot()
    assert open_ns(tmp_path / "after", env).get("s/0") is not None
    assert env.boot() == began


def test_what_the_ledger_rebuilds(tmp_path: Path) -> None:
    """The emulation itself: synced is there, not synced is there or not, removed is gone or not."""
    root = tmp_path / "root"
    root.mkdir()
    ledger = Ledger(root)
    with ledger.watching():
        for name, keep in (("kept", True), ("loose", False)):
            fd = os.open(root / name, os.O_WRONLY | os.O_CREAT)
            os.write(fd, name.encode())
            if keep:
                os.fsync(fd)
            os.close(fd)
        before = len(ledger.events)
        folder = os.open(str(root), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        synced = len(ledger.events)
        os.replace(root / "kept", root / "moved")

    def held(moment: int, luck: Luck) -> dict[str, bytes]:
        target = tmp_path / os.urandom(4).hex()
        ledger.rebuild(moment, target, luck)
        return {path.name: path.read_bytes() for path in target.iterdir()}

    assert held(before, Luck(0.0)) == {}
    assert held(before, Luck(1.0)) == {"kept": b"kept", "loose": b"loose"}
    torn = held(synced, Luck(0.0))
    assert torn.keys() == {"kept", "loose"}
    assert torn["kept"] == b"kept"
    assert torn["loose"] in (b"", b"lo")
    assert held(len(ledger.events), Luck(0.0)).keys() == {"kept", "loose"}
    assert held(len(ledger.events), Luck(1.0)).keys() == {"moved", "loose"}


def test_what_a_dead_process_had_not_synced_is_synced_before_anything_follows_from_it(
    tmp_path: Path, env: FakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fold dies between the rename of the root and its sync; another sweeps what that root covers; the power fails."""
    (tmp_path / "store").mkdir()
    ledger = Ledger(tmp_path / "store")
    folder, real = str(tmp_path / "store" / "ops"), disk.Folders.sync

    def sync(self: disk.Folders, path: str) -> None:
        if path == folder:
            raise Crash
        real(self, path)

    with ledger.watching():
        ns = open_ns(tmp_path / "store", env)
        ns.put_many({"a": b"1", "b": b"2"})
        ns.compact()
        ns.put("c", b"3")
        with monkeypatch.context() as patch:
            patch.setattr(disk.Folders, "sync", sync)
            with pytest.raises(Crash):
                ns.compact(full=False)
        other = open_ns(tmp_path / "store", env)
        for _ in range(3):
            run(other._core.compactor().sweep_once(insist=True))
            env.advance(40)
            swept = run(other._core.compactor().sweep_once(insist=True))
    assert not list((tmp_path / "store").glob("ops/log/*/*")), swept
    for seed in range(20):
        ledger.rebuild(len(ledger.events), tmp_path / f"after-{seed}", Luck(0.5, seed))
        ns = open_ns(tmp_path / f"after-{seed}", env)
        assert {entry.key: ns.read(entry.key) for entry in ns.list()} == {"a": b"1", "b": b"2", "c": b"3"}


@pytest.mark.parametrize("guard", [True, False])
def test_an_update_does_not_outlive_what_it_was_decided_on(
    tmp_path: Path, env: FakeEnv, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """A buffered writer's put is read by an update, and the power fails when that has committed."""
    if not guard:
        monkeypatch.setattr(update, "sync_what_was_read", unguarded)
    (tmp_path / "store").mkdir()
    ledger = Ledger(tmp_path / "store")
    core = CoreStore(LocalStore(tmp_path / "store", lanes=True, buffered=True), env)
    with ledger.watching():
        put = Datastore(core).namespace("ops")
        put._core._proved = True
        put.put("seen", b"1")
        ns = open_ns(tmp_path / "store", env)
        ns.update(["seen", "decided"], lambda held: {"decided": b"because of " + (held["seen"] or b"nothing")})
    ledger.rebuild(len(ledger.events), tmp_path / "after", Luck(0.0))
    after = open_ns(tmp_path / "after", env)
    assert after.read("decided") == b"because of 1"
    assert (after.get("seen") is not None) is guard


async def unguarded(*_: object) -> None:
    """The guard off."""
