"""Committing in a shared lane: whoever creates its next slot has committed, with nobody else in between.

A *draft* is made from a snapshot: what its maker has read (versions of the footprint), what it wants to write, and the
last slot of the lane that the snapshot held. It commits in a later slot if no slot in between concerns its footprint.
Drafts of one process that do not concern each other travel in one slot (group commit).

Invariants:
- A slot is only created when it follows one this process knows of from a list and a root begun less than 20 s ago: slots
  are deleted 30 s after they are covered at the earliest, so a create can then never bring back a used one. An answer
  that comes later than those 20 s is checked against the root: watermark, then the write ids of the lane's last slots.
- A draft is committed, in conflict (nothing written), or undecided (``AmbiguousAppend``, see :mod:`swampstore.protocols.resolve`). It is
  never tried at another slot before its slot is known to hold another's record.
- A slot between the draft's snapshot and its own either is known here and does not meet its footprint, or the versions
  of the whole footprint were read again, later, and found unchanged.

Source: the design page, "shared-lane commit" and "read-modify-write"; models ``mc_lane``, ``mc_multi``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from swampstore.env.clock import Span
from swampstore.env.phases import during
from swampstore.errors import (
    AlreadyExists,
    AmbiguousAppend,
    Conflict,
    CorruptObject,
    Damaged,
    Misuse,
    SwampError,
    Undecided,
)
from swampstore.limits import (
    BATCH_BYTES,
    CONTENT_UPLOAD_AGE_S,
    LANE_MEMORY_SLOTS,
    LANE_TAIL_AGE_S,
    QUEUE_NAME_BYTES,
    SEGMENT_DELTAS,
    SEGMENT_HEADER_BYTES,
)
from swampstore.protocols.footprint import check_keys, described, footprint, meets
from swampstore.protocols.log import keep_segment
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.protocols.resolve import remembered
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.protocols.turns import Turns, Waiting
from swampstore.stores.base import Create, Got
from swampstore.values.entry import Record
from swampstore.values.segment import (
    WRITE_ID_BYTES,
    Commit,
    Segment,
    SegmentHeader,
    decode_segment,
    encode_readable,
    encode_segment,
    view_records,
)
from swampstore.values.version import split_version, unrefined

_COMMIT_OVERHEAD = QUEUE_NAME_BYTES + 64
"""What a commit may take in the header of a segment beside its keys."""


class CommitConflict(Conflict):
    """A slot in between concerns the draft's footprint: read again, derive again. Nothing was written."""

    code = "commit-conflict"


class Draft(msgspec.Struct, frozen=True):
    """What is to be committed.

    ``build(slot, start)`` makes the records; ``start`` is how many records of the same ``series`` the slot holds before
    them. ``seen`` maps each key of the footprint to the version read (``None`` = no record). ``tail`` is the lane's last
    slot in the snapshot read, ``span`` began before that snapshot's list. An unfenced draft (``fenced=False``) meets
    nobody. ``series`` is a key of ``seen`` whose last writer must be slot ``tail``, which is checked unless ``verified``;
    the last record that ``build`` makes is that key's. ``sound``: readers take whatever ``build`` makes. ``size`` counts
    records, ``weight`` their bytes; ``uploaded`` is when the oldest contents they name were uploaded (steady clock, s).
    """

    commit: Commit
    build: Callable[[int, int], Sequence[Record]]
    seen: dict[str, bytes | None]
    tail: int
    span: Span | None
    fenced: bool = True
    series: str = ""
    verified: bool = False
    sound: bool = False
    size: int = 1
    weight: int = 0
    uploaded: float | None = None


class Committed(msgspec.Struct, frozen=True):
    """``start`` is the index of the first record within its series in the slot; ``neighbours`` counts slots of others
    that were passed on the way; ``shared_by`` how many drafts the slot holds."""

    lane: str
    slot: int
    start: int
    records: tuple[Record, ...]
    neighbours: int
    shared_by: int


class _Slot(NamedTuple):
    """What a slot concerns, and the last version it holds of the key that ends each of its drafts."""

    commits: tuple[Commit, ...]
    last: dict[str, bytes]


