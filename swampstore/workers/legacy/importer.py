"""Import of a legacy datastore into a namespace; the source is only read.

Contents stay where they are when the source lies in the target's own store (entries refer to the old objects), or are
copied. Every rel of the source ends in exactly one of: imported, unchanged, dropped (with a reason), dangling, damaged.

Invariants:
- What is appended are ordinary deltas: an import that is interrupted leaves a part of the entries, each of them right,
  and running it again takes only the difference.
- Nothing is deleted: an entry that has vanished from the source is counted, not removed.
- A count, a byte total and sampled hashes of the result are checked against the source before it is called done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import msgspec

from swampstore.errors import Conflict, Misuse, SwampError
from swampstore.limits import BATCH_BYTES, SEGMENT_DELTAS
from swampstore.stores.base import Store
from swampstore.values.deltas import Delta, Index
from swampstore.values.entry import Entry, External, Meta
from swampstore.workers.legacy.copying import Copier
from swampstore.workers.legacy.entries import LegacyEntry, newer
from swampstore.workers.legacy.index import Flavour, detect, load, moved
from swampstore.workers.legacy.listing import listed, namespaces
from swampstore.workers.legacy.locating import Located, locate
from swampstore.workers.legacy.locks import live_locks
from swampstore.workers.legacy.rules import Place, Rules
from swampstore.workers.target import Progress, Target, silent

_ROUGH_DELTA_BYTES = 400
_BATCH = min(SEGMENT_DELTAS, BATCH_BYTES // _ROUGH_DELTA_BYTES)
_EXAMPLES = 100


class ImportOptions(msgspec.Struct, frozen=True):
    """``index_only`` trusts the index and marks contents unverified; ``force`` imports in spite of live locks;
    ``partial`` accepts missing index partitions; ``sample`` is how many hashes are checked at the end."""

    copy: bool = False
    dry_run: bool = False
    index_only: bool = False
    force: bool = False
    partial: bool = False
    sample: int = 100
    compact: bool = True


class ImportReport(msgspec.Struct):
    """Counts of rels; ``bytes`` is the size of all contents imported or unchanged. Lists hold at most 100 examples."""

    flavour: str = ""
    entries: int = 0
    imported: int = 0
    unchanged: int = 0
    bytes: int = 0
    copied_bytes: int = 0
    dropped: dict[str, int] = {}
    dropped_examples: list[str] = []
    dangling: int = 0
    dangling_examples: list[str] = []
    damaged: int = 0
    damaged_examples: list[str] = []
    unindexed: int = 0
    vanished: int = 0
    hashed: int = 0
    hashes_checked: int = 0
    unverified: bool = False
    source_moved: list[str] = []
    dry_run: bool = False
    manifest_bytes: int = 0


async def import_legacy(
    target: Target, source: Store, place: Place, options: ImportOptions, progress: Progress = silent
) -> ImportReport:
    """Import ``place`` of ``source`` into ``target``.

    Raises ``Conflict`` (a live lock; the source changed while it was read), ``MissingObject``, ``CorruptObject`` and
    ``UnknownFormat`` for an index that cannot be used, and what the stores raise.
    """
    outside = _store_of(source, target)
    if outside[1] and not options.copy and not options.index_only:
        raise Misuse(
            f"the source lies in another store than the target ({outside[1]})",
            hint="add --copy to bring the contents over, or --index-only to import the entries alone",
        )
    report = ImportReport(dry_run=options.dry_run, unverified=options.index_only)
    index = await detect(source, place)
    report.flavour = index.flavour.value
    others = await namespaces(source, place)
    if not options.force:
        await _refuse_if_locked(source, place, index_only=options.index_only)
    progress("reading the index", 0, 0)
    if index.flavour is Flavour.NONE:
        found: dict[str, LegacyEntry] = {}
        async for batch in listed(source, place, others - {place.namespace}):
            _gather(found, batch)
    else:
        found = await load(source, index, partial=options.partial)
    report.entries = len(found)
    _drop(found, Rules(place, others), report)
    keys = sorted(found)
    progress("reading the index", len(keys), len(keys))

    if options.index_only:
        located: Iterable[Located] = _trusted(found, keys, place)
    else:
        located = await locate(source, place, others, found, keys, options.copy, report, progress)
    changed = await _changed(target, located, outside, report, copy=options.copy)
    found.clear()
    if not options.dry_run:
        await _append(target, source, changed, outside, options, report, progress)
        if options.compact:
            progress("compacting", 0, 0)
            await target.compact()
        if not options.index_only:
            await _sample(target, options, report)
        status = await target.snapshot()
        report.manifest_bytes = sum(run.size for run in (*status.root.shards, *status.root.level0))
    else:
        report.imported = len(changed)
    report.source_moved = await moved(source, index)
    return report


def _gather(found: dict[str, LegacyEntry], batch: Sequence[LegacyEntry]) -> None:
    for entry in batch:
        held = found.get(entry.rel)
        found[entry.rel] = entry if held is None else newer(held, entry)


async def _refuse_if_locked(source: Store, place: Place, *, index_only: bool) -> None:
    # The locks inside data/ take a listing of everything to find; an index-only import reads nothing they guard.
    live = await live_locks(source, place, found=() if index_only else None)
    if live:
        raise Conflict(
            f"the source is in use: {live[0].describe()}" + (f" (and {len(live) - 1} more)" if live[1:] else ""),
            hint="stop its writers, or import anyway with --force",
        )


def _drop(found: dict[str, LegacyEntry], rules: Rules, report: ImportReport) -> None:
    """Take out what is not data, by reason."""
    for rel in list(found):
        reason = rules.dropped(rel)
        if reason is not None:
            del found[rel]
            report.dropped[reason.value] = report.dropped.get(reason.value, 0) + 1
            if len(report.dropped_examples) < _EXAMPLES:
                report.dropped_examples.append(rel)


def _trusted(found: dict[str, LegacyEntry], keys: Sequence[str], place: Place) -> Iterator[Located]:
    for key in keys:
        entry = found[key]
        yield Located(key, place.base + key, entry.size, entry.last_modified_ms, entry.sha256, unverified=True)


def _store_of(source: Store, target: Target) -> tuple[str, str]:
    """``(prefix, other store's URL)`` to refer to an object of ``source`` by from the target's store.

    The URL is empty when the source lies in the target's store; then the prefix leads from the target's names to it.
    """
    ours, theirs = target.place.store.url.rstrip("/"), source.url.rstrip("/")
    our_path, _, our_query = ours.partition("?")
    their_path, _, their_query = theirs.partition("?")
    our_path, their_path = our_path.rstrip("/"), their_path.rstrip("/")
    if our_query == their_query and their_path == our_path:
        return "", ""
    if our_query == their_query and their_path.startswith(our_path + "/"):
        return their_path[len(our_path) + 1 :] + "/", ""
    return "", theirs


async def _changed(
    target: Target, located: Iterable[Located], outside: tuple[str, str], report: ImportReport, *, copy: bool
) -> list[Located]:
    """Those of ``located`` (in key order) that the namespace does not hold yet; counts the rest.

    Both sides are walked in key order, so memory holds only what is new.
    """
    changed: list[Located] = []
    pending = iter(located)
    now = next(pending, None)
    async for chunk in (await target.snapshot()).scan():
        for entry in chunk:
            while now is not None and now.key < entry.key:
                changed.append(now)
                now = next(pending, None)
            if now is not None and now.key == entry.key:
                if _holds(entry, now, outside, copy=copy):
                    report.unchanged += 1
                    report.bytes += now.size
                else:
                    changed.append(now)
                now = next(pending, None)
            else:
                report.vanished += 1
    while now is not None:
        changed.append(now)
        now = next(pending, None)
    return changed


def _holds(entry: Entry, located: Located, outside: tuple[str, str], *, copy: bool) -> bool:
    """Whether the namespace's entry already is what an import of ``located`` would make of it."""
    meta = entry.meta
    if meta.size != located.size or (located.sha256 is not None and meta.sha256 != located.sha256):
        return False
    if copy:
        return not isinstance(meta.at, External)
    elsewhere = isinstance(meta.at, External) and meta.at != External(outside[0] + located.name, outside[1])
    return not elsewhere and (meta.modified == located.modified) and not (meta.unverified and not located.unverified)


async def _append(
    target: Target,
    source: Store,
    changed: list[Located],
    outside: tuple[str, str],
    options: ImportOptions,
    report: ImportReport,
    progress: Progress,
) -> None:
    total = len(changed)
    copier = Copier(target, source, report)
    prefix, url = outside
    done = 0
    changed.reverse()
    while changed:
        batch = [changed.pop() for _ in range(min(_BATCH, len(changed)))]
        if options.copy:
            await copier.copy(batch, partial(_copied, progress, done, total))
        else:
            deltas: list[Delta] = [
                Index(
                    key=item.key,
                    meta=Meta(
                        size=item.size,
                        at=External(prefix + item.name, url),
                        sha256=item.sha256,
                        created=item.modified,
                        modified=item.modified,
                        unverified=item.unverified,
                    ),
                )
                for item in batch
            ]
            await target.append(deltas)
            report.imported += len(batch)
            report.bytes += sum(item.size for item in batch)
        done += len(batch)
        progress("appending entries", done, total)


def _copied(progress: Progress, base: int, total: int, count: int) -> None:
    progress("copying contents", base + count, total)


async def _sample(target: Target, options: ImportOptions, report: ImportReport) -> None:
    """Read back the contents of a random sample; their hashes are checked by the read itself."""
    snapshot = await target.snapshot()
    odds = options.sample / max(report.imported + report.unchanged, 1)
    dice = target.place.env.random
    async for chunk in snapshot.scan():
        picked = [entry for entry in chunk if dice() < odds]
        for entry, body in zip(picked, await target.read_entries(picked), strict=True):
            report.hashes_checked += 1
            if isinstance(body, SwampError):
                report.damaged += 1
                report.damaged_examples.append(f"{entry.key}: {body}")
