"""How a fold keeps audit records: out of the delta path into archives, never into level 0 or a shard.

The few newest wait inline in the root (12 KB); more than that becomes one fresh archive, all topics mixed, in one write.
A fold that holds no audit records does not look here. Sorting comes later (:mod:`swampstore.workers.archive_sort`).

Invariants: every record is stamped with the root version that takes it in and the slot it came from, and is dropped only
for an equal key that is there already; sums are conserved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from swampstore.errors import Inconsistent
from swampstore.limits import AUDIT_FILE_BYTES, AUDIT_FRESH_FILES, INLINE_AUDIT_BYTES
from swampstore.protocols.place import Place
from swampstore.protocols.slots import slot_of
from swampstore.stores.base import Create
from swampstore.values.audit import first_of, stamped, value_of
from swampstore.values.entry import AUDIT, Record, record_sum
from swampstore.values.root import Audit, Fresh, Root
from swampstore.values.run import build_run
from swampstore.values.segment import Segment

_OVERHEAD = 40


class Archived(msgspec.Struct):
    """What a fold does to the archives; ``taken`` and ``doubled`` count records."""

    audit: Audit
    taken: int = 0
    doubled: int = 0


def is_audit(record: Record) -> bool:
    """Whether ``record`` belongs into an archive."""
    return bool(record.flags & AUDIT)


def sort_due(root: Root) -> bool:
    """Whether enough fresh archives wait for a sort to be worth it."""
    fresh = root.audit.fresh
    return len(fresh) >= AUDIT_FRESH_FILES or sum(one.run.size for one in fresh) >= AUDIT_FILE_BYTES


async def fold_audit(place: Place, root: Root, version: int, segments: Sequence[Segment]) -> Archived:
    """Take the audit records of ``segments`` in, as root ``version``."""
    incoming = [
        stamped(record, version, segment.header.lane, slot_of(segment, index))
        for segment in segments
        for index, record in enumerate(segment.records)
        if record.flags & AUDIT
    ]
    old = root.audit
    if not incoming:
        return Archived(old)
    held = {record.key: record for record in old.inline}
    doubles: list[Record] = []
    for record in incoming:
        other = held.get(record.key)
        held[record.key] = record if other is None else first_of(other, record)
        if other is not None:
            doubles.append(other if held[record.key] is record else record)
    records = [held[key] for key in sorted(held)]
    if _sum(old.inline) + _sum(incoming) != _sum(records) + _sum(doubles):
        raise Inconsistent(f"{place.names.namespace}: the fold does not conserve audit records; nothing was published")
    done = Archived(old, len(incoming), len(doubles))
    if sum(len(record.key) + len(record.value) + _OVERHEAD for record in records) <= INLINE_AUDIT_BYTES:
        done.audit = msgspec.structs.replace(old, inline=tuple(records))
        return done
    part, name = place.new_object("audit")
    run, data = build_run(f"audit/{part}", records)
    await place.store.put(name, data, Create())
    fresh = Fresh(run, min(value_of(record).fold for record in records), version)
    done.audit = msgspec.structs.replace(old, inline=(), fresh=(*old.fresh, fresh))
    return done


def _sum(records: Iterable[Record]) -> int:
    return sum(map(record_sum, records))
