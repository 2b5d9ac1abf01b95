"""The repair of heads: the record that says the highest ordinal a datum was ever given.

A head is raised by an append like any other; the join takes the higher of two, so it cannot go back.
"""

from __future__ import annotations

from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.writer import Writer
from swampstore.workers.doctor.deep import not_folded
from swampstore.workers.doctor.deep_data import DataModel, head_of
from swampstore.workers.doctor.mending import Ground, Step, Told, shown

_AT_ONCE = 1000


async def mend(ground: Ground, told: Told) -> None:
    """Raise heads that are below an ordinal that exists. Reads the whole manifest."""
    if not ground.deep:
        return
    place = ground.place
    snapshot = await SnapshotReader(place, ground.register).open()
    data = DataModel(place.clock.now_ms(), not_folded(snapshot, snapshot.root))
    async for records in snapshot.records(internal=True):
        for record in records:
            data.feed(record)
    data.end()
    if not data.heads:
        return
    told(Step("head", place.names.prefix, f"raise the heads of {len(data.heads):,} data", keys=shown(list(data.heads))))
    if ground.dry_run:
        return
    writer, items = Writer(place), list(data.heads.items())
    for start in range(0, len(items), _AT_ONCE):
        await writer.append([head_of(item, ordinal) for item, ordinal in items[start : start + _AT_ONCE]])
