"""What an export writes: the live entries of a snapshot in key order, with ``latest`` derived for every datum.

Invariants:
- Names come in rising order, each once.
- ``latest`` says the highest number among the live versions of its datum, whatever a stored entry of that name says. A
  version is what has the fields of one, or what readers of the layout take for one (a number that holds metadata).
- A key that is not data in the legacy layout, or no path at all, is never written; it is counted, with the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator

import msgspec

from swampstore.protocols.snapshot import Snapshot
from swampstore.values.data import METADATA, RAW, latest_path, parse_path
from swampstore.values.entry import EPHEMERAL, OPAQUE, PENDING, Entry, Record, entry_of
from swampstore.values.keys import INTERNAL
from swampstore.workers.legacy.export_mark import MARK
from swampstore.workers.legacy.export_report import ExportReport
from swampstore.workers.legacy.rules import Rules


class Planned(msgspec.Struct, frozen=True):
    """A file of the export: the contents of ``entry``, or ``body`` of a derived one."""

    rel: str
    size: int
    modified: int
    sha256: bytes | None
    entry: Entry | None = None
    body: bytes = b""


def planned(entry: Entry, rel: str = "") -> Planned:
    """The file of an entry; ``rel`` when it is to lie elsewhere."""
    meta = entry.meta
    return Planned(rel or entry.key, entry.size, meta.modified or meta.created, meta.sha256, entry)


class Plan:
    """The files of one snapshot below ``prefix``, a chunk at a time."""

    def __init__(self, snapshot: Snapshot, rules: Rules, prefix: str, report: ExportReport) -> None:
        self._snapshot = snapshot
        self._rules = rules
        self._prefix = prefix
        self._report = report
        self._latest: dict[str, tuple[str, int, int]] = {}
        """By the key of ``latest``: the item, its highest ordinal so far and the time of that version."""

    async def chunks(self) -> AsyncIterator[list[Planned]]:
        """The files in the order of their names; what is left out is counted in the report."""
        now = self._snapshot.place.clock.now_ms()
        async for records in self._snapshot.records(self._prefix, internal=True):
            found: list[Planned] = []
            for record in records:
                if self._is_entry(record, now):
                    found += self._file(entry_of(record))
            if found:
                yield found
        last = list(self._due(""))
        if last:
            yield last

    def _is_entry(self, record: Record, now_ms: int) -> bool:
        if record.gone:
            return False
        if record.expires and record.expires <= now_ms:
            self._report.expired += INTERNAL not in record.key
            return False
        if record.flags & PENDING:
            self._report.pending += 1
        elif record.flags & EPHEMERAL:
            self._report.ephemeral += 1
        return INTERNAL not in record.key and not record.flags & (OPAQUE | EPHEMERAL | PENDING)

    def _file(self, entry: Entry) -> Iterator[Planned]:
        key = entry.key
        yield from self._due(key)
        if key in self._latest:
            yield self._derived(key)
            return
        reason = "export-mark" if key == MARK else self._rules.dropped(key)
        if reason is not None:
            self._report.drop(key, str(reason))
            return
        self._note_version(entry)
        yield planned(entry)

    def _note_version(self, entry: Entry) -> None:
        """Remember the highest version of each datum: by its fields, or as whoever reads the layout will see it."""
        key, data = entry.key, entry.meta.data
        found = parse_path(key) if key.endswith((f"/{METADATA}", f"/{RAW}")) else None
        if found is None or not found.ordinal or (found.leaf == RAW and data is None):
            return
        at = latest_path(found.item)
        held = self._latest.get(at)
        if held is None or found.ordinal > held[1]:
            self._latest[at] = (found.item, found.ordinal, entry.meta.modified or entry.meta.created)

    def _due(self, key: str) -> Iterator[Planned]:
        """The derived files whose names come before ``key`` (empty: all that are left)."""
        if self._latest:
            for at in sorted(at for at in self._latest if not key or at < key):
                yield self._derived(at)

    def _derived(self, at: str) -> Planned:
        _, ordinal, modified = self._latest.pop(at)
        body = str(ordinal).encode()
        self._report.latest += 1
        return Planned(at, len(body), modified, hashlib.sha256(body).digest(), None, body)
