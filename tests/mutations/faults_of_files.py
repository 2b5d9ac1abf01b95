"""Faults of lanes that are files; see :mod:`.faults`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import msgspec

from swampstore.protocols import log, tails
from swampstore.protocols.slots import Stretch, Tails
from swampstore.testing.sim_files import SimFiles
from swampstore.values.lane_file import FRAME_HEAD_BYTES
from swampstore.workers import fold, sweep_log


def past_torn() -> AbstractContextManager[Any]:
    """The head of a torn frame at the end of a file counts as read: the watermark goes behind it."""
    real = fold._publish

    async def publish(place: Any, reg: Any, leads: Any, prior: Any, read: Any, found: Any, **more: Any) -> Any:
        ends = {(lane, tail.end) for lane, tail in read.listing.files.items() if tail.stuck}
        for at, item in enumerate(found):
            if isinstance(item, Stretch) and (item.header.lane, item.header.slot) in ends:
                header = msgspec.structs.replace(item.header, slot=item.header.slot + FRAME_HEAD_BYTES)
                found[at] = msgspec.structs.replace(item, header=header)
        return await real(place, reg, leads, prior, read, found, **more)

    return patch.object(fold, "_publish", publish)


def fold_unsynced() -> AbstractContextManager[Any]:
    """Frames are folded that a power failure may take from their file."""

    async def sync_lanes(*_: Any) -> None:
        return None

    return patch.object(fold, "_sync_lanes", sync_lanes)


def unlink_unlocked() -> AbstractContextManager[Any]:
    """A file that seems to be folded is deleted as any object is, whoever holds its lock."""

    async def remove_lane(self: SimFiles, name: str, covered: int) -> bool:
        await self._store.inner.delete([name])
        return True

    return patch.object(SimFiles, "remove_lane", remove_lane)


def unlink_early() -> AbstractContextManager[Any]:
    """A file goes as soon as it is folded: who has read an older root is not waited for."""

    def covered_files(listing: Any, roots: Any) -> dict[str, int]:
        return {
            tail.name: tail.end
            for lane, tail in listing.files.items()
            if tail.end <= max(seen.root.watermark(lane) for seen in roots)
        }

    return patch.object(sweep_log, "covered_files", covered_files)


def stale_tails() -> AbstractContextManager[Any]:
    """What is known of a file is believed to be all there is."""
    real = tails.read_tails

    async def read_tails(place: Any, lanes: Any, root: Any, *, looked: Any = None, **more: Any) -> Any:
        lanes, known = list(lanes), place.caches.tails.get(place.names.log)
        if looked is not None:
            looked = looked[0], msgspec.structs.replace(looked[1], found={})
        elif known and set(lanes) <= set(known.tails):
            return Tails.of(root, {lane: known.tails[lane] for lane in lanes}), False
        return await real(place, lanes, root, looked=looked, **more)

    return patch.object(log, "read_tails", read_tails)


def gap_as_end() -> AbstractContextManager[Any]:
    """A lane of segments ends at the first slot that is missing, though it may be missing because it was deleted."""
    return patch.object(log, "_reaches", lambda *_: True)
