"""A gc: one snapshot, one pass over what it has to look into, tombstones appended.

Cost: the list and the root, one request for every run concerned, one append for up to 20,000 entries that go; an item that
was not seen whole and seems to have versions to spare is read once more. It takes no lock and rewrites nothing: the compactor folds the tombstones, the merge drops what they remove, the sweep deletes the
contents after their grace.

Invariants:
- A dry run reads the same and reports the same, and appends nothing.
- Tombstones of one version are in one append; a gc that dies between two appends has removed fewer versions, and nothing
  has to be undone.
- A clock that has jumped by many years removes nothing.
- What it decides holds for its snapshot; a put or a delete it has not seen stays as it is, because every tombstone names
  the version it removes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import chain

from swampstore.errors import ClockOff, SnapshotExpired
from swampstore.limits import BATCH_BYTES, READ_RESTARTS, SEGMENT_DELTAS
from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.values.data import METADATA
from swampstore.values.entry import Record
from swampstore.values.lifetimes import DAY_MS
from swampstore.values.root import Root
from swampstore.values.summary import names_version
from swampstore.values.version import WRITER_BYTES, make_version, version_ms
from swampstore.workers.gc.collect import Collector, Group
from swampstore.workers.gc.report import Counter, GcReport
from swampstore.workers.gc.scan import Scan

Append = Callable[[Sequence[Record]], Awaitable[object]]
_YEAR_MS = 365 * DAY_MS
_FIRST_MS = 10**12
"""Versions of stream records are positions, not times: a root that has folded nothing else knows of no last write."""
_CLOCK_JUMP_MS = 10 * _YEAR_MS
_METADATA_SUFFIX = f"/{METADATA}"
_RECORD_BYTES = 80
"""What a record takes in a batch beside its key and value, at most."""


Pass = Callable[[Snapshot, "Appender", GcReport], Awaitable[None]]
"""One pass over a snapshot that hands what goes to the appender."""


async def collect_garbage(place: Place, reader: SnapshotReader, append: Append, *, dry_run: bool) -> GcReport:
    """Remove what has expired and what retention gives up, as of now (the store's time).

    Starts again when a compaction overtakes it. Raises what ``append`` raises.
    """

    async def one_pass(snapshot: Snapshot, out: Appender, report: GcReport) -> None:
        await _pass(place, snapshot, out, report)

    return await run_pass(place, reader, append, one_pass, dry_run=dry_run)


async def run_pass(place: Place, reader: SnapshotReader, append: Append, one_pass: Pass, *, dry_run: bool) -> GcReport:
    """Run ``one_pass`` over a snapshot, again from a new one when a compaction overtakes it."""
    began = place.env.boot()
    report, out = GcReport(dry_run=dry_run), Appender(append, dry_run=dry_run)
    for last in range(READ_RESTARTS, 0, -1):
        try:
            await one_pass(await reader.open(), out, report)
            await out.finish()
            break
        except SnapshotExpired:
            await out.finish()  # what was decided holds, and is not found again
            if last == 1:
                raise
            if dry_run:
                report, out = GcReport(dry_run=dry_run), Appender(append, dry_run=dry_run)
    report.entries, report.segments = out.entries, out.segments
    report.seconds = place.env.boot() - began
    return report


def check_clock(now_ms: int, root: Root) -> None:
    """Raise ``ClockOff`` when the store's time lies many years behind the last write: by that clock all has expired."""
    last = version_ms(make_version(root.hlc, bytes(WRITER_BYTES), 0))
    if last >= _FIRST_MS and now_ms - last > _CLOCK_JUMP_MS:
        raise ClockOff(
            f"by the store's time the last write was {(now_ms - last) // _YEAR_MS} years ago; nothing was removed",
            hint="set the clock; if it is right, write something first",
        )


async def _pass(place: Place, snapshot: Snapshot, out: Appender, report: GcReport) -> None:
    now = place.clock.now_ms()
    check_clock(now, snapshot.root)
    scan = Scan(place, snapshot, now)
    collector = Collector(now, Counter(report), scan.unread.spare)
    collector.expect(snapshot.overlay.values())
    async for records in scan.chunks():
        collector.feed(records)
        await out.take(collector.groups)
    collector.finish()
    for item in sorted(collector.unsettled):
        collector.settle(item, [record async for record in _below(snapshot, item)])
    for key in collector.lost:
        collector.add_metadata(await snapshot.record(key))
    await out.take(collector.groups)
    root = snapshot.root
    report.runs, report.runs_read = len(root.level0) + len(root.shards), scan.runs_read


async def _below(snapshot: Snapshot, item: str) -> AsyncIterator[Record]:
    """What may be a version of ``item`` or the metadata of one; there may be any number of other keys beside them."""
    async for records in snapshot.records(f"{item}/"):
        for record in records:
            if names_version(record.key) or record.key.endswith(_METADATA_SUFFIX):
                yield record


class Appender:
    """Appends groups of tombstones in as few batches as they fit; the groups of a batch lie whole in it."""

    def __init__(self, append: Append, *, dry_run: bool) -> None:
        self._append = append
        self._dry_run = dry_run
        self._waiting: list[Group] = []
        self._count = 0
        self.entries = 0
        self.segments = 0

    async def take(self, groups: list[Group]) -> None:
        """Take all of ``groups`` (the list is emptied), and append what fills a batch."""
        self._waiting += groups
        self._count += sum(map(len, groups))
        self.entries += sum(map(len, groups))
        groups.clear()
        if self._dry_run:
            self._waiting, self._count = [], 0
        while self._count > SEGMENT_DELTAS:
            await self._send()

    async def finish(self) -> None:
        """Append what is left."""
        while self._waiting:
            await self._send()

    async def _send(self) -> None:
        taken = count = size = 0
        for group in self._waiting:
            count += len(group)
            size += sum(_RECORD_BYTES + len(record.key.encode()) + len(record.value) for record in group)
            if taken and (count > SEGMENT_DELTAS or size > BATCH_BYTES):
                break
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._count -= sum(map(len, batch))
        await self._append(list(chain.from_iterable(batch)))
        self.segments += 1
