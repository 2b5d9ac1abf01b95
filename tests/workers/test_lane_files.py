"""Lane files from their first frame to their end: folded, swept when nobody appends any more, brought back from a lost root."""

from __future__ import annotations

from pathlib import Path

import pytest

import swampstore
from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.env.blocking import run
from swampstore.errors import NotFound
from swampstore.stores.base import Create
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.lane_file import HEADER_BYTES, encode_frame, lane_salt
from swampstore.workers import rebuild
from swampstore.workers.fold import FoldReport


class World:
    """A store in memory whose lanes are files, and processes over it."""

    def __init__(self) -> None:
        self.env = FakeEnv()
        self.store = MemoryStore(self.env, lanes=True)

    def process(self) -> CoreNamespace:
        ns = CoreStore(self.store, self.env).namespace("ops")
        ns._proved = True  # the probe is tested elsewhere
        return ns

    def put(self, ns: CoreNamespace, *keys: str) -> None:
        for key in keys:
            record = swampstore.Put(key=key, data=b"x")
            run(ns.append([record]))

    def files(self) -> list[str]:
        return [name for name in self.store._objects if name.endswith("/lane")]

    def compact(self, ns: CoreNamespace) -> FoldReport:
        return run(ns.compactor().round(stay=False, insist=True)).fold


def test_a_file_goes_when_its_owner_is_gone_and_its_last_frame_covered_for_the_grace() -> None:
    world = World()
    owner, other = world.process(), world.process()
    world.put(owner, "a", "b")
    (name,) = world.files()
    assert world.compact(other).deltas == 2
    world.env.advance(60)
    world.compact(other)
    assert world.files() == [name], "its owner may append to it"
    assert owner.writer.files is not None
    owner.writer.files.drop()
    world.put(owner, "c")
    (second,) = set(world.files()) - {name}
    world.compact(other)
    assert world.files() == [second]
    owner.writer.files.drop()
    assert world.compact(other).published is False
    assert world.files() == [second], "the root that covers it was published just now"
    world.env.advance(60)
    world.compact(other)
    assert world.files() == []
    snapshot = run(other.snapshot())
    assert [entry.key for entry in run(snapshot.page()).entries] == ["a", "b", "c"]
    assert len(snapshot.root.watermarks) == 2
    for _ in range(2):
        world.env.advance(26 * 3600)
        world.compact(other)
        run(other.compactor().round(stay=False, insist=True))
    world.put(world.process(), "d")
    world.compact(other)
    assert len(run(other.snapshot()).root.watermarks) < 3, "what has no file any more is forgotten in time"


def test_a_file_without_a_frame_goes_with_its_owner() -> None:
    world = World()
    owner, other = world.process(), world.process()
    world.put(other, "a")
    assert owner.writer.files is not None
    run(owner.writer.files._open())
    assert len(world.files()) == 2
    world.compact(other)
    assert len(world.files()) == 2
    owner.writer.files.drop()
    world.compact(other)
    assert len(world.files()) == 1


def upload(ns: CoreNamespace) -> str:
    """A content object that nothing names."""
    _, name = ns.place.new_object("blob")
    run(ns.place.store.put(name, b"content", Create()))
    return name


def test_a_file_with_a_frame_that_cannot_be_read_is_never_deleted() -> None:
    """Its owner was at fault: what the frame was to say is nowhere else. The fold names the file and goes on behind it."""
    world = World()
    owner, other = world.process(), world.process()
    world.put(owner, "a")
    assert owner.writer.files is not None
    lane, file = owner.writer.files.lane, owner.writer.files.file
    assert file is not None
    file.append_now(encode_frame(lane_salt(lane), file.end, b"\x95junk", 1))
    world.put(owner, "b")
    owner.writer.files.drop()
    before = upload(other)
    assert world.compact(other).quarantined == 1
    (name,) = world.files()
    world.env.advance(3600)
    upload(other)
    for _ in range(3):
        world.env.advance(26 * 3600)
        world.compact(other)
        run(other.compactor().sweep_once(insist=True))
    assert world.files() == [name]
    assert [item.name for item in run(world.store.list("ops/blob/")).items] == [before], "the frame may name it"
    snapshot = run(other.snapshot())
    assert [item.name for item in snapshot.root.quarantine] == [name]
    assert [entry.key for entry in run(snapshot.page()).entries] == ["a", "b"]


def test_a_fold_syncs_what_it_has_read_before_it_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    owner, other = world.process(), world.process()
    world.put(owner, "a")
    assert world.store.lanes is not None
    synced: list[int] = []
    real = world.store.lanes.sync_lane

    async def sync_lane(name: str) -> None:
        synced.append(run(other.register.read()).root.version)
        await real(name)

    monkeypatch.setattr(world.store.lanes, "sync_lane", sync_lane)
    world.compact(other)
    assert synced == [0]
    assert run(other.register.read()).root.version == 1

    async def gone(name: str) -> None:
        raise NotFound(name)

    monkeypatch.setattr(world.store.lanes, "sync_lane", gone)
    world.put(owner, "b")
    assert world.compact(other).published is False, "a file that is gone is covered by a root not read yet"


def test_a_lost_root_is_rebuilt_with_what_lane_files_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "SETTLE_S", 0.0)
    url = f"file://{tmp_path / 'store'}?lanes=on"
    with swampstore.open(url, create=True) as store:
        ns = store.namespace("ops")
        for number in range(30):
            ns.put(f"a/{number:02}", b"x" * 400)
        ns.compact(full=True)
        for number in range(10):
            ns.put(f"b/{number}", b"y")
        ns.delete("a/07")
        ns.update("b/3", lambda _: b"z")
    (tmp_path / "store" / "ops" / "root").unlink()
    with swampstore.open(url) as store:
        ns = store.namespace("ops")
        assert [one.code for one in ns.doctor().findings] == ["root-lost"]
        ns.repair(dry_run=False, accept_loss=True)
        assert len(list(ns.list("a/"))) == 29
        assert ns.get("a/07") is None
        assert [ns.read(f"b/{number}") for number in (2, 3)] == [b"y", b"z"]
        assert HEADER_BYTES not in ns._core.register.last.root.watermarks.values(), "all of it was folded again"
        assert ns.doctor(deep=True).healthy
