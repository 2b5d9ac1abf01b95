"""What was committed to an audit topic since a position, in the order of commits, page by page.

That order is the one of folds, then lanes, slots and keys; behind everything folded comes what lies in the log. Times do
not take part, so nothing that is committed late is skipped.

Invariants:
- A page is bounded in records and in bytes, and so is the memory it takes; a record is given after all before it.
- A position is either in the middle of what is folded (``inside``), or behind it and at the end of some slots of the log.
  What was given from the log is known by its slot when it is met again, folded.
- Two copies of one record are given once if they meet in a page; :func:`follow` also knows those of its last pages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from swampstore.errors import Misuse, SnapshotExpired
from swampstore.limits import AUDIT_PAGE_BYTES, AUDIT_PAGE_RECORDS, FOLLOW_MAX_S, FOLLOW_MIN_S, READ_RESTARTS
from swampstore.protocols.log import fetch
from swampstore.protocols.runs import RunGone
from swampstore.protocols.slots import Broken, SegmentGone, past, slot_of
from swampstore.protocols.snapshot import Snapshot
from swampstore.values.audit import AuditRecord, first_of, run_of, shown, topic_span, value_of
from swampstore.values.entry import AUDIT, Record
from swampstore.values.root import RunRef

if TYPE_CHECKING:
    from swampstore.protocols.archives import Archives

Order: TypeAlias = tuple[int, str, int, str]
"""Root version that folded it, lane, slot, key."""

_CHUNK_BLOCKS = 8
_SEGMENTS = 64
_KNOWN = 20_000
"""Records that a follower remembers, to know their second copies."""


class AuditPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Between two records of a topic, in the order they were committed. ``str()`` of it may be kept; see :meth:`parse`.

    Everything folded up to root version ``fold`` has been given, and then up to ``inside``; of the lanes in ``slots`` what
    lies up to there.
    """

    fold: int = 0
    slots: dict[str, int] = {}
    inside: Order | None = None

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def parse(cls, text: str) -> AuditPosition:
        """The position that ``text`` (from ``str()``) names. Raises ``Misuse``."""
        try:
            return _decode_position(text)
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
            raise Misuse(
                f"no position of an audit topic: {text[:100]!r}", hint="pass on what a read returned"
            ) from error

    def is_before(self, record: Record) -> bool:
        """Whether ``record``, which is folded, comes behind this position."""
        value = value_of(record)
        if value.fold <= self.fold or value.slot <= self.slots.get(value.lane, 0):
            return False
        return self.inside is None or _order(record) > self.inside


_decode_position = msgspec.json.Decoder(AuditPosition).decode


class AuditChanges(msgspec.Struct, frozen=True):
    """The first ``records`` committed since a position, in that order, and the position behind them; ``more`` are there."""

    records: list[AuditRecord]
    after: AuditPosition
    more: bool = False


class _Page:
    """The first records in order among all that are added, within two bounds."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._table: dict[str, Record] = {}
        self._bytes = 0
        self.bound: Order | None = None
        """Set once something was left out: what is behind it is not wanted."""

    def add(self, record: Record) -> None:
        held = self._table.get(record.key)
        if held is not None:
            self._table[record.key] = first_of(held, record)
            return
        if self.bound is not None and _order(record) > self.bound:
            return
        self._table[record.key] = record
        self._bytes += _weight(record)
        if len(self._table) > 2 * self._limit or self._bytes > 2 * AUDIT_PAGE_BYTES:
            self.cut()

    def cut(self) -> list[Record]:
        """The page as it is; what does not fit is left out."""
        found = sorted(self._table.values(), key=_order)
        kept: list[Record] = []
        self._bytes = 0
        for record in found[: self._limit]:
            self._bytes += _weight(record)
            if kept and self._bytes > AUDIT_PAGE_BYTES:
                break
            kept.append(record)
        if len(kept) < len(found):
            self.bound = _order(kept[-1])
            self._table = {record.key: record for record in kept}
        return kept


def head_of(snapshot: Snapshot) -> AuditPosition:
    """The position behind everything that ``snapshot`` holds. Costs nothing."""
    slots: dict[str, int] = {}
    for lane, slot in snapshot.slots:
        slots[lane] = max(slot, slots.get(lane, 0))
    return AuditPosition(snapshot.root.version, slots)


async def changes(archives: Archives, topic: str, after: AuditPosition, limit: int | None = None) -> AuditChanges:
    """The next page behind ``after``: at most ``limit`` records (10,000) and some 16 MB, at least one if there is any.

    Raises ``Misuse`` for a position that this namespace cannot have given, ``SnapshotExpired`` after many tries.
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise Misuse(f"limit={limit!r}", hint="at most so many records, 1 or more")
    most = min(limit or AUDIT_PAGE_RECORDS, AUDIT_PAGE_RECORDS)
    for last in range(READ_RESTARTS, 0, -1):
        snapshot = await archives.open()
        if after.fold > snapshot.root.version:
            raise Misuse(
                f"the position is of root version {after.fold}, the namespace is at {snapshot.root.version}",
                hint="was the store restored from a backup? read by time, then go on from a new position",
            )
        try:
            return await _page(archives, snapshot, topic, after, most)
        except (RunGone, SegmentGone) as error:
            if last == 1:
                raise SnapshotExpired(f"the log moved on during every read: {error}") from error
    raise AssertionError("unreachable")


