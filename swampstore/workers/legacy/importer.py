"""Import of a legacy datastore into a namespace; the source is only read.

Contents stay where they are when the source lies in the target's own store (entries refer to the old objects), or are
copied. Every rel of the source ends in exactly one of: imported, unchanged, deleted here, dropped (with a reason),
dangling, damaged.

Invariants:
- What is appended are ordinary deltas: an import that is interrupted leaves a part of the entries, each of them right,
  and running it again takes only the difference.
- Nothing is deleted, and a key that was written or deleted in the namespace after the source's file is left alone.
- What was appended is looked for in the namespace, by count and size, before the import is called done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from swampstore.errors import Conflict, Damaged, Misuse
from swampstore.limits import BATCH_BYTES, SEGMENT_DELTAS
from swampstore.stores.base import Store
from swampstore.values.data import METADATA
from swampstore.values.deltas import Delta, Index
from swampstore.values.entry import Meta
from swampstore.workers.legacy.copying import Copier
from swampstore.workers.legacy.difference import difference
from swampstore.workers.legacy.entries import LegacyEntry
from swampstore.workers.legacy.index import Flavour, detect, load, moved
from swampstore.workers.legacy.index import Index as LegacyIndex
from swampstore.workers.legacy.listing import holds_a_namespace, listed, namespaces
from swampstore.workers.legacy.locating import Finder, Located
from swampstore.workers.legacy.locks import live_locks
from swampstore.workers.legacy.origin import origin_of
from swampstore.workers.legacy.reading import hashed
from swampstore.workers.legacy.report import ImportReport
from swampstore.workers.legacy.rules import Drop, Place, Rules
from swampstore.workers.legacy.versions import Versions, mark_versions
from swampstore.workers.target import Progress, Target, silent

_ROUGH_DELTA_BYTES = 400
_BATCH = min(SEGMENT_DELTAS, BATCH_BYTES // _ROUGH_DELTA_BYTES)


class ImportOptions(msgspec.Struct, frozen=True):
    """``index_only`` trusts the index and marks contents unverified; ``force`` imports in spite of live locks;
    ``partial`` accepts missing index partitions; ``sample`` is how many hashes the index knows are compared with the
    contents of an import in place (a copy compares all). ``metadata`` reads the ``metadata.yaml`` of every version also
    where that costs a request each: an import in place from a bucket otherwise takes type, model, name and number from
    the path alone. ``deleted_too`` takes also what was deleted here since."""

    copy: bool = False
    dry_run: bool = False
    index_only: bool = False
    force: bool = False
    partial: bool = False
    sample: int = 100
    compact: bool = True
    metadata: bool = False
    deleted_too: bool = False


async def import_legacy(
    target: Target, source: Store, place: Place, options: ImportOptions, progress: Progress = silent
) -> ImportReport:
    """Import ``place`` of ``source`` into ``target``.

    Raises ``Misuse`` (the options do not go together), ``Conflict`` (a live lock; the index was rewritten while it was
    read), ``MissingObject``, ``CorruptObject`` and ``UnknownFormat`` for an index that cannot be used, and what the
    stores raise.
    """
    return await _Import(target, source, place, options, progress).run()


class _Import:
    """One import, step by step."""

    def __init__(self, target: Target, source: Store, place: Place, options: ImportOptions, progress: Progress) -> None:
        self._target = target
        self._source = source
        self._place = place
        self._options = options
        self._progress = progress
        self._origin = origin_of(source, place, target)
        self._report = ImportReport(dry_run=options.dry_run, unverified=options.index_only)
        self._others: frozenset[str] = frozenset()
        self._rules = Rules(place)
        self._inner_locks: list[str] = []
        self._unusable: set[str] = set()
        near = not source.url.startswith("s3:")
        self._reads_metadata = options.copy or (not options.index_only and (near or options.metadata))
        self._versions = Versions(source, self._report, target.place.clock.now_ms())

    async def run(self) -> ImportReport:
        self._check_options()
        index = await detect(self._source, self._place)
        self._report.flavour = index.flavour.value
        self._others = await namespaces(self._source, self._place)
        own_root = self._origin.is_ours(f"{self._place.base}root")
        internals = not own_root and await holds_a_namespace(self._source, self._place)
        self._rules = Rules(self._place, self._others, internals=internals)
        await self._refuse_if_locked()
        changed = await self._changed(index)
        if self._options.dry_run:
            self._count(changed)
        else:
            await self._take(changed)
        self._report.source_moved = await self._moved(index)
        return self._report

    def _check_options(self) -> None:
        options = self._options
        if options.index_only and (options.copy or options.metadata):
            what = "--copy reads the contents" if options.copy else "--metadata reads the metadata"
            raise Misuse(f"{what} and --index-only does not", hint="choose one of them")
        if self._origin.elsewhere and not (options.copy or options.index_only):
            raise Misuse(
                f"the source lies in another store than the target ({self._origin.url})",
                hint="add --copy to bring the contents over, or --index-only to import the entries alone",
            )

    # --- finding ------------------------------------------------------------------------------------------------

    async def _changed(self, index: LegacyIndex) -> list[Located]:
        """What the source has and the namespace has not, in key order. Nothing has been written yet."""
        located = await self._located(index)
        await self._refuse_if_locked()
        mark_versions(located)
        self._progress("comparing with the namespace", 0, len(located))
        return await difference(
            self._target,
            self._origin,
            located,
            self._unusable,
            self._report,
            copy=self._options.copy,
            metadata=self._reads_metadata,
            revive=self._options.deleted_too,
        )

    async def _located(self, index: LegacyIndex) -> dict[str, Located]:
        self._progress("reading the index", 0, 0)
        if index.flavour is Flavour.NONE:
            return await self._located_by_listing()
        self._report.missing_partitions = list(index.missing)
        bad: dict[str, str] = {}
        found = await load(self._source, index, partial=self._options.partial, bad=bad.__setitem__)
        bad = {rel: why for rel, why in bad.items() if rel not in found}
        self._report.entries = len(found) + len(bad)
        self._drop(found)
        self._report_bad(bad)
        self._progress("reading the index", len(found), len(found))
        finder = Finder(self._origin, found, self._report)
        if self._options.index_only:
            finder.trust()
        else:
            await self._check_objects(finder, len(found))
            self._unusable |= found.keys() - finder.located.keys()
        return finder.located

    async def _located_by_listing(self) -> dict[str, Located]:
        """Without an index every object is an entry, and lies where it was listed."""
        base = self._place.base
        located: dict[str, Located] = {}
        async for page in self._pages():
            self._report.entries += len(page)
            found = {entry.rel: entry for entry in page}
            self._drop(found)
            for rel, entry in found.items():
                located[rel] = Located(rel, base + rel, entry.size, entry.last_modified_ms, None)
            self._progress("listing objects", self._report.entries, 0)
        if not located and Drop.INTERNALS in self._report.dropped:
            raise Misuse(
                f"{self._place.namespace or self._place.base!r} at {self._source.url} is a namespace of swampstore itself",
                hint="copy it with: swamp datastore migrate",
            )
        return located

    async def _check_objects(self, finder: Finder, total: int) -> None:
        known = 0
        async for page in self._pages():
            for entry in page:
                if finder.listed(entry.rel, entry.size):
                    known += 1
                else:
                    self._report.unindexed += self._rules.dropped(entry.rel) is None
            self._progress("checking objects", known, total)
        await finder.fall_back()

    async def _pages(self) -> AsyncIterator[list[LegacyEntry]]:
        """The objects of the place but for the target's own; notes the locks among them."""
        base, is_ours = self._place.base, self._origin.is_ours
        async for page in listed(self._source, self._place, self._others - {self._place.namespace}):
            own = [entry for entry in page if not is_ours(base + entry.rel)]
            self._inner_locks += [base + entry.rel for entry in own if _is_inner_lock(entry.rel)]
            yield own

    def _report_bad(self, bad: dict[str, str]) -> None:
        """Report entries of the index that cannot be read; the others go on."""
        for rel, why in bad.items():
            reason = self._rules.dropped(rel)
            if reason is not None:
                self._report.drop(rel, reason.value)
            else:
                self._report.damage(rel, f"its entry in the index: {why}")
                self._unusable.add(rel)

    def _drop(self, found: dict[str, LegacyEntry]) -> None:
        """Take out what is not data, by reason."""
        for rel in list(found):
            reason = self._rules.dropped(rel)
            if reason is not None:
                del found[rel]
                self._report.drop(rel, reason.value)

    async def _refuse_if_locked(self) -> None:
        """Refused before the long listing by the locks with a fixed place, after it by those that it found too."""
        if self._options.force:
            return
        live = await live_locks(self._source, self._place, found=self._inner_locks)
        if live:
            raise Conflict(
                f"the source is in use: {live[0].describe()}" + (f" (and {len(live) - 1} more)" if live[1:] else ""),
                hint="stop its writers, or import anyway with --force",
            )

    # --- taking -------------------------------------------------------------------------------------------------

    async def _take(self, changed: list[Located]) -> None:
        options = self._options
        if not (options.copy or options.index_only):
            changed = await self._hash(changed)
        taken = await self._append(changed)
        if options.compact:
            self._progress("compacting", 0, 0)
            await self._target.compact()
        if taken:
            await self._check_result(taken)
        root = (await self._target.snapshot()).root
        self._report.manifest_bytes = sum(run.size for run in (*root.shards, *root.level0))

    async def _hash(self, changed: Sequence[Located]) -> list[Located]:
        """Compute the hashes that the index does not know, and compare a sample of those that it does."""
        dice = self._target.place.env.random
        known = sum(item.sha256 is not None for item in changed)
        odds = self._options.sample / max(known, 1)
        asked = [item for item in changed if item.sha256 is None or dice() < odds]
        right = await hashed(
            self._source, asked, self._report, lambda done: self._progress("hashing objects", done, len(asked))
        )
        wrong = {item.key for item in asked} - right.keys()
        return [right.get(item.key, item) for item in changed if item.key not in wrong]

    async def _append(self, changed: list[Located]) -> dict[str, int]:
        """Append the entries; the sizes of what was taken, by key."""
        if self._options.copy:
            copier = Copier(self._target, self._source, self._report, self._versions)
            copied = await copier.copy(changed, self._progress)
            self._count(copied)
            return {item.key: item.size for item in copied}
        for start in range(0, len(changed), _BATCH):
            batch = changed[start : start + _BATCH]
            if self._reads_metadata:
                await self._versions.read(batch)
            await self._target.append([self._index(item) for item in batch])
            self._count(batch)
            self._progress("appending entries", start + len(batch), len(changed))
        return {item.key: item.size for item in changed}

    def _index(self, item: Located) -> Delta:
        facts = self._versions.of(item)
        meta = Meta(
            size=item.size,
            at=self._origin.location(item.name),
            sha256=item.sha256,
            created=item.modified,
            modified=item.modified,
            unverified=item.unverified,
        )
        if facts is not None and not item.key.endswith(f"/{METADATA}"):
            self._report.versions += 1
            meta = msgspec.structs.replace(
                meta,
                data=facts.data,
                content_type=facts.content_type,
                tags=facts.tags,
                lifetime=facts.lifetime,
                created=facts.created or item.modified,
            )
        return Index(key=item.key, meta=meta, expires=facts.expires if facts is not None else 0)

    def _count(self, items: Sequence[Located]) -> None:
        self._report.imported += len(items)
        self._report.bytes += sum(item.size for item in items)

    # --- checking -----------------------------------------------------------------------------------------------

    async def _check_result(self, taken: dict[str, int]) -> None:
        """Look for everything that was taken in the namespace as it is now."""
        report = self._report
        self._progress("checking the result", 0, len(taken))
        async for chunk in (await self._target.snapshot()).scan():
            for entry in chunk:
                size = taken.get(entry.key)
                if size == entry.size:
                    report.checked += 1
                    report.checked_bytes += taken.pop(entry.key)
        for key in taken:
            report.stray(key)

    async def _moved(self, index: LegacyIndex) -> list[str]:
        try:
            return await moved(self._source, index)
        except Damaged as error:  # it was whole when it was read
            return [error.name]


def _is_inner_lock(rel: str) -> bool:
    return rel.startswith("data/") and rel.endswith("/.lock")
