"""Snapshots: what a namespace held when a read began.

A snapshot is a root plus a contiguous prefix of every lane past its watermark. It holds every write acknowledged before
the read began, and every put that a commit in it has read; it is not a cut between writers (design page, "read").

Invariants:
- The list is paired with its root as :mod:`swampstore.protocols.log` demands; a segment that is gone starts the read
  again from the root, a bounded number of times.
- Every layer that may hold a key is asked, the ephemeral home included, and the highest version wins; a tombstone or an expired entry is absence.
- A snapshot is immutable. Runs it names may be swept after their grace; then its reads raise ``SnapshotExpired``. A run
  that the root still names is never swept: when it is gone, that is damage (``MissingObject``).
"""

from __future__ import annotations

import bisect
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import NamedTuple

from swampstore.env import phases
from swampstore.env.clock import Span
from swampstore.env.phases import during
from swampstore.errors import MissingObject, SnapshotExpired, SwampError
from swampstore.limits import READ_RESTARTS
from swampstore.protocols.log import Unfolded, fetch, list_root_and
from swampstore.protocols.place import Place
from swampstore.protocols.ranges import joined_range
from swampstore.protocols.register import Register, Seen
from swampstore.protocols.runs import RunGone, find_cached, find_in_runs
from swampstore.protocols.slots import Broken, SegmentGone, Slot, new_since
from swampstore.stores.base import Outcome, Request
from swampstore.values.block import Block
from swampstore.values.classes import rules_of
from swampstore.values.entry import CONFLICT, Entry, Record
from swampstore.values.join import join_into, newer
from swampstore.values.keys import LAST_SUFFIX
from swampstore.values.live import live_entries, live_entry, without_internal
from swampstore.values.root import NO_ROOT, RunRef
from swampstore.values.version import split_version


