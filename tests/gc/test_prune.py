"""Prune says in bytes what it deletes, and those bytes are really gone."""

from __future__ import annotations

from swampstore.env.blocking import run
from swampstore.protocols.contents import upload
from swampstore.stores.base import Overwrite
from swampstore.values.data import head_key, latest_path, meta_path, raw_path
from swampstore.values.entry import Inline, Meta, put_record, tombstone
from swampstore.values.version import just_above
from tests.gc.packs import HOUR_S, body, contents_of, half_dead_packs, prune, put_packed, weight
from tests.gc.support import collect, datum, everything, pending, version_records
from tests.workers.world import World, blob

ALL = ("blob", "pack", "l0", "shard")


def test_bytes_said_are_bytes_gone(world: World, tiny: None) -> None:
    process, wanted = half_dead_packs(world)
    for number in range(3):
        process.append(version_records(process, datum("a", number + 1, keep="1"), at=blob(process.upload()), size=7))
    process.compact()
    process.upload(body=b"an orphan of a crash" * 10)
    process.upload("pack", b"another")
    world.env.advance(25 * HOUR_S)
    report, _ = collect(world.process())
    assert (report.superseded, report.blob_bytes) == (2, 14)
    process.compact()
    seen = 0
    for _ in range(5):
        dry = prune(world.process(), dry_run=True)
        before = weight(world, *ALL)
        assert weight(world, *ALL) == before
        done = prune(world.process())
        assert (done.garbage, done.bytes, done.orphans) == (dry.garbage, dry.bytes, dry.orphans)
        assert (done.repacked, done.repacked_bytes) == (dry.repacked, dry.repacked_bytes)
        seen += done.bytes
        written = weight(world, *ALL) - before + done.bytes
        assert written >= 0
        if not done.repacked:
            assert before - weight(world, *ALL) == done.bytes
        world.env.advance(25 * HOUR_S)
    assert prune(world.process(), dry_run=True).removed == 0
    left = {key: held for key, held in contents_of(world.process()).items() if not key.startswith("data/")}
    assert left == wanted
    assert len(world.store.names("ns/blob/")) == 1
    assert len(world.store.names("ns/pack/")) == 1
    assert seen > 200


def test_bytes_a_gc_says_are_bytes_gone_after_the_sweeps(world: World, tiny: None) -> None:
    """Each kind by its own way: blobs by the sweep, packs by the repack, both a day later; inline ones are no objects."""
    process = world.process()
    soon = process.place.clock.now_ms() + 1000
    bodies = {f"{number}": body(f"{number}") for number in range(6)}
    placed = run(upload(process.place, bodies))
    for number in range(6):
        held = datum("packed", number + 1, keep="2")
        made = placed[f"{number}"]
        process.append(version_records(process, held, at=made.at, size=made.size, metadata=False))
    for number in range(4):
        at = blob(process.upload(body=b"b" * (100 + number)))
        expires = 0 if number == 3 else soon
        process.append(version_records(process, datum("blobs", number + 1), at=at, size=100 + number, expires=expires))
    process.compact()
    world.env.advance(48 * HOUR_S)
    blobs, packs = weight(world, "blob"), weight(world, "pack")
    report, _ = collect(world.process())
    assert (report.superseded, report.expired) == (4, 3)
    assert report.blob_bytes == 100 + 101 + 102
    assert report.pack_bytes == 4 * len(body("0"))
    assert report.bytes == report.blob_bytes + report.pack_bytes + report.inline_bytes
    for _ in range(3):
        prune(process)
        process.fold()
        process.merge()
        world.env.advance(25 * HOUR_S)
    prune(process)
    assert blobs - weight(world, "blob") == report.blob_bytes
    assert packs - weight(world, "pack") == report.pack_bytes


def test_what_waits_is_named_with_its_bytes(world: World, tiny: None) -> None:
    process = world.process()
    process.put("a", at=blob(process.upload(body=b"x" * 1000)))
    process.compact()
    process.delete("a")
    process.compact()
    report = prune(world.process(), dry_run=True)
    assert (report.garbage, report.bytes) == (0, 0)
    assert report.waiting >= 1
    assert report.waiting_bytes >= 1000
    world.env.advance(25 * HOUR_S)
    assert prune(world.process()).garbage_bytes >= 1000
    assert not world.store.names("ns/blob/")


def test_a_blob_that_two_versions_share_goes_with_the_last(world: World, tiny: None) -> None:
    process = world.process()
    shared = process.upload(body=b"same contents")
    for number in range(3):
        process.append(version_records(process, datum("a", number + 1, keep="2"), at=blob(shared), size=13))
    process.compact()
    report, _ = collect(world.process())
    assert (report.superseded, report.bytes) == (1, 2)  # its metadata; the contents stay with the others
    process.compact()
    world.env.advance(25 * HOUR_S)
    assert prune(world.process()).garbage_bytes == 0 or world.store.names("ns/blob/")
    assert world.store.names("ns/blob/") == [f"ns/blob/{shared}"]
    process.append([tombstone(raw_path(datum("a", 1).item, number), process.writer.new_version()) for number in (2, 3)])
    process.compact()
    world.env.advance(25 * HOUR_S)
    prune(world.process())
    assert not world.store.names("ns/blob/")


def test_leftovers_of_versions(world: World, tiny: None) -> None:
    process = world.process()
    held = datum("a", 0)
    process.append([pending(process, held) for _ in range(3)])
    process.append([pending(process, datum("b", 0))])
    process.compact()
    plain = Meta(size=1, at=Inline(b"1"))
    names = [latest_path(held.item), latest_path(datum("b", 0).item), "data/x/y/z/1/metadata.yaml", "data/x/y/z/latest"]
    process.append([put_record(name, process.writer.new_version(), plain) for name in names])
    process.compact()
    assert prune(world.process(), dry_run=True).leftovers == 0
    process.delete(*[raw_path(held.item, ordinal) for ordinal in (1, 2, 3)])
    process.compact()
    assert prune(world.process(), dry_run=True).leftovers == 4
    assert prune(world.process()).leftovers == 4
    left = {key for key, record in everything(process).items() if not record.gone and "\0" not in key}
    other = datum("b", 0).item
    assert left == {raw_path(other, 1), meta_path(other, 1), latest_path(other), *names[2:]}
    assert head_key(held.item) in everything(process)  # no number is given twice
    assert just_above(b"") == b"\xff"


def test_an_empty_namespace(world: World) -> None:
    assert prune(world.process()).removed == 0
    assert collect(world.process())[0].entries == 0


def test_foreign_objects_stay(world: World, tiny: None) -> None:
    process = world.process()
    put_packed(world, process, ["a", "b"])
    run(world.store.put("ns/blob/README", b"not ours", Overwrite()))
    world.env.advance(48 * HOUR_S)
    assert prune(world.process()).orphans == 0
    assert "ns/blob/README" in world.store.names("ns/blob/")
