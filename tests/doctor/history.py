"""Namespaces with everything in them, for the doctor to look at."""

from __future__ import annotations

from swampstore.env.blocking import run
from tests.workers.world import DAY_S, Process, World, blob, packed


def busy(world: World) -> Process:
    """Shards, level-0 runs, inline records, contents, garbage, and a log that is not folded."""
    process = world.process()
    parts = [process.upload() for _ in range(3)]
    pack = process.upload("pack")
    process.put_all({f"k/{number:04}": b"v" * 30 for number in range(60)})
    for number, part in enumerate(parts):
        process.put(f"blob/{number}", b"content", at=blob(part))
    process.put("pack/0", b"c", at=packed(pack))
    process.put("pack/1", b"o", at=packed(pack, 1))
    world.model |= dict.fromkeys(("blob/0", "blob/1", "blob/2", "pack/0", "pack/1"), b"")  # not read by ``found``
    process.compact()
    process.delete("blob/0")
    process.put_all({f"k/{number:04}": b"w" * 30 for number in range(0, 60, 3)})
    process.fold()
    world.env.advance(60)
    process.put_all({f"m/{number:04}": b"w" * 30 for number in range(20)})
    process.fold()
    process.put("k/0003", b"last")
    return process


def days_pass(world: World) -> None:
    """Five days with a little work on each: writers retire, and tombstones of the first may be forgotten."""
    for day in range(5):
        world.env.advance(1.1 * DAY_S)
        process = world.process()
        process.put(f"day/{day}", b"1")
        for _ in range(3):
            world.env.advance(60)
            run(process.compactor.round(stay=False, insist=True, full=True))
            process.put("tick", b"1")
