"""Migration of a namespace from one store to another, as often as wanted: a later run brings over the difference.

What is copied are the records of one pinned snapshot, with their keys and versions: entries with their contents, data
versions with ids and numbers, streams with their positions, audit records, tombstones of what the destination holds. Not
copied are saved snapshots, locks and queues, and runtime state.

Invariants:
- The source is only read (its log is folded first, so that data versions have their numbers).
- Records enter the destination by ordinary appends of this process; versions decide what wins, so an interrupted, a
  repeated and a concurrent migration end the same.
- Absence is not deletion: what the destination alone has stays, unless ``delete`` says otherwise.
- A migration is done only when the destination was read again and holds every live entry of the snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from swampstore.errors import Conflict, Misuse, StoreForbidden
from swampstore.limits import TOMBSTONE_AGE_MS
from swampstore.protocols.pins import PinnedSnapshot, pin_snapshot
from swampstore.protocols.snapshot import Snapshot
from swampstore.protocols.stream import STREAM_MARK
from swampstore.protocols.update import LOCK_MARK
from swampstore.values.data import id_key
from swampstore.values.entry import AUDIT, EPHEMERAL, OPAQUE, PENDING, Record, meta_of, tombstone
from swampstore.values.keys import INTERNAL
from swampstore.values.version import just_above, put_of, split_version, version_ms
from swampstore.workers.compactor import Compactor
from swampstore.workers.ground import Ground, append_records, batched, fold_log, paired
from swampstore.workers.migrate_audit import AuditDifference
from swampstore.workers.migrate_contents import Carrier, grouped
from swampstore.workers.migrate_lanes import claim, may_claim
from swampstore.workers.migrate_report import MigrateOptions, MigrateReport
from swampstore.workers.migrate_verify import Verifier
from swampstore.workers.target import Progress, silent

_FOLD_EVERY = 200


async def migrate(
    source: Ground, target: Ground, options: MigrateOptions, progress: Progress = silent
) -> MigrateReport:
    """Bring ``target`` up to ``source``.

    Raises ``Misuse`` for a namespace onto itself, ``Conflict`` for a destination that holds something else, and what the
    stores raise. Run it again after any of them.
    """
    options.check()
    if (source.place.store.url, source.name) == (target.place.store.url, target.name):
        raise Misuse("source and destination are the same", hint="name another store, or another namespace with --as")
    return await _Migration(source, target, options, progress).run()


class _Migration:
    """One run."""

    def __init__(self, source: Ground, target: Ground, options: MigrateOptions, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._progress = progress
        self._report = MigrateReport(namespace=source.name, target=target.name, dry_run=options.dry_run)
        self._carrier = Carrier(source, target, self._report)
        self._pinned: PinnedSnapshot | None = None
        self._batches = 0
        self._done = 0

    async def run(self) -> MigrateReport:
        async with AsyncExitStack() as stack:
            snapshot = await self._open(stack)
            if self._options.dry_run:
                await may_claim(self._source, self._target, force=self._options.force)
                await self._pass(snapshot)
                await self._audit(snapshot)
                return self._report
            await self._target.prove()
            self._report.resumed = await claim(self._source, self._target, snapshot, force=self._options.force)
            await self._pass(snapshot)
            await self._audit(snapshot)
            self._progress("compacting", 0, 0)
            await Compactor(self._target.place, self._target.register).round(stay=False, insist=True, full=True)
            verifier = Verifier(self._target, self._options, self._report, self._carrier.damaged, self._progress)
            await verifier.run(snapshot, self._keep)
            async for records in AuditDifference(self._source, self._target, snapshot).missing():
                await self._keep()
                for record in records:
                    self._report.stray(record.key.replace(INTERNAL, "/"), "the audit record is not there")
        return self._report

    async def _open(self, stack: AsyncExitStack) -> Snapshot:
        """The snapshot to copy: folded and pinned, where the source may be written to."""
        source = self._source
        if self._options.dry_run:
            return await source.reader.open()
        try:
            await fold_log(source)
            self._pinned = await stack.enter_async_context(pin_snapshot(source.place, source.register, source.reader))
        except StoreForbidden:
            return await source.reader.open()
        return self._pinned.snapshot

    async def _keep(self) -> None:
        if self._pinned is not None:
            await self._pinned.keep()

    # --- the difference -----------------------------------------------------------------------------------------

    async def _pass(self, snapshot: Snapshot) -> None:
        """Bring over what the target has not, in key order."""
        there = await self._target.reader.open()
        total = snapshot.root.entries
        async for chunk in paired(snapshot.records(internal=True), there.records(internal=True)):
            await self._keep()
            puts: list[Record] = []
            others: list[Record] = []
            for key, mine, its in chunk:
                if key.startswith(LOCK_MARK):
                    continue
                if key.startswith(STREAM_MARK):
                    self._check_stream(key, mine, its)
                if mine is None:
                    others += self._only_there(key, its)
                elif self._is_missing(mine, its):
                    self._sort(mine, puts, others)
            await self._bring(puts, others)
            self._done += len(chunk)
            self._progress("copying", self._done, total)

    def _check_stream(self, key: str, mine: Record | None, its: Record | None) -> None:
        """Raise ``Conflict`` when the target's stream is not a beginning of the source's. Streams come first of all."""
        if its is None or its.gone or key.endswith("\0tail") or self._options.force:
            return
        if mine is None or (mine.version == its.version and mine.value != its.value):
            raise Conflict(
                f"stream {key.split(INTERNAL)[2]!r} of the destination was written by others since the last migration",
                hint="delete the destination and migrate again from the start, or join both with --force",
            )

    def _is_missing(self, mine: Record, its: Record | None) -> bool:
        """Whether the target is to get what ``mine`` says; counts what it is not to get."""
        report = self._report
        if mine.flags & PENDING and not mine.gone:
            report.pending += 1
            return False
        if mine.flags & (EPHEMERAL | AUDIT):
            return False
        if its is not None:
            # A put that was said again, better placed, is the same put; a tombstone or a number is more than it.
            same = not (mine.gone or mine.flags & OPAQUE) and put_of(its.version) >= put_of(mine.version)
            if same or its.version >= mine.version:
                report.unchanged += not mine.gone and INTERNAL not in mine.key
                return False
            return True
        now = self._target.place.clock.now_ms()
        if mine.gone:
            # The target knows nothing of the key. A young tombstone still keeps out what a slower migration brings.
            return now - version_ms(mine.version) < TOMBSTONE_AGE_MS
        if mine.expires and mine.expires <= now:
            report.expired += INTERNAL not in mine.key
            return False
        return True

    def _sort(self, mine: Record, puts: list[Record], others: list[Record]) -> None:
        """What of ``mine`` goes over as it is, and what with contents."""
        now = self._target.place.clock.now_ms()
        if mine.gone:
            self._report.tombstones += 1
            others.append(mine)
        elif mine.flags & OPAQUE:
            self._report.stream_records += 1
            others.append(mine)
        elif mine.expires and mine.expires <= now:
            # What is there is older than something that has expired: it is not to be seen any more either.
            self._report.expired += 1
            others.append(tombstone(mine.key, just_above(mine.version), base=put_of(mine.version)))
        else:
            puts.append(mine)

    def _only_there(self, key: str, its: Record | None) -> list[Record]:
        if its is None or its.gone or INTERNAL in key or its.flags & (OPAQUE | EPHEMERAL):
            return []
        if its.expires and its.expires <= self._target.place.clock.now_ms():
            return []
        self._report.only(key)
        if not self._options.delete:
            return []
        self._report.deleted += 1
        gone = [tombstone(key, just_above(its.version), base=put_of(its.version))]
        data = meta_of(its).data
        if data is not None and data.stamped:
            gone.append(tombstone(id_key(data.item, its.version), just_above(its.version), base=put_of(its.version)))
        return gone

    async def _audit(self, snapshot: Snapshot) -> None:
        """Bring the audit records over that the target has not."""
        async for records in AuditDifference(self._source, self._target, snapshot).missing():
            await self._keep()
            self._report.audit += len(records)
            if not self._options.dry_run:
                await self._append(records)
            self._progress("copying audit records", self._report.audit, 0)

    # --- writing ------------------------------------------------------------------------------------------------

    async def _bring(self, puts: Sequence[Record], others: Sequence[Record]) -> None:
        if self._options.dry_run:
            self._report.copied += len(puts)
            self._report.bytes += sum(meta_of(record).size for record in puts)
            return
        await self._append(others)
        for group in grouped(puts):
            await self._keep()
            await self._append(await self._carrier.carry(group))

    async def _append(self, records: Sequence[Record]) -> None:
        for batch in batched(records):
            for record in batch:
                self._target.place.clock.observe(split_version(record.version)[0])
            await append_records(self._target, batch)
            self._batches += 1
            if self._batches % _FOLD_EVERY == 0:
                await fold_log(self._target)
