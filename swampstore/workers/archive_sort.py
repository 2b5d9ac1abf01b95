"""Sorting: fresh archives into archives of one topic and one day, named by the catalog, by one CAS of the root.

An archive that is there already is taken in again while it is not much larger than what is added, so a day of a topic is
a few files however often it was added to, and a record is rewritten a number of times that grows like the logarithm of
the day. Retention frees whole files.

Invariants:
- It removes exactly what it read: fresh archives by name, the catalog as a whole (only sorts and retention replace it; if
  it has changed, this one gives up). What folds add meanwhile stays.
- Record sums are conserved, from the references: of what goes in, of what comes out, plus doubles.
- The root grows by one reference per megabyte of catalog, whatever the number of records, topics and days.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec

from swampstore.env.clock import Span
from swampstore.errors import CorruptObject, Inconsistent, MissingObject, StaleWrite
from swampstore.limits import AUDIT_FILE_BYTES, MIB, ROOT_CAS_TRIES, SHARD_UPLOAD_AGE_S
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.stores.base import Create, Put
from swampstore.values.audit import (
    PARQUET,
    AuditFile,
    catalog_parts,
    catalog_record,
    file_of,
    first_of,
    format_of,
    key_parts,
    part_of,
    retention_of,
    run_of,
    value_of,
)
from swampstore.values.audit_parquet import available, encode_parquet, file_part, is_parquet
from swampstore.values.entry import Record, record_sum
from swampstore.values.root import Audit, Fresh, Garbage, Root, RunRef, garbage_list
from swampstore.values.run import RunBuilder, build_run
from swampstore.workers.archive import sort_due
from swampstore.workers.archive_catalog import Catalog, put_all
from swampstore.workers.archive_reader import ArchiveReader
from swampstore.workers.leadership import Leadership
from swampstore.workers.report import SortReport

INPUT_BYTES = 64 * MIB
"""Stored bytes of fresh archives that one sort takes in."""
_WORTH = 2
"""A file of up to this many times the records that are added is written anew together with them."""
_PUTS_AT_ONCE = 32
_PARQUET_PACKS = 4
"""A Parquet file takes about that part of its keys and values."""
UNSORTED_FILES = 32
"""Archives of mixed topics that may wait where none can be sorted; then those that are small become one."""
NO_PARQUET = "the audit archives here are Parquet files, and the compactor has no pyarrow: they wait to be sorted"

_log = logging.getLogger("swampstore")


class _Change(msgspec.Struct):
    """What is to be published: these fresh archives leave (or become ``joined``), this catalog replaces that one, those
    files are garbage."""

    taken: tuple[Fresh, ...]
    before: tuple[RunRef, ...]
    catalog: tuple[RunRef, ...]
    out: list[str]
    totals: tuple[int, int]
    age: Span
    joined: Fresh | None = None
    problem: str = ""


async def sort_archives(
    place: Place, register: Register, leadership: Leadership, *, stay: bool, insist: bool = False, full: bool = False
) -> SortReport:
    """Sort the fresh archives, if they are enough or ``full``. Losing a race is no error: ``report.raced``."""
    seen = await register.read()
    audit = seen.root.audit
    if not audit.fresh or not (full or sort_due(seen.root)):
        return SortReport()
    if not leadership.may_publish(seen, seen, one_shot=not stay, insist=insist):
        return SortReport()
    age = Span(place.env, seen.time)
    parquet = format_of(seen.root.settings) == PARQUET
    if parquet and not available():
        return await _join(place, register, leadership, seen, stay=stay, insist=insist)
    taken = _bounded(audit.fresh)
    work = _Sort(place, audit.catalog, seen.time, parquet=parquet)
    await work.take([one.run for one in taken])
    catalog = await work.write()
    report = SortReport(records=work.records_in, files=len(work.made), freed=len(work.freed))
    out = [*(one.run.name for one in taken), *(file.name for file in work.freed)]
    change = _Change(taken, audit.catalog, catalog, out, _totals(audit, work.made, work.freed), age)
    return await _publish(register, leadership, seen, change, report, stay=stay, insist=insist)


async def look_after_archives(
    place: Place,
    register: Register,
    leadership: Leadership,
    *,
    stay: bool,
    insist: bool,
    full: bool = False,
    retain: bool = False,
) -> SortReport:
    """Sort what is due (or, ``full``, whatever there is), then with ``retain`` free what is too old.

    What cannot be read is no reason to leave everything else undone: ``report.problem`` says so.
    """
    try:
        report = await sort_archives(place, register, leadership, stay=stay, insist=insist, full=full)
        if retain:
            freed = await retain_archives(place, register, leadership, stay=stay, insist=insist)
            report.freed += freed.freed
            report.published |= freed.published
    except (MissingObject, CorruptObject) as error:
        _log.error("namespace %s: audit archives are left as they are: %s", place.names.namespace, error)
        return SortReport(problem=str(error))
    return report


async def retain_archives(
    place: Place,
    register: Register,
    leadership: Leadership,
    *,
    stay: bool,
    insist: bool = False,
) -> SortReport:
    """Free the sorted archives whose last record is older than the namespace's settings keep records of their topic."""
    seen = await register.read()
    ages = retention_of(seen.root.settings)
    if (
        not ages
        or not seen.root.audit.catalog
        or not leadership.may_publish(seen, seen, one_shot=not stay, insist=insist)
    ):
        return SortReport()
    age, audit = Span(place.env, seen.time), seen.root.audit
    catalog = await Catalog.open(place, audit.catalog)
    freed: list[AuditFile] = []
    for key, record in list(catalog.records.items()):
        file, keep = file_of(record), ages.get(catalog_parts(key)[1], ages.get("*"))
        if keep is not None and file.last_ms < seen.time - keep:
            freed.append(file)
            del catalog.records[key]
    if not freed:
        return SortReport()
    runs = await catalog.write()
    change = _Change((), audit.catalog, runs, [file.name for file in freed], _totals(audit, (), freed), age)
    return await _publish(register, leadership, seen, change, SortReport(freed=len(freed)), stay=stay, insist=insist)


