"""Packs that are more than half dead are rewritten: bytes come back, nobody notices, and whoever is newer wins."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.limits import CONTENT_GRACE_MS
from swampstore.protocols.pins import pin_snapshot
from swampstore.values.classes import as_ephemeral
from swampstore.values.entry import Blob, Meta, Packed, put_record
from swampstore.workers import fold, side_runs
from swampstore.workers import repack as repack_module
from tests.gc.packs import HOUR_S, body, contents_of, half_dead_packs, prune, put_packed, repack, settled, weight
from tests.gc.support import everything
from tests.workers.world import Process, World


def test_bytes_come_back_and_are_those_that_were_said(world: World, tiny: None) -> None:
    process, wanted = half_dead_packs(world, packs=3)
    before = weight(world, "pack")
    dry = repack(world.process(), dry_run=True)
    assert (dry.packs, dry.published, weight(world, "pack")) == (3, False, before)
    report = repack(world.process())
    assert report.published
    assert (report.packs, report.packs_made, report.members) == (3, 1, 9)
    assert (report.bytes, report.live_bytes) == (dry.bytes, dry.live_bytes)
    assert contents_of(world.process()) == wanted
    assert weight(world, "pack") > before  # the old ones have their grace
    process.compact()
    world.env.advance(CONTENT_GRACE_MS / 1000 + 3)
    run(process.compactor.sweep_once(insist=True))
    assert before - weight(world, "pack") == report.bytes
    assert contents_of(world.process()) == wanted
    assert repack(world.process()).packs == 0


def test_versions_are_those_of_the_puts(world: World, tiny: None) -> None:
    """Nobody who remembers a version sees a change: what was put is what it was. Where it lies wins over where it lay."""
    process, _ = half_dead_packs(world)
    before = {entry.key: entry.version for entry in run(run(world.process().reader.open()).page()).entries}
    records = everything(process)
    assert repack(world.process()).members == 6
    assert {entry.key: entry.version for entry in run(run(world.process().reader.open()).page()).entries} == before
    for key, moved in everything(process).items():
        assert (moved.version > records[key].version) == (key in before)
    process.compact()


def test_what_is_left_alone(world: World, tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs that are young, that live by half or more, or that level 0 names."""
    process = world.process()
    put_packed(world, process, [f"half/{number}" for number in range(8)])
    process.compact()
    process.delete(*[f"half/{number}" for number in range(4)])
    process.compact()
    world.env.advance(48 * HOUR_S)
    put_packed(world, process, [f"young/{number}" for number in range(8)])
    process.compact()
    process.delete(*[f"young/{number}" for number in range(7)])
    process.compact()
    assert repack(world.process()).packs == 0
    world.env.advance(23 * HOUR_S)
    assert repack(world.process()).packs == 0
    process.delete("half/4")
    process.fold()
    assert repack(world.process()).packs == 0  # the tombstone has not been merged: the shard still names it
    process.merge()
    world.env.advance(2 * HOUR_S)
    assert repack(world.process(), dry_run=True).packs == 2
    monkeypatch.setattr(repack_module, "PACKS_AT_ONCE_BYTES", 1)
    assert repack(world.process()).packs == 2  # one after the other


