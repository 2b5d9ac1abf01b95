"""Pulling: contents come side by side in bounded batches; each is checked, written aside, and then takes its name.

Invariants: no batch holds more than a bounded number of bytes in memory; large contents are streamed to the temporary
file; a row is written only after the file is in place.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from swampstore.errors import CorruptObject, Damaged, NotFound, SwampError, TryAgain
from swampstore.limits import MIB, PART_BYTES
from swampstore.protocols.contents import stream_content
from swampstore.protocols.place import Place
from swampstore.values.batches import batches
from swampstore.values.entry import EPHEMERAL, Entry, entry_of
from swampstore.workers.sync.coming import Arrival
from swampstore.workers.sync.fetch import fetch_small
from swampstore.workers.sync.labels import labels_of
from swampstore.workers.sync.mirror import Mirror
from swampstore.workers.sync.options import SyncOptions
from swampstore.workers.sync.plan import Item
from swampstore.workers.sync.report import Progress, SyncReport
from swampstore.workers.sync.state import Row, State
from swampstore.workers.sync.tree import Found, Left, Tree, reason_of

if TYPE_CHECKING:
    from swampstore.workers.sync.temporary import Partial, Temporary

_BATCH_FILES = 4096
_BATCH_BYTES = 32 * MIB
_OVERTAKEN = "another sync of this tree has brought it further meanwhile"


class Puller:
    """Writes entries into the tree."""

    def __init__(
        self, place: Place, mirror: Mirror, tree: Tree, state: State, options: SyncOptions, report: SyncReport
    ) -> None:
        self._place = place
        self._mirror = mirror
        self._tree = tree
        self._state = state
        self._options = options
        self._report = report

    async def pull(self, items: Sequence[Item], progress: Progress) -> None:
        """Carry out the pulls; what cannot be pulled is reported and tried again next time. Raises ``StoreFull``."""
        done = 0
        for batch in batches(items, lambda item: item.down_bytes, _BATCH_BYTES, _BATCH_FILES):
            rows: list[tuple[Item, Row]] = []
            async for item, entry, body in self._contents(batch):
                try:
                    row = await self.write(item.key, entry, item.found, body)
                except Left as reason:
                    self._report.skip(item.key, str(reason))
                    continue
                rows.append((item, row))
                progress("pull", done + len(rows), len(items), self._report.bytes_down)
            self.record(rows)
            done += len(batch)

    def record(self, rows: Sequence[tuple[Item, Row]]) -> None:
        """Write down what is in place."""
        if not rows:
            return
        if self._options.durable:
            self._tree.settle([item.key for item, _ in rows])
        with self._state.transaction():
            for item, row in rows:
                self._state.synced(item.key, row)
        self._report.pulled += len(rows)

    async def _contents(self, batch: Sequence[Item]) -> AsyncIterator[tuple[Item, Entry, bytes | None]]:
        """The contents of a batch; ``None`` for large ones, which are streamed when they are written."""
        records = await self._mirror.records([item.key for item in batch])
        entries: list[tuple[Item, Entry]] = []
        for item in batch:
            record = records[item.key]
            if record is None or record.gone or record.flags & EPHEMERAL:
                self._report.skip(item.key, "it changed in the namespace meanwhile")
            else:
                entries.append((item, entry_of(record)))
        entries = self.announce(entries)
        small = [pair for pair in entries if pair[1].size <= PART_BYTES]
        bodies = await fetch_small(self._place, [entry for _, entry in small])
        for (item, entry), body in zip(small, bodies, strict=True):
            if isinstance(body, TryAgain):
                raise body
            if isinstance(body, SwampError):
                self._report.skip(item.key, str(body))
            else:
                yield item, entry, body
        for item, entry in entries:
            if entry.size > PART_BYTES:
                yield item, entry, None

    def announce(self, entries: Sequence[tuple[Item, Entry]]) -> list[tuple[Item, Entry]]:
        """Write down what is about to be placed; those that another sync of this tree has brought further are left."""
        wanted: list[tuple[Item, Entry]] = []
        with self._state.transaction():
            keys = [item.key for item, _ in entries]
            rows, known = self._state.synced_rows(keys), self._state.known(keys)
            for item, entry in entries:
                row, newest = rows.get(item.key), known.get(item.key)
                further = row is not None and (item.row is None or row.version > item.row.version)
                if further or (newest is not None and newest[1] and newest[0] > entry.version):
                    self._report.skip(item.key, _OVERTAKEN)
                else:
                    wanted.append((item, entry))
            self._state.set_coming(
                (item.key, Arrival(entry.version, entry.meta.sha256, modified))
                for item, entry in wanted
                if entry.meta.sha256 is not None and (modified := entry.meta.modified or entry.meta.created)
            )
        return wanted

    async def write(self, key: str, entry: Entry, replaces: Found | None, body: bytes | None = None) -> Row:
        """Write one entry to the file ``key``, which must be as it was looked at. Raises ``Left``, ``StoreFull``.

        A new file that turns out to be there with the same contents is taken as it is.
        """
        meta = entry.meta
        try:
            if body is None and meta.size > PART_BYTES and meta.sha256 is not None:
                partial = self._tree.partial(key, meta.mode, meta.sha256)
                if partial is not None:
                    with partial:
                        sha256 = await self._collect(partial, entry)
                        placed = self._place_as(partial, key, entry, replaces, sha256)
                        partial.done = True
                    return self.row(entry, placed, sha256)
            digest = hashlib.sha256()
            with self._tree.temporary(key, meta.mode) as temp:
                if body is not None:
                    digest.update(body)
                    temp.write(body)
                    self._report.bytes_down += len(body)
                else:
                    async for chunk in stream_content(self._place, entry):
                        digest.update(chunk)
                        temp.write(chunk)
                        self._report.bytes_down += len(chunk)
                placed = self._place_as(temp, key, entry, replaces, digest.digest())
        except OSError as error:
            raise Left(reason_of(error)) from error
        except (Damaged, NotFound) as error:
            raise Left(str(error)) from error
        return self.row(entry, placed, digest.digest())

    def _place_as(self, temp: Temporary, key: str, entry: Entry, replaces: Found | None, sha256: bytes) -> Found:
        placed = temp.finish(entry.meta.modified or entry.meta.created)
        if replaces is not None:
            with self._state.transaction():  # one sync of this tree at a time, from the last look to the new name
                row = self._state.synced_rows([key]).get(key)
                if row is not None and row.version > entry.version:
                    raise Left(_OVERTAKEN)
                temp.place(replaces)
            return placed
        try:
            temp.place(None)
        except FileExistsError:
            return self._same_already(key, sha256)
        return placed

    async def _collect(self, partial: Partial, entry: Entry) -> bytes:
        """Bring a large content into its partial file, behind what an earlier sync left of it; the hash."""
        begin = min(partial.held(), entry.size - 1) // PART_BYTES * PART_BYTES
        digest = hashlib.sha256()
        for offset in range(0, begin, PART_BYTES):
            digest.update(partial.read(offset, PART_BYTES))
        partial.keep(begin)
        try:
            async for chunk in stream_content(self._place, entry, start=begin, begun=digest):
                partial.write(chunk)
                self._report.bytes_down += len(chunk)
        except CorruptObject:
            partial.keep(0)
            if not begin:
                partial.done = True
                raise
            return await self._collect(partial, entry)  # what was left is rubbish, or the store's is: this tells
        return digest.digest()

    def row(self, entry: Entry, placed: Found, sha256: bytes) -> Row:
        """What the state says of an entry and the file that holds it."""
        return Row(
            version=entry.version,
            size=placed.size,
            mtime_ns=placed.mtime_ns,
            inode=placed.inode,
            sha256=sha256,
            at_ms=self._place.env.wall_ms(),
            expires=entry.expires,
            labels=labels_of(entry.meta),
        )

    def _same_already(self, key: str, sha256: bytes) -> Found:
        there = self._tree.look(key)
        if there is None or self._tree.sha256(key, there) != sha256:
            raise Left("another file is there (it has just come, or its name differs only in case)")
        return there
