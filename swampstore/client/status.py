"""The state of a namespace at a glance, from one list and one conditional read.

Everything comes from the root and from names: nothing here reads a shard, so it costs the same at a thousand entries and
at a million, and may be polled. What only a look at the records can tell (bytes of contents, live entries to the last
one) is left to ``doctor --deep``; queues are looked at only when asked for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from swampstore.limits import MIB
from swampstore.protocols.log import Listing, list_and_root, oldest_ms, segments_in, unfolded
from swampstore.protocols.place import Place
from swampstore.protocols.queue import fair_queue
from swampstore.protocols.queue_status import QueueStatus, queue_names, queue_status
from swampstore.protocols.register import Register, Seen
from swampstore.values.audit import BLOCKS, format_of
from swampstore.values.names import lane_writer
from swampstore.values.root import Root
from swampstore.workers.audit_spool import SpoolStatus

NAMED = 5
"""Set-aside segments that are named; all of them are counted."""
_RECORD_BYTES = 40
_LANE_BYTES = 64 * MIB
"""Of lane files longer than that, behind what is folded, only so much is looked at: then ``log_depth`` is a lower bound."""
_TICKETS = 20


class NamespaceStatus(msgspec.Struct, frozen=True):
    """Sizes are stored bytes, ages seconds. ``records`` counts the manifest's, tombstones included.

    ``entries`` is ``records`` without tombstones: exact when ``level0_runs`` and ``level0_inline`` are 0, an upper bound
    otherwise. ``ephemeral`` counts records of runtime state (tombstones included), ``audit`` folded audit records, of
    which ``audit_unsorted`` archives are not sorted by topic and day yet. ``log_depth`` counts segments (and frames of
    lane files) that are not folded yet, ``log_segments`` all objects of the log. ``queues`` is
    ``None`` unless asked for.
    """

    namespace: str
    root_version: int
    entries: int
    records: int
    tombstones: int
    shards: int
    shard_bytes: int
    level0_runs: int
    level0_bytes: int
    level0_inline: int
    manifest_bytes: int
    packs: int
    log_segments: int
    log_bytes: int
    log_depth: int
    oldest_unfolded_s: float
    writers: int
    leader: str
    epoch: int
    garbage: int
    garbage_runs: int
    quarantined: int
    quarantine: tuple[str, ...]
    root_age_s: float
    settings: dict[str, Any]
    ephemeral: int = 0
    ephemeral_bytes: int = 0
    audit: int = 0
    audit_bytes: int = 0
    audit_unsorted: int = 0
    queues: tuple[QueueStatus, ...] | None = None
    audit_format: str = BLOCKS
    audit_problem: str = ""
    """Why archives are not sorted; empty when all is well."""
    spool: SpoolStatus | None = None
    """Audit records that wait on this machine; ``None`` where there is no spool."""

    @property
    def exists(self) -> bool:
        """Whether the namespace has ever been written to."""
        return bool(self.root_version or self.log_segments)


class Positions(msgspec.Struct, frozen=True):
    """How far each lane has come, by what was listed and what is folded: only ever up.

    ``slots`` of the lanes that are segments, ``offsets`` (bytes) of those that are files.
    """

    slots: dict[str, int]
    offsets: dict[str, int]

    def slots_since(self, before: Positions) -> int:
        """How many slots were taken since an earlier look, in the lanes that are still there."""
        return _risen(self.slots, before.slots)

    def bytes_since(self, before: Positions) -> int:
        """How many bytes of lane files were written since then."""
        return _risen(self.offsets, before.offsets)


def _risen(now: dict[str, int], before: dict[str, int]) -> int:
    return sum(max(place - before.get(lane, 0), 0) for lane, place in now.items())


async def status_of(place: Place, register: Register, *, queues: bool = False) -> NamespaceStatus:
    """One list and one conditional read. Raises ``Damaged`` for a lost root."""
    return (await look(place, register, queues=queues))[0]


async def look(place: Place, register: Register, *, queues: bool = False) -> tuple[NamespaceStatus, Positions]:
    """Like :func:`status_of`, with the positions that two looks are compared by."""
    listing, seen = await list_and_root(place, register, most_bytes=_LANE_BYTES)
    status, positions = _status(place.names.namespace, listing, seen), _positions(listing, seen.root)
    if queues:
        status = msgspec.structs.replace(status, queues=await _queues(place))
    return status, positions


def _positions(listing: Listing, root: Root) -> Positions:
    found = {lane: root.watermark(lane) for lane in root.watermarks if lane not in listing.files}
    for lane, listed in listing.lanes.items():
        found[lane] = max(found.get(lane, 0), listed[-1])
    return Positions(found, {lane: max(tail.end, root.watermark(lane)) for lane, tail in listing.files.items()})


async def _queues(place: Place) -> tuple[QueueStatus, ...]:
    names = await queue_names(place)
    return tuple([await queue_status(fair_queue(place, name), limit=_TICKETS) for name in names])


def _status(namespace: str, listing: Listing, seen: Seen) -> NamespaceStatus:
    slots, root = unfolded(listing, seen.root), seen.root
    audit, garbage = root.audit, root.garbage
    oldest = oldest_ms(listing, slots)
    tombstones = sum(run.tombstones for run in (*root.level0, *root.shards)) + sum(one.gone for one in root.inline)
    shard_bytes, level0_bytes = (sum(run.size for run in runs) for runs in (root.shards, root.level0))
    return NamespaceStatus(
        namespace=namespace,
        root_version=root.version,
        entries=root.entries - tombstones,
        records=root.entries,
        tombstones=tombstones,
        shards=len(root.shards),
        shard_bytes=shard_bytes,
        level0_runs=len(root.level0),
        level0_bytes=level0_bytes,
        level0_inline=len(root.inline),
        manifest_bytes=shard_bytes + level0_bytes + _inline_bytes(root),
        packs=len(root.packs),
        log_segments=listing.names,
        log_bytes=listing.bytes,
        log_depth=segments_in(slots),
        oldest_unfolded_s=max(seen.time - oldest, 0) / 1000 if oldest else 0.0,
        writers=sum(lane_writer(lane) is not None for lane in root.watermarks),
        leader=root.leader.who if root.leader else "",
        epoch=root.epoch,
        garbage=len(garbage),
        garbage_runs=sum(not item.name.startswith(("blob/", "pack/")) for item in garbage),
        quarantined=len(root.quarantine),
        quarantine=tuple(item.name for item in root.quarantine[:NAMED]),
        root_age_s=max(seen.time - seen.modified, 0) / 1000 if seen.modified else 0.0,
        settings=root.settings,
        ephemeral=len(root.eph.inline) + sum(run.count for run in root.eph.runs),
        ephemeral_bytes=sum(run.size for run in root.eph.runs),
        audit=len(audit.inline) + sum(one.run.count for one in audit.fresh) + audit.records,
        audit_bytes=sum(one.run.size for one in audit.fresh) + audit.bytes,
        audit_unsorted=len(audit.fresh),
        audit_format=format_of(root.settings),
        audit_problem=audit.problem,
    )


def _inline_bytes(root: Root) -> int:
    return sum(len(record.key) + len(record.value) + _RECORD_BYTES for record in root.inline)