class Snapshot:
    """See the module. Made by :class:`SnapshotReader`; never by hand."""

    def __init__(
        self,
        place: Place,
        seen: Seen,
        slots: tuple[Slot, ...],
        tail: dict[str, Record],
        broken: tuple[Broken, ...],
        register: Register | None = None,
    ) -> None:
        self._place = place
        self._register = register
        self.seen = seen
        self.root = seen.root
        self.slots = slots
        self.broken = broken
        self.overlay = tail
        self._overlay_keys: list[str] | None = None

    @property
    def place(self) -> Place:
        return self._place

    def tail(self, lane: str) -> int:
        """The last slot of ``lane`` that this snapshot holds, folded or not."""
        return max((slot for name, slot in self.slots if name == lane), default=self.root.watermark(lane))

    # --- points -------------------------------------------------------------------------------------------------

    async def record(self, key: str) -> Record | None:
        """The winning record of ``key``, tombstones and internal keys included."""
        shards = _covering(self.root.shards, key, key)
        held = find_cached(self._place, (*self.root.level0, *shards, *self.root.eph.runs), key)
        return self._winner(key, held) if held is not None else (await self._records([key]))[key]

    async def winners(self, keys: Iterable[str]) -> dict[str, Record | None]:
        """The winning records of many keys, tombstones and internal keys included."""
        return await self._records(sorted(set(keys)))

    async def _records(self, keys: Sequence[str]) -> dict[str, Record | None]:
        """The winning record of each of ``keys`` (sorted)."""
        return {key: self._winner(key, held) for key, held in (await self._in_runs(keys)).items()}

    def _winner(self, key: str, held: Iterable[Record]) -> Record | None:
        winner = self.overlay.get(key)
        for record in held:
            winner = record if winner is None else newer(winner, record)
        if winner is not None:
            self._place.clock.observe(split_version(winner.version)[0])
        return winner

    async def get(self, key: str) -> Entry | None:
        """The live entry of ``key``."""
        record = await self.record(key)
        return self._live(record)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Entry | None]:
        """The live entries of many keys: one round for block indexes, one for blocks, however many keys."""
        wanted = list(keys)
        records = await self._records(sorted(set(wanted)))
        return {key: self._live(records[key]) for key in wanted}

    def _live(self, record: Record | None) -> Entry | None:
        return live_entry(record, self._place.clock.now_ms())

    async def _in_runs(self, keys: Sequence[str]) -> dict[str, list[Record]]:
        shards = _covering(self.root.shards, keys[0], keys[-1]) if keys else ()
        try:
            with during("lookup"):
                return await find_in_runs(self._place, [*self.root.level0, *shards, *self.root.eph.runs], keys)
        except RunGone as error:
            raise await self._gone(error) from error

    async def _gone(self, error: RunGone) -> SwampError:
        """What a missing run means: names are never used again, so one that the root still names has been lost."""
        root = (await self._register.read()).root if self._register else NO_ROOT
        if any(self._place.full(ref.name) == error.name for ref in root.runs):
            return MissingObject(
                f"{error.name} is missing, but the root names it: it has been lost",
                name=error.name,
                hint="restore it from a backup of the store; swamp datastore doctor --deep says what else is missing",
            )
        return SnapshotExpired(f"this snapshot is too old: {error}", hint="open a new snapshot; pin it for long scans")

    # --- ranges -------------------------------------------------------------------------------------------------

    async def page(
        self, prefix: str = "", *, start_after: str = "", limit: int | None = None, delimiter: str = ""
    ) -> Listed:
        """Live entries under ``prefix`` in key order, at most ``limit``; see :class:`Listed`.

        With a ``delimiter``, keys that hold it past the prefix are rolled up into ``prefixes``, each counted once
        against ``limit``; a rolled-up prefix that ``start_after`` lies in is not shown again.
        """
        with phases.Operation(self._place.env, "list", "lookup") as operation:
            listed = await self._page(prefix, start_after, limit, delimiter)
            operation.records = len(listed)
            return listed

    async def _page(self, prefix: str, start_after: str, limit: int | None, delimiter: str) -> Listed:
        if not delimiter:
            return await self._flat_page(prefix, start_after, limit)
        entries: list[Entry] = []
        prefixes: list[str] = []
        cursor = start_after
        while limit is None or len(entries) + len(prefixes) < limit:
            jumped = False
            async for records in self.records(prefix, start_after=cursor):
                for record in records:
                    entry = self._live(record)
                    if entry is None:
                        continue
                    if limit is not None and len(entries) + len(prefixes) >= limit:
                        return Listed(entries, prefixes, more=True)
                    cut = entry.key.find(delimiter, len(prefix))
                    if cut < 0:
                        entries.append(entry)
                        continue
                    rolled = entry.key[: cut + len(delimiter)]
                    if not start_after.startswith(rolled):
                        prefixes.append(rolled)
                    cursor, jumped = rolled + LAST_SUFFIX, True
                    break
                if jumped:
                    break
            if not jumped:
                return Listed(entries, prefixes, more=False)
        return Listed(entries, prefixes, more=True)

    async def _flat_page(self, prefix: str, start_after: str, limit: int | None) -> Listed:
        entries: list[Entry] = []
        async for rows in self._rows(prefix, start_after):
            step = len(rows) if limit is None else limit + 1  # not a whole block for one entry
            for start in range(0, len(rows), max(step, 1)):
                entries += live_entries(rows.cut(start, start + step), self._place.clock.now_ms())
                if limit is not None and len(entries) > limit:
                    return Listed(entries[:limit], [], more=True)
        return Listed(entries, [], more=False)

    async def scan(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[list[Entry]]:
        """Live entries under ``prefix`` in key order, in chunks (bounded memory, however many there are)."""
        async for rows in self._rows(prefix, start_after):
            chunk = live_entries(rows, self._place.clock.now_ms())
            if chunk:
                yield chunk

    async def records(
        self, prefix: str = "", *, start_after: str = "", internal: bool = False
    ) -> AsyncIterator[list[Record]]:
        """Winning records under ``prefix`` in key order, in chunks; tombstones included, internal keys on demand."""
        async for rows in self._rows(prefix, start_after):
            yield (rows if internal else without_internal(rows)).records()

    async def _rows(self, prefix: str, start_after: str) -> AsyncIterator[Block]:
        """What every range read begins with: winning records, tombstones and internal keys included."""
        low = max(prefix, start_after + "\0" if start_after else "")
        layers = [*([ref] for ref in self.root.level0), self.root.shards, self.root.eph.runs]
        try:
            async for rows in joined_range(self._place, layers, self.recent, low, prefix + LAST_SUFFIX):
                yield rows
        except RunGone as error:
            raise await self._gone(error) from error

    async def conflicts(self, prefix: str = "") -> AsyncIterator[list[Record]]:
        """Kept losers of puts that did not know of each other (see :mod:`swampstore.values.join`)."""
        async for records in self.records(prefix, internal=True):
            found = [record for record in records if record.flags & CONFLICT and not record.gone]
            if found:
                yield found

    def recent(self, start: str, end: str) -> list[Record]:
        """What the log and the inline part of the root hold of [start, end]: records that no run holds yet."""
        if self._overlay_keys is None:
            self._overlay_keys = sorted(self.overlay)
        keys = self._overlay_keys
        return [self.overlay[key] for key in keys[bisect.bisect_left(keys, start) : bisect.bisect_right(keys, end)]]


class Listed:
    """``entries`` (iterate it) and rolled-up ``prefixes``, in key order; ``more`` says that the limit cut the answer."""

    __slots__ = ("entries", "more", "prefixes")

    def __init__(self, entries: list[Entry], prefixes: list[str], *, more: bool) -> None:
        self.entries = entries
        self.prefixes = prefixes
        self.more = more

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def _covering(shards: Sequence[RunRef], low: str, high: str) -> Sequence[RunRef]:
    """The shards (sorted, disjoint) that may hold keys in [low, high]."""
    start = bisect.bisect_left(shards, low, key=lambda ref: ref.last)
    end = bisect.bisect_right(shards, high, key=lambda ref: ref.first)
    return shards[start:end]


class Look(NamedTuple):
    """A root and the unfolded slots past it, nothing of which has been read yet."""

    seen: Seen
    slots: tuple[Slot, ...]


class SnapshotReader:
    """Opens snapshots of one namespace; keeps the last one, so that nothing new costs two requests and no bodies."""

    def __init__(self, place: Place, register: Register) -> None:
        self._place = place
        self._register = register
        self._last: tuple[float, Snapshot] | None = None
        self._unfolded = Unfolded()
        self.log_depth = 0
        """What the last read found unfolded, as a number of segments (see :func:`swampstore.protocols.log.depth_of`)."""

    def expect_no_root(self) -> None:
        """The caller remembers the namespace and will notice by itself that a root is lost: do not look for it."""
        self._register.known_new = True

    async def open(self, *, max_age: float = 0.0) -> Snapshot:
        """A snapshot that holds every write acknowledged before this call, or before ``max_age`` seconds ago.

        Strict (the default) costs one list and one conditional read side by side, plus the segments not seen yet.
        Raises ``Damaged`` for a lost root, ``SnapshotExpired`` after too many restarts.
        """
        if max_age > 0 and self._last is not None and self._place.env.boot() - self._last[0] <= max_age:
            return self._last[1]
        return (await self.open_timed())[0]

    async def open_timed(self) -> tuple[Snapshot, Span]:
        """A strict snapshot, and how long ago its list began."""
        snapshot, span, _ = await self.open_with(())
        return snapshot, span

    async def open_with(self, extra: Sequence[Request]) -> tuple[Snapshot, Span, Sequence[Outcome]]:
        """Like :meth:`open_timed`, with the outcomes of ``extra`` requests of the same parallel round."""
        for _ in range(READ_RESTARTS):
            span = Span(self._place.env)
            began = self._place.env.boot()
            with during("list_root"):
                listing, seen, answers = await list_root_and(self._place, self._register, extra, folded=False)
            span.saw(listing.time)
            span.saw(seen.time)
            slots = self._unfolded.of(listing, seen.root)
            self.log_depth = self._unfolded.depth
            try:
                with during("segments"):
                    snapshot = await self._build(seen, slots)
            except SegmentGone:
                continue
            if phases.observer is not None:
                phases.observer.depth(self.log_depth)
            self._last = (began, snapshot)
            return snapshot, span, answers
        raise SnapshotExpired(
            f"{self._place.names.namespace}: the log moved during {READ_RESTARTS} reads in a row", hint="try again"
        )

    async def look(self) -> Look:
        """What there is to read now: one list and one conditional read side by side, and no segment."""
        with during("list_root"):
            listing, seen, _ = await list_root_and(self._place, self._register, (), folded=False)
        slots = self._unfolded.of(listing, seen.root)
        self.log_depth = self._unfolded.depth
        return Look(seen, slots)

    async def open_at(self, look: Look) -> Snapshot:
        """The snapshot of a look that was just taken: only segments are read. Raises ``SegmentGone``: look again."""
        with during("segments"):
            return await self._build(look.seen, look.slots)

    async def _build(self, seen: Seen, slots: tuple[Slot, ...]) -> Snapshot:
        last = self._last[1] if self._last else None
        new = None
        if last is not None and last.root.nonce == seen.root.nonce:
            new = new_since(last.slots, slots)
        if last is not None and new is not None:
            if not new:
                return last
            fresh, table, broken = new, dict(last.overlay), last.broken
        else:
            fresh, broken = list(slots), ()
            table = {record.key: record for record in seen.root.inline}
            join_into(table, seen.root.eph.inline)
            self._observe(list(table.values()))
        rules = rules_of(seen.root.settings)
        for found in await fetch(self._place, fresh):
            if isinstance(found, Broken):
                broken = (*broken, found)
            else:
                join_into(table, rules.apply(found.records))
                self._observe(found.records)
        return Snapshot(self._place, seen, slots, table, broken, self._register)

    def _observe(self, records: Sequence[Record]) -> None:
        """Let later stamps of this process exceed everything it has read."""
        if records:
            self._place.clock.observe(split_version(max(record.version for record in records))[0])