@pytest.mark.parametrize("spilled", [False, True], ids=["inline", "run"])
def test_a_pack_that_level_0_names_waits(
    spilled: bool, world: World, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, _ = half_dead_packs(world, packs=1)
    (pack,) = process.root.packs
    meta = Meta(size=1, at=Packed(pack, 0, 1))
    process.append([put_record("again", process.writer.new_version(), meta)])
    if spilled:
        monkeypatch.setattr(fold, "INLINE_LEVEL0_BYTES", 0)
    process.fold()
    assert (len(process.root.level0), len(process.root.inline)) == ((1, 0) if spilled else (0, 1))
    assert repack(world.process()).packs == 0
    process.merge()
    assert repack(world.process()).packs == 1


@pytest.mark.parametrize("spilled", [False, True], ids=["inline", "run"])
def test_a_pack_that_runtime_state_names_waits(
    spilled: bool, world: World, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, _ = half_dead_packs(world, packs=1)
    (pack,) = process.root.packs
    meta = Meta(size=1, at=Packed(pack, 0, 1))
    process.append([as_ephemeral(put_record("lease", process.writer.new_version(), meta))])
    if spilled:
        monkeypatch.setattr(side_runs, "INLINE_EPHEMERAL_BYTES", 0)
    process.fold()
    assert (len(process.root.eph.runs), len(process.root.eph.inline)) == ((1, 0) if spilled else (0, 1))
    assert repack(world.process()).packs == 0


def test_a_member_without_its_hash_stays_where_it_is(world: World, tiny: None) -> None:
    process, wanted = half_dead_packs(world, packs=1)
    (name,) = world.store.names("ns/pack/")
    raw = bytearray(world.store.raw(name))
    raw[5 * len(body("5/0")) + 10] ^= 1  # the first member that lives
    from swampstore.stores.base import Overwrite

    run(world.store.inner.put(name, bytes(raw), Overwrite()))
    report = repack(world.process())
    assert (report.members, report.packs_made) == (2, 1)
    settled(world, process)
    assert name in world.store.names("ns/pack/")
    snapshot = run(world.process().reader.open())
    entry = run(snapshot.get("5/0"))
    assert entry is not None
    assert isinstance(entry.meta.at, Packed)
    assert name.endswith(entry.meta.at.unique)
    del wanted["5/0"]


# --- races ----------------------------------------------------------------------------------------------------------------


def meanwhile(world: World, act, *, verb: str = "put", kind: str = "ns/root") -> None:  # type: ignore[no-untyped-def]
    """Call ``act`` right before the first call of ``verb`` on ``kind``."""

    def before(called: str, name: str) -> None:
        if (called, name[: len(kind)]) == (verb, kind):
            world.store.before = lambda verb, name: None
            act()

    world.store.before = before


def change(process: Process, what: str) -> None:
    match what:
        case "put":
            process.put("5/0", b"new")
        case "delete":
            process.delete("5/0")
    if what in ("put", "delete"):
        process.fold()


@pytest.mark.parametrize("merged", [False, True], ids=["folded", "merged"])
@pytest.mark.parametrize("what", ["put", "delete"])
@pytest.mark.parametrize("kind", ["ns/pack", "ns/shard", "ns/root"])
def test_who_writes_meanwhile_wins(what: str, merged: bool, kind: str, world: World, tiny: None) -> None:
    process, _ = half_dead_packs(world)

    def act() -> None:
        change(process, what)
        if merged:
            process.merge()

    meanwhile(world, act, kind=kind)
    report = repack(world.process())
    assert report.raced is merged
    for _ in range(2):
        found = contents_of(world.process())
        assert found.get("5/0") == (b"new" if what == "put" else None)
        assert len(found) == (6 if what == "put" else 5)
        settled(world, process)
    assert len(world.store.names("ns/pack/")) == 1  # the second prune did it, if the first could not


def test_a_removal_that_was_forgotten_does_not_come_back(world: World, tiny: None) -> None:
    """A gc's tombstone of an old version may be dropped by the very merge that applies it. A repack that had read the
    entry before finds its shard replaced: it gives up. (Had it appended the entry, nothing would hold it down.)"""
    process, _ = half_dead_packs(world)

    def act() -> None:
        process.delete("5/0")
        process.compact()
        world.env.advance(80 * HOUR_S)
        for number in range(3):  # the floor rises, the tombstone goes
            process.put(f"later/{number}", b"x")
            run(process.compactor.round(stay=False, insist=True, full=True))
            world.env.advance(30 * HOUR_S)
        assert "5/0" not in everything(process)

    meanwhile(world, act)
    assert repack(world.process()).raced
    assert "5/0" not in contents_of(world.process())


def test_without_looking_at_the_inputs_contents_are_lost(
    world: World, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard off: published over a merge, the counts say that the old packs are free while entries still name them."""
    process, _ = half_dead_packs(world)

    def act() -> None:
        process.put("5/1", b"new")
        process.compact()

    monkeypatch.setattr(repack_module, "still_named", lambda root, refs: True)
    meanwhile(world, act)
    assert repack(world.process()).published
    packs = process.root.packs
    named = [
        entry.key
        for entry in run(run(world.process().reader.open()).page()).entries
        if isinstance(entry.meta.at, Packed) and entry.meta.at.unique not in packs
    ]
    assert named


def test_two_repacks_at_once(world: World, tiny: None) -> None:
    process, wanted = half_dead_packs(world)
    meanwhile(world, lambda: repack(world.process()))
    report = repack(world.process())
    assert report.raced
    assert contents_of(world.process()) == wanted
    settled(world, process)
    assert contents_of(world.process()) == wanted
    assert len(world.store.names("ns/pack/")) == 1


def test_a_pinned_snapshot_reads_on(world: World, tiny: None) -> None:
    process, wanted = half_dead_packs(world)
    reader = world.process()
    pinned = run(pin_snapshot(reader.place, reader.register, reader.reader).__aenter__())
    assert repack(world.process()).published
    for _ in range(120):
        world.env.advance(0.25 * HOUR_S)
        run(pinned.keep())
        run(process.compactor.sweep_once(insist=True))
    from swampstore.protocols.contents import read_content

    entries = run(pinned.snapshot.page()).entries
    assert {entry.key: run(read_content(reader.place, entry)) for entry in entries} == wanted
    run(pinned.release())
    prune(process)
    assert len(world.store.names("ns/pack/")) == 1


def test_the_resident_compactor_frees_what_was_removed(world: World, tiny: None) -> None:
    """In a quiet namespace no merge is due for long: once a day it brings the tombstones down all the same."""
    process = world.process()
    put_packed(world, process, [f"{number}" for number in range(4)])
    process.compact()
    process.delete("0", "1", "2")
    resident = world.process().compactor
    run(resident.round(stay=True, insist=True))
    before = weight(world, "pack")
    for _ in range(80):
        world.env.advance(HOUR_S)
        run(resident.round(stay=True, insist=False))
    assert weight(world, "pack") == before // 4
    assert contents_of(world.process()) == {"3": body("3")}


def test_the_resident_compactor_repacks_once_a_day(world: World, tiny: None) -> None:
    process, wanted = half_dead_packs(world)
    del process
    resident = world.process().compactor
    assert run(resident.round(stay=True, insist=True)).repack is None
    world.env.advance(HOUR_S + 1)
    report = run(resident.round(stay=True, insist=False))
    assert report.repack is not None
    assert report.repack.packs == 2
    assert report.busy
    assert run(resident.round(stay=True, insist=False)).repack is None
    assert contents_of(world.process()) == wanted
    assert not any(isinstance(entry.meta.at, Blob) for entry in run(run(world.process().reader.open()).page()).entries)
