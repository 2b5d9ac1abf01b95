"""The repair of what retired writers left behind, and of what lies behind a lost frame: appended again, same versions."""

from __future__ import annotations

from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.writer import Writer
from swampstore.workers.doctor.damage import damages
from swampstore.workers.doctor.left import leftovers
from swampstore.workers.doctor.mending import Ground, Step, Told, shown
from swampstore.workers.doctor.sight import look


async def mend(ground: Ground, told: Told) -> None:
    """Append the records that are missing and safe; the segments themselves stay where they are."""
    place = ground.place
    sight = await look(place, ground.register)
    if not sight.root.version:
        return
    snapshot = await SnapshotReader(place, ground.register).open()
    writer = Writer(place)
    damaged = await damages(place, sight.listing)
    async for leftover in leftovers(place, sight.listing, sight.root, snapshot, damaged):
        if not leftover.missing or not leftover.safe:
            continue
        keys = shown([record.key for record in leftover.missing])
        lost = leftover.lost_at >= 0
        why = "lie behind a frame that is lost" if lost else "arrived after their writer was retired"
        text = f"append {len(leftover.missing):,} records again that {why}"
        told(Step("lane-behind" if lost else "left-behind", leftover.name, text, keys=keys))
        if not ground.dry_run:
            await writer.append(leftover.missing)