async def _join(
    place: Place, register: Register, leadership: Leadership, seen: Seen, *, stay: bool, insist: bool
) -> SortReport:
    """Where nothing can be sorted: say so in the root, and make one of the small fresh archives when they are many, so that
    the root stays small."""
    audit, age = seen.root.audit, Span(place.env, seen.time)
    small = _bounded([one for one in audit.fresh if one.run.size < AUDIT_FILE_BYTES // 2])
    if len(audit.fresh) < UNSORTED_FILES or len(small) < 2:
        report = SortReport(problem=NO_PARQUET)
        if audit.problem == NO_PARQUET:
            return report
        change = _Change((), audit.catalog, audit.catalog, [], (audit.records, audit.bytes), age, problem=NO_PARQUET)
        return await _publish(register, leadership, seen, change, report, stay=stay, insist=insist)
    reader, table = ArchiveReader(place, [one.run for one in small]), dict[str, Record]()
    doubled = 0
    for _ in small:
        for record in chain.from_iterable(await reader.next()):
            held = table.get(record.key)
            table[record.key] = kept = record if held is None else first_of(held, record)
            if held is not None:
                doubled += record_sum(record if kept is held else held)
    part, name = place.new_object("audit")
    run, data = build_run(f"audit/{part}", [table[key] for key in sorted(table)])
    if run.sum + doubled != sum(one.run.sum for one in small):
        raise Inconsistent(f"{place.names.namespace}: a join does not conserve audit records")
    await put_all(place, [Put(name, data, Create())])
    joined = Fresh(run, min(one.first_fold for one in small), max(one.last_fold for one in small))
    out = [one.run.name for one in small]
    change = _Change(small, audit.catalog, audit.catalog, out, (audit.records, audit.bytes), age, joined, NO_PARQUET)
    report = SortReport(records=len(table), files=1, freed=len(small))
    report = await _publish(register, leadership, seen, change, report, stay=stay, insist=insist)
    report.problem = NO_PARQUET
    return report


def _totals(audit: Audit, made: Sequence[AuditFile], freed: Sequence[AuditFile]) -> tuple[int, int]:
    """Records and bytes of the sorted archives after a change."""
    records = audit.records + sum(file.count for file in made) - sum(file.count for file in freed)
    return records, audit.bytes + sum(file.size for file in made) - sum(file.size for file in freed)


def _bounded(fresh: Sequence[Fresh]) -> tuple[Fresh, ...]:
    """The oldest of ``fresh``, as many as one sort takes in (at least one)."""
    taken: list[Fresh] = []
    size = 0
    for one in fresh:
        if taken and size + one.run.size > INPUT_BYTES:
            break
        taken.append(one)
        size += one.run.size
    return tuple(taken)


class _Sort:
    """Takes records in, takes small files of the same parts in again, writes; the catalog ``runs`` follow."""

    def __init__(self, place: Place, runs: Sequence[RunRef], now_ms: int, *, parquet: bool) -> None:
        self._place = place
        self._parquet = parquet
        self._runs = runs
        self._catalog: dict[str, Record] = {}
        self._now = now_ms
        self._parts: dict[tuple[str, str], dict[str, Record]] = {}
        self._in = self._out = self._doubled = 0
        self._puts: list[Put] = []
        self.records_in = 0
        self.made: list[AuditFile] = []
        self.freed: list[AuditFile] = []

    async def take(self, runs: Sequence[RunRef]) -> None:
        """Read fresh archives and deal their records out to topics and parts."""
        reader = ArchiveReader(self._place, runs)
        for run in runs:
            self._in += run.sum
            for records in await reader.next():
                for record in records:
                    topic, ts, _ = key_parts(record.key)
                    self._add(self._parts.setdefault((part_of(ts, self._now), topic), {}), record)
                    self.records_in += 1

    def _add(self, table: dict[str, Record], record: Record) -> None:
        held = table.get(record.key)
        table[record.key] = kept = record if held is None else first_of(held, record)
        if held is not None:
            self._doubled += record_sum(record if kept is held else held)

    async def write(self) -> tuple[RunRef, ...]:
        """Write every part that something was added to; the catalog then. Raises ``Inconsistent`` for wrong sums."""
        catalog = await Catalog.open(self._place, self._runs, {part for part, _ in self._parts})
        self._catalog = catalog.records
        files: dict[tuple[str, str], list[tuple[str, AuditFile]]] = {}
        for key, record in self._catalog.items():
            if (where := catalog_parts(key)) in self._parts:
                files.setdefault(where, []).append((key, file_of(record)))
        for (part, topic), table in self._parts.items():
            await self._take_again(topic, table, files.get((part, topic), []))
            self._write_part(part, topic, table)
            await self._put(_PUTS_AT_ONCE)
        await self._put(1)
        if self._in != self._out + self._doubled:
            raise Inconsistent(f"{self._place.names.namespace}: a sort does not conserve audit records")
        return await catalog.write()

    async def _take_again(self, topic: str, table: dict[str, Record], files: list[tuple[str, AuditFile]]) -> None:
        """Read the files that are small beside what is added, smallest first."""
        size = sum(len(record.key) + len(record.value) for record in table.values()) // 4
        count = len(table)
        chosen: list[tuple[str, AuditFile]] = []
        for key, file in sorted(files, key=lambda pair: pair[1].count):
            if file.count > _WORTH * count or size + file.size > AUDIT_FILE_BYTES:
                break
            if is_parquet(file.name) and not available():
                continue
            chosen.append((key, file))
            size, count = size + file.size, count + file.count
        reader = ArchiveReader(self._place, [run_of(topic, file) for _, file in chosen])
        for key, file in chosen:
            self._in += file.sum
            for records in await reader.next():
                for record in records:
                    self._add(table, record)
            self.freed.append(file)
            del self._catalog[key]

    def _write_part(self, part: str, topic: str, table: Mapping[str, Record]) -> None:
        builder, held, size = RunBuilder(), list[Record](), 0
        for key in sorted(table):
            record = table[key]
            held.append(record)
            size += len(record.key) + len(record.value)
            if not self._parquet:
                builder.add(record)
            if (size // _PARQUET_PACKS if self._parquet else builder.size) >= AUDIT_FILE_BYTES:
                self._finish(part, topic, builder, held)
                builder, held, size = RunBuilder(), [], 0
        if held:
            self._finish(part, topic, builder, held)

    def _finish(self, part: str, topic: str, builder: RunBuilder, held: Sequence[Record]) -> None:
        if self._parquet:
            unique = file_part(topic, part, self._place.new_unique())
            name = self._place.names.unique("audit", unique)
            run, data = encode_parquet(f"audit/{unique}", held)
        else:
            unique, name = self._place.new_object("audit")
            run, data = builder.finish(f"audit/{unique}")
        folds = [value_of(record).fold for record in held]
        file = AuditFile(
            name=run.name,
            size=run.size,
            index_at=run.index_at,
            count=run.count,
            digest=run.digest,
            sum=run.sum,
            first_ms=key_parts(run.first)[1],
            last_ms=key_parts(run.last)[1],
            first_fold=min(folds),
            last_fold=max(folds),
        )
        record = catalog_record(part, topic, file)
        self._catalog[record.key] = record
        self._out += run.sum
        self.made.append(file)
        self._puts.append(Put(name, data, Create()))

    async def _put(self, least: int) -> None:
        if len(self._puts) >= least:
            puts, self._puts = self._puts, []
            await put_all(self._place, puts)


async def _publish(
    register: Register,
    leadership: Leadership,
    began: Seen,
    change: _Change,
    report: SortReport,
    *,
    stay: bool,
    insist: bool,
) -> SortReport:
    last = register.last
    seen = last if last is not None and last.root.version >= began.root.version else began
    for _ in range(ROOT_CAS_TRIES):
        change.age.saw(seen.time)
        audit = seen.root.audit
        there = {one.run.name for one in audit.fresh}
        whole = audit.catalog == change.before and there.issuperset(one.run.name for one in change.taken)
        may = leadership.may_publish(seen, began, one_shot=not stay, insist=insist)
        if not may or not whole or change.age.seconds() > SHARD_UPLOAD_AGE_S:
            break
        try:
            await register.publish(seen, leadership.sign(seen.root, _successor(seen, change), stay=stay))
        except StaleWrite:
            seen = await register.read()
            continue
        report.published = True
        return report
    return SortReport(raced=True)


def _successor(seen: Seen, change: _Change) -> Root:
    old = seen.root
    taken = {one.run.name for one in change.taken}
    named = {run.name for run in change.catalog}
    out = [*change.out, *(run.name for run in change.before if run.name not in named)]
    fresh = [one for one in old.audit.fresh if one.run.name not in taken]
    joined = [change.joined] if change.joined is not None else []
    garbage = {item.name: item for item in old.garbage}
    garbage |= {name: Garbage(name, old.version + 1, seen.time) for name in out}
    audit = Audit(
        inline=old.audit.inline,
        fresh=tuple(sorted([*fresh, *joined], key=lambda one: one.first_fold)),
        catalog=change.catalog,
        sorted=max([old.audit.sorted, *(one.last_fold for one in change.taken if not joined)]),
        records=change.totals[0],
        bytes=change.totals[1],
        problem=change.problem,
    )
    return msgspec.structs.replace(old, audit=audit, garbage_raw=garbage_list(garbage.values()))