class CommitLane:
    """One shared lane as this process sees it. Safe between threads, or between the tasks of one loop."""

    def __init__(self, place: Place, register: Register, reader: SnapshotReader, lane: str) -> None:
        self._place = place
        self._register = register
        self._reader = reader
        self.lane = lane
        self._turns: Turns[Draft, Committed] = Turns(place.env, self._write, lambda: _Disjoint().take)
        self._process = place.env.process_token()
        self._tail = 0
        self._fresh: Span | None = None
        self._look: tuple[Snapshot, Span] | None = None
        self._known: OrderedDict[int, _Slot] = OrderedDict()

    async def commit(self, draft: Draft) -> Committed:
        """Commit ``draft``. Raises ``CommitConflict``, ``AmbiguousAppend``, and what the store refuses with."""
        if self._process != self._place.env.process_token():
            raise Misuse("this process was forked after the store was opened", hint="open the store in the child")
        check_keys(draft.commit.footprint)
        if not draft.sound:
            encode_readable(draft.build(1, 0))  # what no reader could decode must not share a slot with others
        return await self._turns.submit(draft)

    # --- one slot -----------------------------------------------------------------------------------------------

    async def _write(self, batch: list[Waiting[Draft, Committed]]) -> None:
        """Try the next slot once with those of ``batch`` that are not in conflict; the others are settled."""
        try:
            for one in batch:
                if one.item.span is not None:
                    self._learn(one.item.tail, one.item.span)
            if self._fresh is None or self._fresh.seconds() > LANE_TAIL_AGE_S:
                await self._refresh()
            ready = await self._ready(batch)
            if ready:
                await self._create(ready)
        except SwampError as error:
            for one in batch:
                if not one.settled:
                    one.error = error

    async def _ready(self, batch: list[Waiting[Draft, Committed]]) -> list[Waiting[Draft, Committed]]:
        """Those of ``batch`` that may go into the next slot; weighed again when weighing one has moved the tail."""
        ready, weighed_at = batch, -1
        while weighed_at != self._tail:
            weighed_at = self._tail
            ready = [one for one in ready if await self._may_follow(one)]
        return ready

    def _learn(self, tail: int, span: Span) -> None:
        """Take in that the lane reached ``tail`` as of a list that began with ``span``."""
        if tail >= self._tail:
            self._tail = tail
            if self._fresh is None or span.seconds() < self._fresh.seconds():
                self._fresh = span

    async def _refresh(self) -> tuple[Snapshot, Span]:
        """Look at the lane anew."""
        snapshot, span = self._look = await self._reader.open_timed()
        if snapshot.tail(self.lane) < self._tail:
            raise Damaged(
                f"lane {self.lane} of {self._place.names.namespace} has gone back from slot {self._tail} to"
                f" {snapshot.tail(self.lane)}",
                name=self.lane,
                hint="was the namespace deleted? open the store again",
            )
        self._fresh, self._tail = span, snapshot.tail(self.lane)
        return snapshot, span

    async def _may_follow(self, one: Waiting[Draft, Committed]) -> bool:
        """Whether no slot between the draft's snapshot and the next one concerns it; else it is settled as conflict."""
        draft = one.item
        if draft.uploaded is not None and self._place.clock.steady() - draft.uploaded > CONTENT_UPLOAD_AGE_S:
            one.error = Misuse("the contents were uploaded more than 12 hours ago", hint="write them again")
            return False
        if not draft.fenced:
            return True
        between = range(draft.tail + 1, self._tail + 1)
        if self._stands(draft) and all(slot in self._known for slot in between):
            met = next((slot for slot in between if meets(draft.commit, self._known[slot].commits)), None)
            if met is not None:
                one.error = CommitConflict(f"slot {met} of lane {self.lane} concerns {described(draft.commit)}")
            return met is None
        look = self._look
        due = max(self._tail, draft.tail)  # the caller may have read on since this lane was looked at
        if look is None or look[0].tail(self.lane) < due or look[1].seconds() > LANE_TAIL_AGE_S:
            look = await self._refresh()
        snapshot, span = look
        changed = [key for key, seen in draft.seen.items() if not _same(seen, await snapshot.record(key))]
        if changed:
            one.error = CommitConflict(f"{changed[0]!r} has changed since it was read")
            return False
        # Unchanged as of this look, which holds every slot up to the next: the draft is as good as made from it.
        one.item = msgspec.structs.replace(draft, tail=snapshot.tail(self.lane), span=span, verified=True)
        return True

    def _stands(self, draft: Draft) -> bool:
        """Whether the draft's tail is known to be what its series ended with at that slot (always, without a series).

        It is not when the slot held more: records behind the one that was read, another append of a shared slot.
        """
        if not draft.series or draft.verified:
            return True
        wanted = draft.seen[draft.series]
        if draft.tail == 0:
            return wanted is None
        held = self._known.get(draft.tail)
        return held is not None and held.last.get(draft.series) == wanted

    async def _create(self, ready: list[Waiting[Draft, Committed]]) -> None:
        place, slot, fresh = self._place, self._tail + 1, self._fresh
        assert fresh is not None
        starts, records = _lay_out([one.item for one in ready], slot)
        header = SegmentHeader(
            lane=self.lane,
            slot=slot,
            write_id=place.env.random_bytes(WRITE_ID_BYTES),
            time=place.clock.now_ms(),
            commits=tuple(
                msgspec.structs.replace(one.item.commit, records=len(part))
                for one, part in zip(ready, records, strict=True)
            ),
        )
        data = encode_segment(header, sum(map(len, records)), *map(view_records, records))
        name = place.names.segment(self.lane, slot)
        try:
            with during("log_write"):
                stored = await place.store.put(name, data, Create())
        except AlreadyExists as error:
            if not await self._ours_after_all(slot, fresh, header.write_id, error):
                return
        except Undecided as error:
            raise self._ambiguous(slot, header.write_id, str(error)) from error
        except SwampError:
            raise
        except BaseException as error:
            # Abandoned (Ctrl-C in the middle of a request): it may still land, so nobody may try it again.
            for one in ready:
                one.error = self._ambiguous(slot, header.write_id, f"it was interrupted: {error!r}")
            raise
        else:
            fresh.saw(stored.time)
            if fresh.seconds() > LANE_TAIL_AGE_S and not await self._landed(slot, header.write_id):
                return
            # The next update of this process need not read back what it has just written.
            own = Segment(header, tuple(chain.from_iterable(records)), len(data))
            keep_segment(place, (self.lane, slot), stored.etag, own)
        self._keep(slot, header.commits, records)
        for one, start, part in zip(ready, starts, records, strict=True):
            one.result = Committed(self.lane, slot, start, tuple(part), slot - 1 - one.item.tail, len(ready))

    async def _ours_after_all(self, slot: int, fresh: Span, write_id: bytes, error: AlreadyExists) -> bool:
        """Somebody is at the slot: take note of what it concerns, so that the drafts are weighed again for the next.

        An answer that comes late says little: our first attempt may have landed with its answer lost, been folded and
        deleted, and the slot been brought back by a stalled writer. Then the root decides, as for a late success.
        """
        found = error.found
        if isinstance(found, Got):
            fresh.saw(found.time)
        if not isinstance(found, Got) or fresh.seconds() > LANE_TAIL_AGE_S:
            if (await self._register.read()).root.watermark(self.lane) >= slot:
                return await self._landed(slot, write_id)
            if not isinstance(found, Got):
                await self._refresh()
                return False
        try:
            self._take_in(decode_segment(found.body, self._place.names.segment(self.lane, slot), self.lane, slot))
        except CorruptObject:
            await self._refresh()  # which reads it again, and passes it when it is broken indeed
        return False

    def _take_in(self, segment: Segment) -> None:
        parts: list[Sequence[Record]] = []
        at = 0
        for commit in segment.header.commits:
            parts.append(segment.records[at : at + commit.records])
            at += commit.records
        if segment.records:
            newest = max(record.version for record in segment.records)
            self._place.clock.observe(split_version(newest)[0])
        self._keep(segment.header.slot, segment.header.commits, parts)

    def _keep(self, slot: int, commits: tuple[Commit, ...], parts: Sequence[Sequence[Record]]) -> None:
        self._tail = max(self._tail, slot)
        self._known[slot] = _Slot(commits, {part[-1].key: part[-1].version for part in parts if part})
        while len(self._known) > LANE_MEMORY_SLOTS:
            self._known.popitem(last=False)

    async def _landed(self, slot: int, write_id: bytes) -> bool:
        """Whether an attempt that was answered late is the one that counts at ``slot``; ``False``: another's does."""
        root = (await self._register.read()).root
        verdict = remembered(root, self.lane, slot, write_id) if root.watermark(self.lane) >= slot else True
        if verdict is None:
            raise self._ambiguous(slot, write_id, "it was answered late, and the root no longer remembers the slot")
        if not verdict:
            await self._refresh()
        return verdict

    def _ambiguous(self, slot: int, write_id: bytes, why: str) -> AmbiguousAppend:
        self._fresh = None  # whoever comes next looks at the lane anew
        return AmbiguousAppend(
            f"the commit at slot {slot} of lane {self.lane} is undecided: {why}",
            lane=self.lane,
            slot=slot,
            write_id=write_id,
            hint="find out with resolve(error) before you do it again",
        )


