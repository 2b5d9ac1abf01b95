"""What versions that are gone left behind: metadata without its version, a ``latest`` of nothing.

A version is removed with all that belongs to it. But somebody may delete one entry of it alone (a sync of a tree in which
half of a version was deleted), and stores that were imported may hold halves.

Invariants:
- Only below an item that the fold has given a number once: a file that merely looks like one of these is left alone.
- What waits for its number counts as there.
"""

from __future__ import annotations

from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.values.data import DATA_FOLDER, LATEST, METADATA, head_key, parse_id_key, parse_path
from swampstore.values.entry import EPHEMERAL, OPAQUE, PENDING, VERSIONED, Record
from swampstore.workers.gc.collect import Collector
from swampstore.workers.gc.report import Counter, GcReport
from swampstore.workers.gc.run import Append, Appender, run_pass

LEFTOVER = "leftover"
_HEAD = head_key("")


async def collect_leftovers(place: Place, reader: SnapshotReader, append: Append, *, dry_run: bool) -> GcReport:
    """Remove them. Reads the part of the index that holds data."""

    async def one_pass(snapshot: Snapshot, out: Appender, report: GcReport) -> None:
        found = _Leftovers(Collector(place.clock.now_ms(), Counter(report), frozenset[str]().__contains__))
        async for records in snapshot.records(DATA_FOLDER, internal=True):
            for record in records:
                found.look(record)
            await out.take(found.collector.groups)
        found.finish()
        await out.take(found.collector.groups)

    return await run_pass(place, reader, append, one_pass, dry_run=dry_run)


class _Leftovers:
    """Looks at winning records in key order: an item's own keys, then its versions, then its ``latest``."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self._known: set[str] = set()
        self._live: set[str] = set()
        self._waiting: Record | None = None
        """Metadata whose version has not passed by yet."""

    def look(self, record: Record) -> None:
        key = record.key
        waiting = self._waiting
        if waiting is not None and not key.startswith(waiting.key.removesuffix(METADATA)):
            self.finish()
        if record.gone or record.flags & EPHEMERAL:
            return
        if record.flags & OPAQUE:
            if key.endswith(_HEAD):
                self._known.add(key.removesuffix(_HEAD))
            elif record.flags & PENDING and (parsed := parse_id_key(key)) is not None:
                self._live.add(parsed[0])
            return
        path = parse_path(key)
        if path is None or path.item not in self._known:
            return
        if record.flags & VERSIONED:
            self._waiting = None
            self._live.add(path.item)
        elif path.leaf == METADATA:
            self._waiting = record
        elif path.leaf == LATEST and path.item not in self._live:
            self.collector.remove(record, LEFTOVER)

    def finish(self) -> None:
        """The version of what waits does not come."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.collector.remove(waiting, LEFTOVER)
