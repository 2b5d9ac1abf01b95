"""The state of a namespace at a glance, from one list and one conditional read."""

from __future__ import annotations

import msgspec

from swampstore.protocols.log import list_and_root, oldest_ms, unfolded
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register


class NamespaceStatus(msgspec.Struct, frozen=True):
    """Sizes are stored bytes, ages seconds. ``records`` counts the manifest's, tombstones included."""

    namespace: str
    root_version: int
    records: int
    tombstones: int
    shards: int
    shard_bytes: int
    level0_runs: int
    level0_inline: int
    log_segments: int
    log_depth: int
    oldest_unfolded_s: float
    writers: int
    leader: str
    epoch: int
    garbage: int
    quarantined: int
    root_age_s: float


async def status_of(place: Place, register: Register) -> NamespaceStatus:
    """One list and one conditional read. Raises ``Damaged`` for a lost root."""
    listing, seen = await list_and_root(place, register)
    slots, root = unfolded(listing, seen.root), seen.root
    runs = (*root.level0, *root.shards)
    oldest = oldest_ms(listing, slots)
    return NamespaceStatus(
        namespace=place.names.namespace,
        root_version=root.version,
        records=root.entries,
        tombstones=sum(run.tombstones for run in runs) + sum(record.gone for record in root.inline),
        shards=len(root.shards),
        shard_bytes=sum(run.size for run in root.shards),
        level0_runs=len(root.level0),
        level0_inline=len(root.inline),
        log_segments=listing.names,
        log_depth=len(slots),
        oldest_unfolded_s=max(seen.time - oldest, 0) / 1000 if oldest else 0.0,
        writers=len(root.watermarks),
        leader=root.leader.who if root.leader else "",
        epoch=root.epoch,
        garbage=len(root.garbage),
        quarantined=len(root.quarantine),
        root_age_s=max(seen.time - seen.modified, 0) / 1000 if seen.modified else 0.0,
    )
