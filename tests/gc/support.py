"""Worlds full of versions: put at any level of the store, with any retention; and what a slow gc would remove."""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.env.blocking import run
from swampstore.values.data import Datum, id_key, meta_path, parse_id_key, raw_path
from swampstore.values.entry import (
    EPHEMERAL,
    OPAQUE,
    PENDING,
    VERSIONED,
    Inline,
    Location,
    Meta,
    Record,
    meta_of,
    pending_record,
    put_record,
    tombstone,
)
from swampstore.values.lifetimes import parse_keep
from swampstore.values.version import just_above
from swampstore.workers.gc.report import GcReport
from swampstore.workers.gc.run import collect_garbage
from tests.workers.world import Process, World

ID = "5f0e8a36-0b1a-4f6e-9f54-2f1b6a1c2d3e"


def datum(name: str, ordinal: int, *, keep: str = "", type_: str = "t", id_: str = ID) -> Datum:
    return Datum(type_, id_, name, ordinal, keep=keep)


def version_records(
    process: Process,
    held: Datum,
    *,
    created: int = 0,
    expires: int = 0,
    at: Location | None = None,
    size: int = 1,
    metadata: bool = True,
) -> list[Record]:
    """A version that brings its ordinal, as import and sync do: its two entries."""
    created = created or process.place.clock.now_ms()
    meta = Meta(size=size, at=at or Inline(b"x" * size), created=created, data=held)
    records = [put_record(raw_path(held.item, held.ordinal), process.writer.new_version(), meta, expires=expires)]
    if metadata:
        about = Meta(size=2, at=Inline(b"m\n"), created=created)
        key = meta_path(held.item, held.ordinal)
        records.append(put_record(key, process.writer.new_version(), about, expires=expires))
    return records


def pending(process: Process, held: Datum, *, expires: int = 0, at: Location | None = None, size: int = 1) -> Record:
    """A version without a number, as ``ns.data(...).put`` makes it."""
    created = process.place.clock.now_ms()
    meta = Meta(size=size, at=at or Inline(b"x" * size), created=created, data=held)
    return pending_record(held.item, process.writer.new_version(), meta, expires=expires)


def remove(process: Process, record: Record) -> Record:
    return tombstone(record.key, process.writer.new_version())


def collect(process: Process, *, dry_run: bool = False) -> tuple[GcReport, list[Record]]:
    """A gc; its report, and what it appended."""
    appended: list[Record] = []

    async def append(records: Sequence[Record]) -> object:
        appended.extend(records)
        return await process.writer.append(records)

    return run(collect_garbage(process.place, process.reader, append, dry_run=dry_run)), appended


def everything(process: Process) -> dict[str, Record]:
    """Every winning record, the library's own and tombstones included."""

    async def read() -> dict[str, Record]:
        snapshot = await process.reader.open()
        found: dict[str, Record] = {}
        async for records in snapshot.records(internal=True):
            found.update((record.key, record) for record in records)
        return found

    return run(read())


def slow_gc(process: Process) -> dict[str, bytes]:
    """What a gc must remove, key by version of its tombstone, found the slow way: by looking at everything."""
    records = everything(process)
    now = process.place.clock.now_ms()
    live = {key: record for key, record in records.items() if not record.gone and not record.flags & EPHEMERAL}
    gone = {key: record for key, record in live.items() if 0 < record.expires <= now and not record.flags & OPAQUE}
    items: dict[str, list[tuple[tuple[int, int, bytes], Record, Meta]]] = {}
    for key, record in live.items():
        is_pending = bool(record.flags & PENDING)
        if 0 < record.expires <= now or not (is_pending or record.flags & VERSIONED) or "\0conflict" in key:
            continue
        meta = meta_of(record)
        assert meta.data is not None
        rank = (int(is_pending), meta.data.ordinal, record.version if is_pending else b"")
        items.setdefault(meta.data.item, []).append((rank, record, meta))
    for versions in items.values():
        versions.sort(key=lambda version: version[0], reverse=True)
        newest = versions[0][2].data
        assert newest is not None
        keep = parse_keep(newest.keep) if newest.keep else None
        for place, (rank, record, meta) in enumerate(versions):
            old = keep is not None and (
                place >= max(keep.count, 1)
                if keep.count is not None
                else place > 0 and keep.ms is not None and meta.created + keep.ms <= now
            )
            if old and not rank[0]:
                gone[record.key] = record
    expected = {key: just_above(record.version) for key, record in gone.items()}
    for record in gone.values():
        meta = meta_of(record)
        if record.flags & VERSIONED and "\0" not in record.key and meta.data is not None:
            beside = live.get(meta_path(meta.data.item, meta.data.ordinal))
            if beside is not None:
                expected[beside.key] = just_above(beside.version)
            if meta.data.stamped:
                expected[id_key(meta.data.item, record.version)] = just_above(record.version)
    return expected


def live_versions(process: Process, item: str) -> list[int]:
    """The ordinals of the versions of ``item`` that readers see."""
    now = process.place.clock.now_ms()
    found = []
    for key, record in everything(process).items():
        if record.gone or not record.flags & VERSIONED or (record.expires and record.expires <= now) or "\0" in key:
            continue
        held = meta_of(record).data
        if held is not None and held.item == item:
            found.append(held.ordinal)
    return sorted(found)


def numbered(process: Process) -> None:
    """Nothing waits for a number."""
    assert not [key for key, record in everything(process).items() if record.flags & PENDING and parse_id_key(key)]


__all__ = ["World"]
