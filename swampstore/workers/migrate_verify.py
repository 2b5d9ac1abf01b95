"""The end of a migration: the destination is read again and compared with the snapshot that was copied.

Invariant: every live record of the snapshot is looked for, by version, size and recorded hash; contents are read and
hashed for a random sample, or for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence

from swampstore.errors import Damaged, NotFound, SwampError
from swampstore.limits import MIB, PART_BYTES
from swampstore.protocols.contents import read_many, stream_content
from swampstore.protocols.snapshot import Snapshot
from swampstore.protocols.update import LOCK_MARK
from swampstore.values.entry import AUDIT, EPHEMERAL, OPAQUE, PENDING, Entry, External, Record, entry_of, meta_of
from swampstore.values.version import put_of
from swampstore.workers.ground import Ground, paired
from swampstore.workers.migrate_report import MigrateOptions, MigrateReport
from swampstore.workers.target import Progress

_GROUP = 256
_GROUP_BYTES = 32 * MIB


class Verifier:
    """Compares ``target`` with the snapshot that was copied; ``damaged`` are keys that are known to be missing."""

    def __init__(
        self,
        target: Ground,
        options: MigrateOptions,
        report: MigrateReport,
        damaged: Container[str],
        progress: Progress,
    ) -> None:
        self._target = target
        self._options = options
        self._report = report
        self._damaged = damaged
        self._progress = progress
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0

    async def run(self, snapshot: Snapshot, keep: Callable[[], Awaitable[None]]) -> None:
        """Look for everything that lives in ``snapshot``; ``keep`` keeps it alive."""
        there = await self._target.reader.open()
        total = snapshot.root.entries
        odds = 1.0 if self._options.verify == "full" else self._options.sample / max(total, 1)
        dice = self._target.place.env.random
        async for chunk in paired(snapshot.records(internal=True), there.records(internal=True)):
            await keep()
            for key, mine, its in chunk:
                if mine is None or not self._is_expected(mine):
                    continue
                problem = _problem(mine, its)
                if problem:
                    self._report.stray(key, problem)
                    continue
                self._report.checked += 1
                if its is not None and not (its.gone or its.flags & OPAQUE) and (odds >= 1 or dice() < odds):
                    await self._read(entry_of(its))
            self._progress("checking the result", self._report.checked, total)
        await self._flush()

    def _is_expected(self, mine: Record) -> bool:
        """Whether the target must hold ``mine``, or something newer."""
        if mine.gone or mine.flags & (PENDING | EPHEMERAL | AUDIT) or mine.key.startswith(LOCK_MARK):
            return False
        if mine.expires and mine.expires <= self._target.place.clock.now_ms():
            return False
        return mine.key not in self._damaged

    async def _read(self, entry: Entry) -> None:
        if isinstance(entry.meta.at, External) and entry.meta.at.store:
            return
        self._report.hashed += 1
        if entry.size > PART_BYTES:
            try:
                async for _ in stream_content(self._target.place, entry):
                    pass
            except (Damaged, NotFound) as error:
                self._report.stray(entry.key, str(error))
            return
        if len(self._waiting) == _GROUP or self._waiting_bytes + entry.size > _GROUP_BYTES:
            await self._flush()
        self._waiting.append(entry)
        self._waiting_bytes += entry.size

    async def _flush(self) -> None:
        entries: Sequence[Entry] = self._waiting
        self._waiting, self._waiting_bytes = [], 0
        for entry, body in zip(entries, await read_many(self._target.place, entries), strict=True):
            if isinstance(body, Damaged | NotFound):
                self._report.stray(entry.key, str(body))
            elif isinstance(body, SwampError):
                raise body


def _problem(mine: Record, its: Record | None) -> str:
    """Why the target does not hold ``mine`` or something newer; empty if it does."""
    if its is None:
        return "it is not there"
    if mine.flags & OPAQUE:
        return "" if its.version >= mine.version else "an older version is there"
    if put_of(its.version) != put_of(mine.version):
        return "" if its.version > mine.version else "an older version is there"
    if its.gone:
        return ""  # removed at the destination
    wanted, found = meta_of(mine), meta_of(its)
    if found.size != wanted.size or (wanted.sha256 is not None and found.sha256 != wanted.sha256):
        return "its size or hash is another"
    return ""