async def _page(archives: Archives, snapshot: Snapshot, topic: str, after: AuditPosition, most: int) -> AuditChanges:
    root, page = snapshot.root, _Page(most)
    low, high = topic_span(topic, None, None)
    for record in root.audit.inline:
        if low <= record.key < high and after.is_before(record):
            page.add(record)
    for first_fold, ref in await _sources(archives, snapshot, topic, after):
        if page.bound is not None and first_fold > page.bound[0]:
            break
        blocks = await archives.blocks([ref], low, high)
        for start in range(0, len(blocks), _CHUNK_BLOCKS):
            for records in await archives.load(blocks[start : start + _CHUNK_BLOCKS]):
                for record in records:
                    if low <= record.key < high and after.is_before(record):
                        page.add(record)
    found = page.cut()
    if page.bound is not None:
        inside = _order(found[-1])
        position = AuditPosition(inside[0] - 1, after.slots, inside)
        return AuditChanges([shown(record) for record in found], position, more=True)
    slots = {lane: after.slots[lane] for lane, _ in snapshot.slots if lane in after.slots}
    more = await _from_log(archives, snapshot, topic, slots, found, most)
    return AuditChanges([shown(record) for record in found], AuditPosition(root.version, slots), more)


async def _sources(
    archives: Archives, snapshot: Snapshot, topic: str, after: AuditPosition
) -> list[tuple[int, RunRef]]:
    """The archives that may hold something new, those with the oldest folds first."""
    audit = snapshot.root.audit
    found = [(one.first_fold, one.run) for one in audit.fresh if one.last_fold > after.fold]
    if audit.sorted > after.fold:
        files = await archives.files(snapshot.root, topic, since_fold=after.fold)
        found += [(file.first_fold, run_of(topic, file)) for file in files]
    return sorted(found, key=lambda pair: (pair[0], pair[1].name))


async def _from_log(
    archives: Archives, snapshot: Snapshot, topic: str, slots: dict[str, int], found: list[Record], most: int
) -> bool:
    """Go on with the log until the page is full; ``slots`` follow. Whether there is more. A slot is given as a whole."""
    low, high = topic_span(topic, None, None)
    known = {record.key: at for at, record in enumerate(found)}
    size = sum(map(_weight, found))
    behind = (past(slot, slots.get(slot[0], 0)) for slot in snapshot.slots)
    wanted = [slot for slot in behind if slot is not None]
    for start in range(0, len(wanted), _SEGMENTS):
        part = wanted[start : start + _SEGMENTS]
        for slot, segment in zip(part, await fetch(archives.place, part), strict=True):
            if known and (len(found) >= most or size >= AUDIT_PAGE_BYTES):
                return True
            begin, slots[slot[0]] = slots.get(slot[0], 0), slot[1]
            if isinstance(segment, Broken):
                continue
            for at, record in enumerate(segment.records):
                if not record.flags & AUDIT or not low <= record.key < high or slot_of(segment, at) <= begin:
                    continue
                if (place := known.setdefault(record.key, len(found))) < len(found):
                    found[place] = first_of(found[place], record)
                    continue
                found.append(record)
                size += _weight(record)
    return False


async def follow(
    archives: Archives, topic: str, after: AuditPosition, seconds: float | None
) -> AsyncIterator[AuditChanges]:
    """Page after page, then those to come; ends after ``seconds`` without a new record (never: ``None``).

    An idle look is a list and a conditional read of the root, at most once a second.
    """
    env = archives.place.env
    known: OrderedDict[tuple[int, str], None] = OrderedDict()
    idle_since, pause = env.boot(), FOLLOW_MIN_S
    while True:
        page = await changes(archives, topic, after)
        after = page.after
        fresh = [record for record in page.records if (record.ts, record.id) not in known]
        if fresh or page.more:
            yield msgspec.structs.replace(page, records=fresh)
            _remember(known, fresh)
            idle_since, pause = env.boot(), FOLLOW_MIN_S
            if page.more:
                continue
        elif seconds is not None and env.boot() - idle_since >= seconds:
            return
        await env.sleep(pause)
        pause = min(pause * 2, FOLLOW_MAX_S)


def _remember(known: OrderedDict[tuple[int, str], Any], records: Sequence[AuditRecord]) -> None:
    for record in records:
        known[record.ts, record.id] = None
    while len(known) > _KNOWN:
        known.popitem(last=False)


def _order(record: Record) -> Order:
    value = value_of(record)
    return value.fold, value.lane, value.slot, record.key


def _weight(record: Record) -> int:
    return len(record.key) + len(record.value) + 64
