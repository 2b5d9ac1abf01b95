"""The fold: unfolded log segments into level 0, by one CAS of the root.

Cost: one list and one conditional read side by side, one read per new segment, one CAS (plus one write when the inline
level 0 spills into a run). It never reads a shard, so it does not depend on the size of the index; only versions of the
data model that wait for their ordinal cost a look-up (:mod:`swampstore.workers.numbering`).

Invariants:
- The new watermarks are exact: per lane the last slot of the contiguous run that was joined or quarantined, never "the
  largest seen".
- Record sums are conserved: what was in level 0 plus what the segments hold equals what level 0 holds now plus what the
  join dropped, or the fold refuses to publish.
- A broken segment is passed over only together with its name in the quarantine; an unknown newer format stops the fold.
- A fold that loses its CAS changes nothing: what it wrote is an orphan that the sweep collects.
- Frames of a lane file are on the disk before a root says that they are folded: the file is synced after it was read, so
  no power failure leaves a watermark behind what the file still holds (model ``lane_file``).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from swampstore.env.phases import Operation, count, during
from swampstore.errors import Damaged, Inconsistent, NotFound, StaleWrite
from swampstore.limits import (
    INLINE_LEVEL0_BYTES,
    MIB,
    QUARANTINE,
    READ_RESTARTS,
    SEGMENTS_PER_FETCH,
    SHARED_LANE_MEMORY,
)
from swampstore.protocols.log import Listing, fetch, list_and_root, refuse_lost_root, unfolded
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.protocols.runs import RunGone
from swampstore.protocols.slots import Broken, FileSlot, SegmentGone, Slot, Stretch, begin_of
from swampstore.stores.base import Create
from swampstore.stores.lanes import lanes_of
from swampstore.values.block import Block
from swampstore.values.classes import rules_of, split
from swampstore.values.entry import PENDING, Record, record_sums
from swampstore.values.join import join_counted
from swampstore.values.names import lane_writer
from swampstore.values.root import Quarantined, Root, RunRef, SlotId
from swampstore.values.run import build_rows
from swampstore.values.segment import Segment
from swampstore.values.version import FROM_NOTHING, split_version
from swampstore.workers.archive import fold_audit
from swampstore.workers.leadership import Leadership
from swampstore.workers.numbering import MADE_BY_ONE, number
from swampstore.workers.report import FoldReport
from swampstore.workers.retire import retire
from swampstore.workers.side_runs import fold_ephemeral, tidy_due
from swampstore.workers.tally import Tally

SEGMENTS_PER_FOLD = 4096
_DELTAS_PER_FOLD = 400_000
_BYTES_PER_FOLD = 64 * MIB
"""Stored bytes of segments; decoded they take a multiple of it."""
_MOST_SUMS = 1 << 64


class FoldRead(msgspec.Struct, frozen=True):
    """What the fold (and the sweep after it) has read. ``before`` is the root it found, ``seen`` the latest one."""

    listing: Listing
    seen: Seen
    slots: tuple[Slot, ...]
    before: Seen

    @property
    def left(self) -> bool:
        """Whether there is more to fold."""
        return bool(self.slots) or any(tail.more for tail in self.listing.files.values())


async def read_log(place: Place, register: Register) -> FoldRead:
    """What there is to fold; of lane files as much as one fold takes."""
    with during("list_root"):
        listing, seen = await list_and_root(place, register, most_bytes=_BYTES_PER_FOLD)
    return FoldRead(listing, seen, tuple(unfolded(listing, seen.root)), seen)


async def fold(
    place: Place, register: Register, leadership: Leadership, *, stay: bool, insist: bool = False
) -> tuple[FoldReport, FoldRead]:
    """Fold what the log holds, once. ``stay`` keeps the leadership for the next round.

    Returns the report and what was read (the root in it is the published one). Losing the race is no error:
    ``report.raced``. Raises ``UnknownFormat`` for a segment or root of a newer program, ``Damaged`` for a lost root.
    """
    with Operation(place.env, "fold", "join") as operation:
        report, read = await _fold(place, register, leadership, stay=stay, insist=insist)
        if report.published:
            operation.records = report.deltas
            count("folded_segments", report.segments)
            count("folded_records", report.deltas)
    report.phases = operation.phases
    return report, read


async def _fold(
    place: Place, register: Register, leadership: Leadership, *, stay: bool, insist: bool
) -> tuple[FoldReport, FoldRead]:
    for _ in range(READ_RESTARTS):
        prior = register.last.root if register.last else None
        read = await read_log(place, register)
        oldest = begin_of(read.slots[0]) if read.slots else None
        if not leadership.may_lead(read.seen, oldest, one_shot=not stay, insist=insist):
            return FoldReport(not_leader=True), read
        if not read.slots and not tidy_due(read.seen.root, read.seen.time):
            return FoldReport(), read
        try:
            with during("segments"):
                found = await _fetch_bounded(place, read.slots[:SEGMENTS_PER_FOLD])
                await _sync_lanes(place, found)
            return await _publish(place, register, leadership, prior, read, found, stay=stay)
        except SegmentGone:
            continue
        except RunGone:
            if (await register.read()).root.version == read.seen.root.version:
                raise
    return FoldReport(raced=True), await read_log(place, register)


async def _publish(
    place: Place,
    register: Register,
    leadership: Leadership,
    prior: Root | None,
    read: FoldRead,
    found: Sequence[Segment | Broken],
    *,
    stay: bool,
) -> tuple[FoldReport, FoldRead]:
    old = read.seen.root
    if old.version == 0:
        await refuse_lost_root(place)
    version, now = old.version + 1, read.seen.time
    segments = [item for item in found if isinstance(item, Segment)]
    broken = [item for item in found if isinstance(item, Broken)]
    table = {record.key: record for record in old.inline}
    rules = rules_of(old.settings)
    archived = await fold_audit(place, old, version, segments)
    incoming = [record for segment in segments for record in rules.apply(segment.records)]
    indexed, ephemeral = split(incoming)
    before = record_sums(old.inline) + record_sums(indexed)
    dropped, made = join_counted(table, indexed)
    with during("lookup"):
        settled, numbered = await number(place, old, table, indexed, dropped)
    dropped += settled
    made += numbered
    side = await fold_ephemeral(place, old, now, ephemeral, table)
    if not found and side.eph == old.eph:
        return FoldReport(), read  # what is due cannot be read: nothing to publish, now or in the next round
    dropped += side.unindexed
    made += side.moved
    inline, run, body = _level0(place, table)
    after = run.sum if run else record_sums(inline)
    if (before + record_sums(made) - record_sums(dropped) - after) % _MOST_SUMS:
        raise Inconsistent(f"{place.names.namespace}: the fold does not conserve record sums; nothing was published")
    tally = Tally()
    tally.added(incoming)
    tally.added([*made, *side.made])
    tally.dropped([*dropped, *side.dropped])
    packs, garbage = tally.apply(old, version, now, side.runs_out)
    if run is not None:
        with during("run_write"):
            await place.store.put(place.full(run.name), body, Create())
    new = msgspec.structs.replace(
        old,
        hlc=max(old.hlc, split_version(max([record.version for record in incoming], default=FROM_NOTHING))[0]),
        watermarks=_watermarks(old, found),
        closed=_closed(old, segments),
        shared=_shared(old, segments),
        inline=inline,
        level0=(*old.level0, run) if run else old.level0,
        eph=side.eph,
        audit=archived.audit,
        packs=packs,
        garbage_raw=garbage,
        quarantine=(*old.quarantine, *(Quarantined(item.name, item.reason[:500], now) for item in broken)),
    )
    new = retire(place, prior, read.listing, new)
    if len(new.quarantine) > QUARANTINE:
        raise Damaged(
            f"{place.names.namespace}: more than {QUARANTINE} broken segments",
            name=place.names.root,
            hint="find out what else writes into this place",
        )
    report = FoldReport(
        published=True,
        segments=sum(len(item.ends) if isinstance(item, Stretch) else 1 for item in segments),
        deltas=len(incoming),
        dropped=len(dropped) + len(side.dropped) + archived.doubled,
        quarantined=len(broken),
        spilled=run is not None,
    )
    try:
        with during("publish"):
            seen = await register.publish(read.seen, leadership.sign(old, new, stay=stay))
    except StaleWrite:
        return FoldReport(raced=True), read
    return report, FoldRead(read.listing, seen, read.slots[len(found) :], read.before)


async def _fetch_bounded(place: Place, slots: Sequence[Slot]) -> list[Segment | Broken]:
    """What as many of ``slots``, from the first, hold as one fold joins in memory. Raises what ``fetch`` raises."""
    found: list[Segment | Broken] = []
    deltas = size = 0
    for start in range(0, len(slots), SEGMENTS_PER_FETCH):
        for item in await fetch(place, slots[start : start + SEGMENTS_PER_FETCH]):
            found.append(item)
            if isinstance(item, Segment):
                pending = sum(bool(record.flags & PENDING) for record in item.records)
                deltas += len(item.records) + MADE_BY_ONE * pending
                size += item.stored_bytes
            if deltas > _DELTAS_PER_FOLD or size > _BYTES_PER_FOLD:
                return found
    return found


async def _sync_lanes(place: Place, found: Sequence[Segment | Broken]) -> None:
    """Bring to the disk what was read of lane files. Raises ``SegmentGone`` when one is gone by now."""
    store = lanes_of(place.store)
    if store is None:
        return
    files = (_slot_of(item)[0] for item in found if isinstance(item, Stretch) or isinstance(_slot_of(item), FileSlot))
    for lane in dict.fromkeys(files):
        try:
            await store.sync_lane(place.names.lane_file(lane))
        except NotFound as error:
            raise SegmentGone(f"the file of lane {lane} is gone") from error


def _level0(place: Place, table: dict[str, Record]) -> tuple[tuple[Record, ...], RunRef | None, bytes]:
    """Level 0 as it goes into the root: inline while it is small, else a new run, to be put yet."""
    records = [table[key] for key in sorted(table)]
    rows = Block.of(records)
    if rows.raw_bytes <= INLINE_LEVEL0_BYTES:
        return tuple(records), None, b""
    part, _ = place.new_object("l0")
    return (), *build_rows(f"l0/{part}", rows)


def _watermarks(old: Root, found: Sequence[Segment | Broken]) -> dict[str, int]:
    marks = dict(old.watermarks)
    for item in found:
        lane, slot = _slot_of(item)
        marks[lane] = max(marks.get(lane, 0), slot)
    return marks


def _slot_of(item: Segment | Broken) -> Slot:
    return (item.header.lane, item.header.slot) if isinstance(item, Segment) else item.slot


def _closed(old: Root, segments: Sequence[Segment]) -> tuple[str, ...]:
    """Lanes whose last segment is folded; the leader retires them before others."""
    fresh = [s.header.lane for s in segments if s.header.closing]
    return tuple(dict.fromkeys((*old.closed, *fresh))) if fresh else old.closed


def _shared(old: Root, segments: Sequence[Segment]) -> dict[str, tuple[SlotId, ...]]:
    """The write ids of the last slots of each shared lane, so that a late "did mine land?" has an answer."""
    shared = dict(old.shared)
    for segment in segments:
        header = segment.header
        if lane_writer(header.lane) is None:
            known = (*shared.get(header.lane, ()), SlotId(header.slot, header.write_id[:8]))
            shared[header.lane] = known[-SHARED_LANE_MEMORY:]
    return shared