class _Disjoint:
    """Which drafts may share a slot: footprints that do not meet, fenced before unfenced ones of a series."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._series: set[str] = set()
        self._left = SEGMENT_DELTAS
        self._bytes = BATCH_BYTES
        self._head = SEGMENT_HEADER_BYTES - 1000

    def take(self, draft: Draft) -> bool:
        keys = footprint(draft.commit)
        if draft.fenced and (not self._keys.isdisjoint(keys) or draft.series in self._series):
            return False
        head = check_keys(draft.commit.footprint) + _COMMIT_OVERHEAD
        if draft.size > self._left or draft.weight > self._bytes or head > self._head:
            return False
        self._head -= head
        self._left -= draft.size
        self._bytes -= draft.weight
        if draft.fenced:
            self._keys.update(keys)
        if draft.series:
            self._series.add(draft.series)
        return True


def _lay_out(drafts: Sequence[Draft], slot: int) -> tuple[list[int], list[Sequence[Record]]]:
    """The index at which each draft's records start in its series, and the records."""
    next_of: dict[str, int] = {}
    starts: list[int] = []
    records: list[Sequence[Record]] = []
    for draft in drafts:
        start = next_of.get(draft.series, 0)
        next_of[draft.series] = start + draft.size - 1  # its last record is the series' own
        starts.append(start)
        records.append(draft.build(slot, start))
    return starts, records


def _same(seen: bytes | None, record: Record | None) -> bool:
    """Whether ``record`` still says what was seen; a put said again, better placed, is no change."""
    if seen is None or record is None:
        return seen is None and record is None
    return unrefined(seen) == unrefined(record.version)
