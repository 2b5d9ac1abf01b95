"""Packs most of whose members are dead, and what the store weighs."""

from __future__ import annotations

from collections.abc import Mapping

from swampstore.env.blocking import run
from swampstore.protocols.contents import read_content, upload
from swampstore.values.entry import Meta, put_record
from swampstore.workers.prune import Prune, PruneReport, repack_all
from swampstore.workers.report import RepackReport
from tests.workers.world import Process, World

HOUR_S = 3600.0
BODY = 5000


def body(key: str) -> bytes:
    return (key.encode() + b".") * (BODY // (len(key) + 1))


def put_packed(world: World, process: Process, keys: list[str], bodies: Mapping[str, bytes] | None = None) -> None:
    """Put keys whose contents share one pack."""
    world.tick()
    held = bodies or {key: body(key) for key in keys}
    placed = run(upload(process.place, dict(held)))
    process.append(
        [
            put_record(
                key,
                process.writer.new_version(),
                Meta(size=placed[key].size, at=placed[key].at, sha256=placed[key].sha256),
            )
            for key in keys
        ]
    )
    world.model.update({key: held[key] for key in keys})


def half_dead_packs(world: World, packs: int = 2, members: int = 8, dead: int = 5) -> tuple[Process, dict[str, bytes]]:
    """A compacted namespace with ``packs`` packs, ``dead`` of the members of each deleted, two days ago."""
    process = world.process()
    for pack in range(packs):
        put_packed(world, process, [f"{number}/{pack}" for number in range(members)])
    process.compact()
    process.delete(*[f"{number}/{pack}" for pack in range(packs) for number in range(dead)])
    process.compact()
    world.env.advance(48 * HOUR_S)
    return process, dict(world.model)


def contents_of(process: Process) -> dict[str, bytes]:
    """Every live entry's contents, hash checked."""
    entries = run(run(process.reader.open()).page()).entries
    return {entry.key: run(read_content(process.place, entry)) for entry in entries}


def repack(process: Process, *, dry_run: bool = False) -> RepackReport:
    return run(repack_all(process.place, process.register, process.compactor._leadership, dry_run=dry_run))


def prune(process: Process, *, dry_run: bool = False) -> PruneReport:
    return run(Prune(process.place, process.register, process.reader, process.writer.append).run(dry_run=dry_run))


def settled(world: World, process: Process) -> None:
    """Prune and compact until every grace has passed."""
    for _ in range(4):
        prune(process)
        process.fold()
        process.merge()
        world.env.advance(25 * HOUR_S + 10)
    prune(process)


def weight(world: World, *kinds: str) -> int:
    """Bytes of objects in the store, by folder."""
    return sum(len(world.store.raw(name)) for kind in kinds for name in world.store.names(f"ns/{kind}/"))
