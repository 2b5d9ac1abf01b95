"""What a commit was decided on is on the disk before the commit is: nothing outlives what it follows from.

A frame of a lane file can be read as soon as it is written, and a record that its writer has not been told of yet, or that a
*buffered* writer put there, may still go with the power. An update that has read one syncs the file first. Which file that
is the writer's id in the version says; where it is no lane's (versions that were made before their lane was), any may be it.

Invariant: when an update has committed, every record of its footprint that it saw is durable.
"""

from __future__ import annotations

from collections.abc import Mapping

from swampstore.errors import NotFound
from swampstore.protocols.place import Place
from swampstore.protocols.slots import FileSlot
from swampstore.protocols.snapshot import Snapshot
from swampstore.stores.lanes import lanes_of
from swampstore.values.entry import Record
from swampstore.values.names import writer_lane
from swampstore.values.version import split_version


async def sync_what_was_read(place: Place, snapshot: Snapshot, records: Mapping[str, Record | None]) -> None:
    """Sync the lane files whose unfolded frames ``snapshot`` has ``records`` from. Nothing to do for other stores."""
    store = lanes_of(place.store)
    files = {slot[0] for slot in snapshot.slots if isinstance(slot, FileSlot)}
    if store is None or not files:
        return
    fresh = [record for key, record in records.items() if record is not None and snapshot.overlay.get(key) is record]
    lanes = {writer_lane(split_version(record.version)[1]) for record in fresh}
    for lane in sorted(files & lanes if lanes <= files else files):
        try:
            await store.sync_lane(place.names.lane_file(lane))
        except NotFound:
            continue  # folded since, and synced before that
