"""Restore: bring a namespace back to a saved snapshot by appending the difference, with new versions.

What is restored are entries, those of data versions with their ordinals among them (under a new stable id; ordinals that
were given since are never given again). Streams, locks, audit and ephemeral records, watermarks and settings stay as they
are, and so do kept conflicts.

Invariants:
- Nothing is appended before every content that the difference needs was found with its size (``full``: and its hash).
- Locations are taken over from the saved snapshot, which holds them; a pin holds them should somebody delete it meanwhile.
- A put names the version it replaces as its base, a deletion removes just the version that was seen: what others write
  during the restore is kept, never overwritten unseen.
- Killed at any point, a second restore appends what is left: the difference is taken against what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import msgspec

from swampstore.errors import MissingObject, NotFound, SnapshotExpired, SwampError
from swampstore.limits import PART_BYTES
from swampstore.protocols.contents import read_many, stream_content
from swampstore.protocols.pins import Hold
from swampstore.protocols.saved import SavedSnapshot, load_saved
from swampstore.protocols.snapshot import Snapshot
from swampstore.stores.base import Head, Headed
from swampstore.values.data import id_key
from swampstore.values.entry import (
    CONFLICT,
    EPHEMERAL,
    OPAQUE,
    PENDING,
    Blob,
    Entry,
    External,
    Inline,
    Location,
    Meta,
    Packed,
    Record,
    entry_of,
    meta_of,
    put_record,
    tombstone,
)
from swampstore.values.keys import INTERNAL, check_prefix
from swampstore.values.version import VERSION_BYTES, just_above, put_of
from swampstore.workers.ground import Ground, append_records, batched, fold_log, paired
from swampstore.workers.target import Progress, silent

FROM_NOTHING = bytes(VERSION_BYTES)
"""The base of a put to a key that holds nothing."""
_EXAMPLES = 100
_CHECKS = 256
_READ_BYTES = 32 * 1024 * 1024

Action = Literal["create", "change", "delete"]


class RestoreReport(msgspec.Struct):
    """What a restore did, or with ``dry_run`` would do. ``examples`` are ``(action, key)``, at most 100.

    ``expired`` were in the snapshot and have expired since; they stay away. ``bytes`` is the size of the contents that
    come back (none of them is copied). ``checked`` contents were looked for before anything was appended. ``pending``
    data versions have no number yet: a dry run cannot tell their keys, a restore deletes them too.
    """

    name: str
    saved_ms: int
    dry_run: bool
    created: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    expired: int = 0
    bytes: int = 0
    checked: int = 0
    pending: int = 0
    examples: list[tuple[str, str]] = []

    @property
    def differences(self) -> int:
        """How many keys are not as they were."""
        return self.created + self.changed + self.deleted


class Change(msgspec.Struct, frozen=True):
    """One key that differs: ``saved`` is what it is to hold, ``now`` what it holds (``None``: nothing)."""

    action: Action
    key: str
    saved: Record | None
    now: Record | None


async def restore(
    ground: Ground,
    name: str,
    *,
    dry_run: bool = True,
    prefix: str = "",
    full: bool = False,
    progress: Progress = silent,
) -> RestoreReport:
    """Restore saved snapshot ``name`` (below ``prefix`` alone, if given).

    Raises ``NotFound``, ``BadName``, ``BadKey``, ``MissingObject`` or ``CorruptObject`` when something that the snapshot
    needs is gone or damaged (nothing was changed then), ``SnapshotExpired`` when it was deleted meanwhile.
    """
    check_prefix(prefix)
    seen = await load_saved(ground.place, name)
    report = RestoreReport(name, seen.modified, dry_run)
    work = _Restore(ground, SavedSnapshot(ground.place, seen, name), report, prefix, progress)
    if dry_run:
        await work.check(await ground.reader.open(), full=full)
        return report
    hold = Hold(ground.place, seen.root.version)
    await hold.take()
    try:
        # The pin is there: if the saved snapshot is there too, no sweep ever saw neither.
        if (await load_saved(ground.place, name)).etag != seen.etag:
            raise SnapshotExpired(f"snapshot {name!r} was replaced meanwhile", hint="look at it and restore again")
        await fold_log(ground)  # data versions get their ordinals, by which they are compared
        now = await ground.reader.open()
        await work.check(now, full=full)
        await work.append(now, hold)
    finally:
        await hold.release()
    return report


class _Restore:
    """One restore, step by step."""

    def __init__(
        self, ground: Ground, saved: SavedSnapshot, report: RestoreReport, prefix: str, progress: Progress
    ) -> None:
        self._ground = ground
        self._saved = saved
        self._report = report
        self._prefix = prefix
        self._progress = progress

    # --- what differs -------------------------------------------------------------------------------------------

    async def _differences(self, now: Snapshot, report: RestoreReport | None = None) -> AsyncIterator[list[Change]]:
        """The keys that differ, in order; counted into ``report``."""
        pairs = paired(self._saved.records(self._prefix), now.records(self._prefix, internal=True))
        async for chunk in pairs:
            changes: list[Change] = []
            for key, before, after in chunk:
                if INTERNAL in key:
                    if report is not None and after is not None and after.flags & PENDING and not after.gone:
                        report.pending += 1
                    continue
                change = self._compare(key, _plain(before), _plain(after), report)
                if change is not None:
                    changes.append(change)
            if changes:
                yield changes

    def _compare(
        self, key: str, before: Record | None, after: Record | None, report: RestoreReport | None
    ) -> Change | None:
        wall = self._ground.place.clock.now_ms()
        wanted = before if before is not None and not before.gone else None
        held = after if after is not None and not after.gone and not _expired(after, wall) else None
        if wanted is not None and _expired(wanted, wall):
            if report is not None:
                report.expired += 1
            wanted = None
        if wanted is None:
            return Change("delete", key, None, held) if held is not None else None
        if held is not None and _same(wanted, held):
            if report is not None:
                report.unchanged += 1
            return None
        return Change("change" if held is not None else "create", key, wanted, after)

    # --- before anything is appended ----------------------------------------------------------------------------

    async def check(self, now: Snapshot, *, full: bool) -> None:
        """Count the differences, and find every content they need."""
        report = self._report
        pending: list[Entry] = []
        async for changes in self._differences(now, report):
            for change in changes:
                _count(report, change)
                if change.saved is not None:
                    entry = entry_of(change.saved)
                    report.bytes += entry.size
                    if full or not isinstance(entry.meta.at, Inline):
                        pending.append(entry)
            if len(pending) >= _CHECKS:
                await self._find(pending, full=full)
                pending = []
            self._progress("comparing", report.differences + report.unchanged, 0)
        await self._find(pending, full=full)

    async def _find(self, entries: Sequence[Entry], *, full: bool) -> None:
        self._report.checked += len(entries)
        if full:
            await self._read(entries)
            return
        sizes: dict[str, int] = {}
        for entry in entries:
            name, end = self._object(entry.meta)
            if name:
                sizes[name] = max(sizes.get(name, 0), end)
        answers = await self._ground.place.store.many([Head(name) for name in sizes])
        for (name, end), answer in zip(sizes.items(), answers, strict=True):
            if isinstance(answer, Headed) and answer.info.size >= end:
                continue
            if isinstance(answer, SwampError) and not isinstance(answer, NotFound):
                raise answer
            why = "is gone" if isinstance(answer, NotFound) else "is shorter than it was"
            raise MissingObject(
                f"snapshot {self._saved.name!r} cannot be restored: {name} {why}; nothing was changed",
                name=name,
                hint="restore a part of it with a prefix, or another snapshot, or bring the object back from a backup",
            )

    def _object(self, meta: Meta) -> tuple[str, int]:
        """``(name, bytes it must hold)`` of the object that holds the contents; empty for none that can be seen."""
        names = self._ground.place.names
        match meta.at:
            case Blob(part):
                return names.unique("blob", part), meta.size
            case Packed(part, offset, length):
                return names.unique("pack", part), offset + length
            case External(name, ""):
                return name, meta.size
        return "", 0

    async def _read(self, entries: Sequence[Entry]) -> None:
        """Read the contents and compare their hashes. Raises ``MissingObject``, ``CorruptObject``."""
        group: list[Entry] = []
        size = 0
        for entry in entries:
            if _elsewhere(entry.meta.at):
                continue
            if entry.size > PART_BYTES:
                digest = hashlib.sha256()
                async for chunk in stream_content(self._ground.place, entry):
                    digest.update(chunk)
                continue
            if group and size + entry.size > _READ_BYTES:
                await self._read_small(group)
                group, size = [], 0
            group.append(entry)
            size += entry.size
        await self._read_small(group)

    async def _read_small(self, group: Sequence[Entry]) -> None:
        for body in await read_many(self._ground.place, group):
            if isinstance(body, SwampError):
                raise body

    # --- appending ----------------------------------------------------------------------------------------------

    async def append(self, now: Snapshot, hold: Hold) -> None:
        """Append the differences, the same ones that were checked."""
        total, done = self._report.differences, 0
        async for changes in self._differences(now):
            for batch in batched([record for change in changes for record in self._records(change)]):
                if not await hold.keep():
                    await self._check_kept()
                await append_records(self._ground, batch)
            done += len(changes)
            self._progress("restoring", done, total)

    async def _check_kept(self) -> None:
        """The pin had run out: nothing is lost as long as the saved snapshot is there."""
        try:
            await load_saved(self._ground.place, self._saved.name)
        except NotFound as error:
            raise SnapshotExpired(
                f"snapshot {self._saved.name!r} was deleted while it was restored", hint="what was restored stays"
            ) from error

    def _records(self, change: Change) -> list[Record]:
        if change.saved is not None:
            return [self._put(change.key, change.saved, change.now)]
        assert change.now is not None
        version = change.now.version
        gone = [tombstone(change.key, just_above(version), base=put_of(version))]
        data = meta_of(change.now).data
        if data is not None and data.stamped:
            gone.append(tombstone(id_key(data.item, version), just_above(version), base=put_of(version)))
        return gone

    def _put(self, key: str, saved: Record, now: Record | None) -> Record:
        meta = meta_of(saved)
        data = meta.data
        if data is not None and data.stamped:
            data = msgspec.structs.replace(data, stamped=False)  # its id names the version that is gone
        base = put_of(now.version) if now is not None else FROM_NOTHING
        meta = msgspec.structs.replace(meta, base=base, data=data)
        return put_record(key, self._ground.writer.new_version(), meta, expires=saved.expires)


def _count(report: RestoreReport, change: Change) -> None:
    match change.action:
        case "create":
            report.created += 1
        case "change":
            report.changed += 1
        case "delete":
            report.deleted += 1
    if len(report.examples) < _EXAMPLES:
        report.examples.append((change.action, change.key))


def _plain(record: Record | None) -> Record | None:
    """``record`` if it is an entry of the index (or the tombstone of one)."""
    return None if record is None or record.flags & (OPAQUE | CONFLICT | EPHEMERAL) else record


def _expired(record: Record, now_ms: int) -> bool:
    return bool(record.expires) and record.expires <= now_ms


def _same(one: Record, other: Record) -> bool:
    """Whether two puts of one key say the same: it is the same put, or contents and labels are equal."""
    if put_of(one.version) == put_of(other.version):
        return True
    if one.expires != other.expires:
        return False
    mine, its = _bare(meta_of(one)), _bare(meta_of(other))
    if mine.sha256 is None or its.sha256 is None:
        return False
    return msgspec.structs.replace(mine, at=its.at) == its


def _bare(meta: Meta) -> Meta:
    """``meta`` without what a restore changes by itself."""
    data = meta.data
    if data is not None and data.stamped:
        data = msgspec.structs.replace(data, stamped=False)
    return msgspec.structs.replace(meta, base=None, data=data)


def _elsewhere(at: Location) -> bool:
    return isinstance(at, External) and bool(at.store)
