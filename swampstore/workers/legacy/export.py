"""Export of a namespace to the legacy layout: the way back.

One pinned snapshot is read in key order beside a listing of the target, contents are copied side by side, and the index
is written when every file is in place.

Invariants:
- Every file is checked by its hash: what is copied as it is read, what is kept by reading it in the target.
- The index lists just what is there, and is written last; killed before that, the next run goes on.
- Memory is bounded: a group of small contents, or one piece of a large one.
- The namespace is only read (its log is folded first, so that data versions have their numbers).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import msgspec

from swampstore.errors import Damaged, NotFound, StoreForbidden, SwampError
from swampstore.limits import MIB, PART_BYTES
from swampstore.protocols.contents import stream_content
from swampstore.protocols.pins import PinnedSnapshot, pin_snapshot
from swampstore.protocols.snapshot import Snapshot
from swampstore.stores.base import Source
from swampstore.values.batches import batches
from swampstore.values.entry import Entry, entry_of
from swampstore.values.join import conflict_of
from swampstore.values.keys import check_prefix
from swampstore.workers.ground import Ground, fold_log
from swampstore.workers.legacy.export_index import IndexDraft
from swampstore.workers.legacy.export_mark import (
    MARK,
    Mark,
    check_target,
    encode_mark,
    is_own,
    namespace_mark,
    new_mark,
)
from swampstore.workers.legacy.export_plan import Plan, Planned, planned
from swampstore.workers.legacy.export_report import ExportOptions, ExportReport
from swampstore.workers.legacy.export_sink import File, Sink, There, spooled
from swampstore.workers.legacy.export_target import holds_a_namespace, is_internal
from swampstore.workers.legacy.rules import INDEX_FOLDER, INDEX_NAME, META_NAME, NAMESPACE_MARK, Place, Rules
from swampstore.workers.spool import Spool
from swampstore.workers.sync.copies import copy_name
from swampstore.workers.sync.fetch import fetch_small
from swampstore.workers.target import Progress, silent

_GROUP = 256
_GROUP_BYTES = 32 * MIB
_COPY_NAMES = 20


async def export_legacy(
    ground: Ground, sink: Sink, options: ExportOptions, *, named: str = "", progress: Progress = silent
) -> ExportReport:
    """Export the namespace of ``ground`` to ``sink``; ``named`` is the legacy namespace that it becomes there, if any.

    Raises ``Conflict`` for a target that is not empty and no earlier export of this (a store not by force either), ``Misuse`` and ``BadKey`` for
    options, ``StoreFull`` when there is no space (run it again), and what the stores raise.
    """
    options.check()
    check_prefix(options.prefix)
    return await _Export(ground, sink, options, named, progress).run()


class _Export:
    """One export, step by step."""

    def __init__(self, ground: Ground, sink: Sink, options: ExportOptions, named: str, progress: Progress) -> None:
        self._ground = ground
        self._sink = sink
        self._options = options
        self._named = named
        self._progress = progress
        self._report = ExportReport(target=sink.url, index=options.index)
        self._mark = new_mark(ground.place.store.url, ground.name, options)
        self._rules = Rules(Place("", named))
        self._pinned: PinnedSnapshot | None = None
        self._among = False

    async def run(self) -> ExportReport:
        options = self._options
        earlier, mixed = await check_target(self._sink, self._mark, force=options.force, delete=options.delete)
        self._mark = msgspec.structs.replace(self._mark, mixed=mixed)
        self._among = await holds_a_namespace(self._sink)  # made there since the first export
        self._rules = Rules(Place("", self._named), internals=self._among)
        self._report.resumed = earlier is not None
        async with AsyncExitStack() as stack:
            snapshot = await self._open(stack)
            self._report.root_version = snapshot.root.version
            spool = stack.enter_context(Spool())
            await self._write_mark(self._mark)
            draft = IndexDraft(spool, partitioned=self._options.index == "v2")
            left_over = await self._files(snapshot, draft)
            await self._conflicts(snapshot, draft, left_over)
            await self._clean(left_over)
            await self._finish(draft)
        return self._report

    async def _open(self, stack: AsyncExitStack) -> Snapshot:
        """The snapshot to export: folded and pinned, where the store may be written to."""
        ground = self._ground
        try:
            await fold_log(ground)
            self._pinned = await stack.enter_async_context(pin_snapshot(ground.place, ground.register, ground.reader))
        except StoreForbidden:
            return await ground.reader.open()
        return self._pinned.snapshot

    async def _keep(self) -> None:
        if self._pinned is not None:
            await self._pinned.keep()

    # --- the files ----------------------------------------------------------------------------------------------

    async def _files(self, snapshot: Snapshot, draft: IndexDraft) -> dict[str, int]:
        """Bring the entries over; what lies in the target beside them."""
        cursor = _Cursor(self._sink.listing())
        about = snapshot.root.entries
        async for chunk in Plan(snapshot, self._rules, self._options.prefix, self._report).chunks():
            for group in batches(chunk, lambda file: file.size, _GROUP_BYTES, _GROUP):
                await self._keep()
                await self._take(group, await cursor.held(group), draft)
                self._progress("exporting", draft.entries, about)
        await cursor.finish()
        return cursor.others

    async def _take(self, group: Sequence[Planned], held: dict[str, int], draft: IndexDraft) -> None:
        """Bring one group over, in its order: what is there and right stays."""
        there = [There(file.rel, file.size) for file in group if held.get(file.rel) == file.size and file.sha256]
        digests = dict(zip((item.rel for item in there), await self._sink.digest(there), strict=True))
        wanted = [file for file in group if file.sha256 is None or digests.get(file.rel) != file.sha256]
        written = await self._write(wanted)
        for file in group:
            kept = file.sha256 is not None and digests.get(file.rel) == file.sha256
            sha256 = file.sha256 if kept else written.get(file.rel)
            if sha256 is None:
                continue
            self._report.kept += kept
            self._report.written += not kept
            self._report.bytes += file.size
            draft.add(file.rel, file.size, file.modified, sha256)

    async def _write(self, files: Sequence[Planned]) -> dict[str, bytes]:
        """Write files; the hashes of those that are in place."""
        small = [file for file in files if file.size <= PART_BYTES]
        entries = [file.entry for file in small if file.entry is not None]
        bodies = iter(await fetch_small(self._ground.place, entries))
        ready: list[File] = []
        for file in small:
            body = next(bodies) if file.entry is not None else file.body
            if isinstance(body, Damaged | NotFound):
                self._report.damage(file.rel, str(body))
            elif isinstance(body, SwampError):
                raise body
            else:
                ready.append(File(file.rel, body, file.modified))
        done: dict[str, bytes] = {}
        for one, reason in zip(ready, await self._sink.write(ready), strict=True):
            if reason:
                self._report.block(one.rel, reason)
            else:
                done[one.rel] = hashlib.sha256(one.body).digest()
        for file in files:
            if file.size > PART_BYTES and (digest := await self._write_large(file)) is not None:
                done[file.rel] = digest
        return done

    async def _write_large(self, file: Planned) -> bytes | None:
        assert file.entry is not None
        with Spool() as spool:
            try:
                digest = await spooled(self._kept_alive(file.entry), spool)
            except (Damaged, NotFound) as error:
                self._report.damage(file.rel, str(error))
                return None
            reason = await self._sink.write_source(file.rel, spool, file.modified)
        if reason:
            self._report.block(file.rel, reason)
            return None
        return digest

    async def _kept_alive(self, entry: Entry) -> AsyncIterator[bytes]:
        async for chunk in stream_content(self._ground.place, entry):
            await self._keep()
            yield chunk

    async def _conflicts(self, snapshot: Snapshot, draft: IndexDraft, left_over: dict[str, int]) -> None:
        """Write kept losers beside their paths, under the names that a sync gives them; they are not left over."""
        async for records in snapshot.conflicts(self._options.prefix):
            for record in records:
                path, entry = conflict_of(record.key), entry_of(record)
                if path is None or self._rules.dropped(path) is not None:
                    continue
                rel = await self._copy_name(snapshot, path, entry)
                if rel:
                    self._report.conflicts += 1
                    size = left_over.pop(rel, -1)
                    await self._take([planned(entry, rel)], {rel: size}, draft)

    async def _copy_name(self, snapshot: Snapshot, path: str, entry: Entry) -> str:
        """A free name beside ``path``; empty when the same contents lie there already."""
        sha256 = entry.meta.sha256 or hashlib.sha256(entry.version).digest()
        for number in range(1, _COPY_NAMES):
            name = copy_name(path, sha256, number)
            there = await snapshot.get(name)
            if there is None:
                return name
            if there.meta.sha256 == entry.meta.sha256 is not None:
                return ""
        self._report.block(path, "all names for a copy beside it are taken")
        return ""

    # --- the end ------------------------------------------------------------------------------------------------

    async def _clean(self, left_over: dict[str, int]) -> None:
        """What an earlier run left and the namespace has no more."""
        if self._among:
            left_over = {rel: size for rel, size in left_over.items() if not is_internal(rel)}
        if self._options.delete and self._report.resumed:
            await self._sink.remove(list(left_over))
            self._report.deleted = len(left_over)
            return
        for rel in left_over:
            self._report.leave(rel)

    async def _finish(self, draft: IndexDraft) -> None:
        """Write the index and then the mark that says so."""
        self._progress("writing the index", 0, 0)
        now = self._ground.place.clock.now_ms()
        if self._named and await self._sink.read(NAMESPACE_MARK) is None:
            url = self._ground.place.store.url
            await self._must([File(NAMESPACE_MARK, namespace_mark(url, self._ground.name, now))])
        await self._sink.settle()
        if self._options.index == "v2":
            digest, size = await self._write_v2(draft)
        else:
            digest, size = await self._write_v1(draft, now)
        await self._sink.settle()
        await self._write_mark(
            msgspec.structs.replace(self._mark, state="complete", index_sha256=digest, index_size=size)
        )
        self._report.entries = draft.entries

    async def _write_v1(self, draft: IndexDraft, now_ms: int) -> tuple[str, int]:
        """The monolith. Partitions of an earlier export would be believed instead of it: they go first."""
        await self._sink.remove(await self._partitions())
        index = draft.whole(now_ms)
        await self._must_source(INDEX_NAME, index)
        return _digest(index), index.size

    async def _write_v2(self, draft: IndexDraft) -> tuple[str, int]:
        """Partitions, then the meta object. A partition of an earlier export would be read too: those go first."""
        parts = draft.partitions()
        before = await self._partitions()
        await self._sink.remove([name for name in before if name not in parts and name != META_NAME])
        for name, part in parts.items():
            await self._must_source(name, part)
        meta = draft.meta(await self._sequence())
        await self._must([File(META_NAME, meta)])
        await self._sink.remove([INDEX_NAME])
        return hashlib.sha256(meta).hexdigest(), len(meta)

    async def _partitions(self) -> list[str]:
        found: list[str] = []
        async for group in self._sink.listing():
            found += [item.rel for item in group if item.rel.startswith(INDEX_FOLDER)]
        return found

    async def _sequence(self) -> int:
        """The ``commitSeq`` of the meta object: one above that of an earlier export."""
        body = await self._sink.read(META_NAME)
        try:
            return int(msgspec.json.decode(body or b"{}").get("commitSeq", 0)) + 1
        except (msgspec.DecodeError, AttributeError, TypeError, ValueError, OverflowError, RecursionError):
            return 1

    async def _write_mark(self, mark: Mark) -> None:
        await self._must([File(MARK, encode_mark(mark))])

    async def _must(self, files: Sequence[File]) -> None:
        """Write files without which there is no export."""
        for file, reason in zip(files, await self._sink.write(files), strict=True):
            if reason:
                raise StoreForbidden(f"{file.rel} cannot be written in {self._sink.url}: {reason}")

    async def _must_source(self, rel: str, source: Source) -> None:
        reason = await self._sink.write_source(rel, source)
        if reason:
            raise StoreForbidden(f"{rel} cannot be written in {self._sink.url}: {reason}")


class _Cursor:
    """The listing of the target, walked along with the plan. ``others`` are names (and sizes) that the plan has not."""

    def __init__(self, listing: AsyncIterator[list[There]]) -> None:
        self._listing = listing
        self._group: list[There] = []
        self._at = 0
        self._ended = False
        self.others: dict[str, int] = {}

    async def held(self, files: Sequence[Planned]) -> dict[str, int]:
        """The sizes of those of ``files`` (rising, behind all asked before) that are there."""
        wanted = {file.rel for file in files}
        last = files[-1].rel
        found: dict[str, int] = {}
        async for item in self._until(last):
            if item.rel in wanted:
                found[item.rel] = item.size
            elif not is_own(item.rel):
                self.others[item.rel] = item.size
        return found

    async def finish(self) -> None:
        """Walk to the end."""
        async for item in self._until(None):
            if not is_own(item.rel):
                self.others[item.rel] = item.size

    async def _until(self, last: str | None) -> AsyncIterator[There]:
        while True:
            while self._at < len(self._group):
                item = self._group[self._at]
                if last is not None and item.rel > last:
                    return
                self._at += 1
                yield item
            if self._ended:
                return
            try:
                self._group, self._at = await anext(self._listing), 0
            except StopAsyncIteration:
                self._group, self._at, self._ended = [], 0, True


def _digest(source: Source) -> str:
    digest = hashlib.sha256()
    for chunk in source.chunks(MIB):
        digest.update(chunk)
    return digest.hexdigest()
