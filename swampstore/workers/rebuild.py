"""A lost or damaged root made anew from what is left: runs, the log, and the newest saved snapshot.

The new root names every readable run of ``l0/`` and ``shard/`` as level 0, so that the next merge joins them all; the
highest version of a key wins, so neither stale runs nor duplicates can take a live entry away. Watermarks come from the
log alone: slots are created densely and deleted only when a published root covered them, so whatever is missing below a
listed slot was folded. What is proved and what is not stands in ``docs/decisions/0012-rebuild-of-a-lost-root.md``.

Invariants:
- Nothing of the store is changed but the root, by create (or by replacing the very damaged one): a root that somebody
  restored meanwhile wins.
- A slot that may have been used is never used again: every shared lane goes on far above any slot there was. What it
  still shows is appended again in a writer's lane, with the same versions, before the root is published.
- A listed segment is applied again or stays listed; a broken one below its lane's watermark is quarantined.
- Not silent: what may be lost, and which puts may come back, is part of the plan, and refused unless accepted.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from swampstore.env.clock import Span
from swampstore.errors import Conflict, Misuse, NotFound
from swampstore.limits import (
    INLINE_LEVEL0_BYTES,
    KIB,
    LANE_TAIL_AGE_S,
    SEGMENTS_PER_FETCH,
    SHARED_LANES,
    STORE_TIME_GRAIN_MS,
)
from swampstore.protocols.log import Listing, fetch, listed_slots, segments_in
from swampstore.protocols.place import Place
from swampstore.protocols.register import NONCE_BYTES, Register, Seen
from swampstore.protocols.runs import find_in_runs
from swampstore.protocols.slots import Broken, FileSlot, SegmentGone
from swampstore.protocols.writer import Writer
from swampstore.stores.base import Create, Info, Replace
from swampstore.values.entry import content_of
from swampstore.values.lane_file import HEADER_BYTES
from swampstore.values.names import UniqueKind, lane_writer, shared_lane
from swampstore.values.root import (
    NO_GARBAGE,
    NO_ROOT,
    Audit,
    Ephemeral,
    Fresh,
    Quarantined,
    Root,
    RunRef,
    encode_root,
    root_problem,
)
from swampstore.values.segment import Segment
from swampstore.values.version import split_version
from swampstore.workers.doctor.lanes import REBUILT_VERSION
from swampstore.workers.doctor.roots import read_saved
from swampstore.workers.doctor.sight import Sight, list_log, look, pages, read_root
from swampstore.workers.salvage import Salvaged, Unreadable, doubts, salvage
from swampstore.workers.target import Progress, silent

SETTLE_S = LANE_TAIL_AGE_S + 70.0
"""A commit that is believed by its speed alone was sent within 20 s of a list that began while there was a root, and
retried for a minute; so were the deletes of a sweep."""
DOUBTS_NAMED = 1000


class RebuildPlan(msgspec.Struct):
    """What a rebuild would publish and what it cannot bring back.

    ``etag`` is that of the damaged root (empty: there is none). ``doubtful`` are keys whose put may have been deleted,
    at most 1,000 of ``doubts``. ``losses`` are sentences.
    """

    root: Root
    etag: str
    base: str
    runs: int
    records: int
    segments: int
    unreadable: tuple[str, ...]
    doubts: int
    doubtful: tuple[str, ...]
    losses: tuple[str, ...]


async def plan_rebuild(
    place: Place, register: Register, *, settle: bool = False, progress: Progress = silent
) -> RebuildPlan:
    """What a rebuild would do now; nothing is written. ``settle`` waits until no commit from before can be in flight.

    Raises ``Misuse`` when the root is readable or was never there, ``UnknownFormat`` for one of a newer program.
    """
    sight = await look(place, register)
    _check_lost(sight)
    if settle:
        progress("wait for commits in flight", 0, 0)
        await _settle(place, sight.seen)
    base_name, base, base_ms = await _base(sight)
    progress("list the log", 0, 0)
    listing = await list_log(place)
    broken, segments = await _read_log(place, listing)
    marks = watermarks_of(listing, await list_log(place)) | _of_files(listing, base)
    progress("read the runs", 0, 0)
    taken, unreadable = await _salvage_all(place, progress)
    manifest = [run for run in taken if run.ref.name.startswith(("l0/", "shard/"))]
    marks |= dict.fromkeys(map(shared_lane, range(SHARED_LANES)), jump_to(sight.seen.time))
    quarantine = {item.name: item for item in base.quarantine}
    for item in broken:
        if not isinstance(item.slot, FileSlot) and item.slot[1] <= marks.get(item.slot[0], 0):
            quarantine[item.name] = Quarantined(item.name, item.reason[:500], sight.seen.time)
    version = max(base.version, sight.seen.time, REBUILT_VERSION)
    root = msgspec.structs.replace(
        base,
        version=version + 1,
        nonce=place.env.random_bytes(NONCE_BYTES),
        nonces=(),
        leader=None,
        epoch=version + 1,
        hlc=max([base.hlc, *(run.hlc for run in taken), *(split_version(one.version)[0] for one in base.inline)]),
        watermarks=marks,
        closed=(),
        settling=None,
        shared={},
        level0=tuple(run.ref for run in manifest),
        shards=(),
        packs=_packs(manifest, base),
        garbage_raw=NO_GARBAGE,
        quarantine=tuple(quarantine.values()),
        eph=Ephemeral(
            inline=base.eph.inline, runs=newest_apart([run for run in taken if run.ref.name.startswith("eph/")])
        ),
        audit=_audit(base, taken, version + 1),
    )
    problem = root_problem(root)
    if problem:
        raise AssertionError(f"refused to rebuild {place.names.root}: {problem}")
    progress("look for deleted entries", 0, 0)
    count, keys = await _doubtful(place, manifest, base, base_ms)
    return RebuildPlan(
        root=root,
        etag=sight.seen.etag,
        base=base_name,
        runs=len(taken),
        records=sum(run.ref.count for run in manifest),
        segments=segments,
        unreadable=tuple(f"{one.name}: {one.reason}" for one in unreadable),
        doubts=count,
        doubtful=keys,
        losses=_losses(base_name, unreadable, count),
    )


async def publish_rebuilt(place: Place, plan: RebuildPlan) -> None:
    """Publish the planned root. Raises ``Conflict`` when there is another root by now: then nothing was changed."""
    await _append_again(place)
    when = Replace(plan.etag) if plan.etag else Create()
    try:
        await place.store.put(place.names.root, encode_root(plan.root), when)
    except (Conflict, NotFound) as error:
        raise Conflict(
            f"{place.names.root} has changed meanwhile; nothing was done", hint="examine it again"
        ) from error


async def _append_again(place: Place) -> None:
    """What the shared lanes show, in a lane of its own. Done right before the publish, and harmless without one."""
    listing = await list_log(place)
    shown = [(lane, slot) for lane, slots in listing.lanes.items() if lane_writer(lane) is None for slot in slots]
    writer = Writer(place)
    for number, slot in enumerate(shown, 1):
        for found in await fetch(place, [slot]):
            if isinstance(found, Segment) and found.records:
                await writer.append(found.records, closing=number == len(shown))


# --- watermarks --------------------------------------------------------------------------------------------------------


def watermarks_of(first: Listing, second: Listing) -> dict[str, int]:
    """How far each listed lane was folded, as far as it can be proved: everything below a slot that was deleted.

    A slot is created when the one before it is there, so what lies below the highest slot of the first listing existed
    when the second began; if that does not show it, it was deleted, and everything up to it was covered.
    """
    marks: dict[str, int] = {}
    for lane, slots in first.lanes.items():
        there = set(second.lanes.get(lane, ()))
        missing = _highest_missing(slots[-1], there)
        if missing:
            marks[lane] = missing
    return marks


def _of_files(listing: Listing, base: Root) -> dict[str, int]:
    """The same of lane files, of which no part is ever deleted alone: what the saved root says, else their beginning.

    So they are applied again, which changes nothing but cost; and they do not look like those of retired writers.
    """
    return {
        lane: max(base.watermark(lane), HEADER_BYTES)
        for lane in listing.files
        if not (base.version and base.retired(lane))
    }


def _highest_missing(top: int, there: set[int]) -> int:
    slot = top
    while slot and slot in there:
        slot -= 1
    return slot


def jump_to(store_ms: int) -> int:
    """A slot above any that a shared lane has ever used: more than one a microsecond since 1970 cannot have been."""
    return store_ms * 1000


async def _read_log(place: Place, listing: Listing) -> tuple[list[Broken], int]:
    """The broken segments among the listed ones, and how many were read."""
    slots = listed_slots(listing)
    broken: list[Broken] = []
    for start in range(0, len(slots), SEGMENTS_PER_FETCH):
        part = slots[start : start + SEGMENTS_PER_FETCH]
        try:
            found = await fetch(place, part)
        except SegmentGone as error:
            raise Conflict(f"the log is being swept: {error}", hint="stop every compactor and try again") from error
        broken += [item for item in found if isinstance(item, Broken)]
    return broken, segments_in(slots)


# --- what the root is made of ------------------------------------------------------------------------------------------


def _check_lost(sight: Sight) -> None:
    if sight.newer:
        raise Misuse(f"{sight.place.names.root} is of a newer program", hint="upgrade swampstore on this machine")
    if not sight.lost:
        raise Misuse(f"{sight.place.names.root} is not lost", hint="see what is wrong: swamp datastore doctor")


async def _settle(place: Place, seen: Seen) -> None:
    """Wait until every commit that was believed without a look at the root has landed or never will."""
    span = Span(place.env, seen.time)
    while span.seconds() < SETTLE_S + 2 * STORE_TIME_GRAIN_MS / 1000:
        await place.env.sleep(1.0)
    now, _, _ = await read_root(place)
    if (now.etag, now.root.version) != (seen.etag, 0):
        raise Conflict(f"{place.names.root} has changed meanwhile; nothing was done", hint="examine it again")


async def _base(sight: Sight) -> tuple[str, Root, int]:
    """The newest readable saved root, for what no run says: settings, floors, what waited inline; else an empty one.

    With it the time it was saved at (store's, ms).
    """
    best = ("", NO_ROOT, 0)
    saved_ms = {info.name: info.modified for info in sight.saved}
    async for name, root, _ in read_saved(sight):
        if root is not None and root.version > best[1].version:
            best = (name, root, saved_ms.get(name, 0))
    return best


async def _salvage_all(place: Place, progress: Progress) -> tuple[list[Salvaged], list[Unreadable]]:
    taken: list[Salvaged] = []
    bad: list[Unreadable] = []
    kinds: tuple[UniqueKind, ...] = ("l0", "shard", "eph", "audit")
    for kind in kinds:
        infos: list[Info] = []
        async for items in pages(place, place.names.folder(kind)):
            infos += items
        async for found in salvage(place, kind, infos):
            if isinstance(found, Unreadable):
                bad.append(found)
            else:
                taken.append(found)
            progress("read the runs", len(taken) + len(bad), 0)
    return taken, bad


def _packs(runs: list[Salvaged], base: Root) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(run.packs)
    for record in base.inline:
        name = content_of(record)
        if name is not None and name.startswith("pack/"):
            counts[name.removeprefix("pack/")] += 1
    return dict(counts)


def newest_apart(runs: list[Salvaged]) -> tuple[RunRef, ...]:
    """The newest of ``runs`` that do not overlap, in key order."""
    kept: list[RunRef] = []
    for run in sorted(runs, key=lambda one: one.made_ms, reverse=True):
        if all(run.ref.last < other.first or other.last < run.ref.first for other in kept):
            kept.append(run.ref)
    return tuple(sorted(kept, key=lambda ref: ref.first))


def _audit(base: Root, runs: list[Salvaged], version: int) -> Audit:
    """Every archive that holds records, as a fresh one, oldest first; catalogs hold none and are made anew."""
    archives = [run for run in runs if run.ref.name.startswith("audit/") and run.is_audit]
    archives.sort(key=lambda run: run.made_ms)
    return Audit(inline=base.audit.inline, fresh=tuple(Fresh(run.ref, version, version) for run in archives))


async def _doubtful(place: Place, runs: list[Salvaged], base: Root, base_ms: int) -> tuple[int, tuple[str, ...]]:
    keys = await _inline_doubts(place, runs, base, base_ms)
    count = len(keys)
    async for doubt in doubts(place, runs):
        count += 1
        if len(keys) < DOUBTS_NAMED:
            keys.append(doubt.key)
    return count, tuple(keys[:DOUBTS_NAMED])


async def _inline_doubts(place: Place, runs: list[Salvaged], base: Root, base_ms: int) -> list[str]:
    """Puts that waited in the saved root, and that shards made after it pass over."""
    puts = {record.key: record for record in base.inline if not record.gone}
    later = [run.ref for run in runs if run.ref.name.startswith("shard/") and run.made_ms > base_ms]
    if not puts or not later:
        return []
    held = await find_in_runs(place, [run.ref for run in runs], sorted(puts))
    return [
        key
        for key, record in sorted(puts.items())
        if all(other.version < record.version for other in held[key])
        and any(ref.first <= key <= ref.last for ref in later)
    ]


def _losses(base: str, unreadable: list[Unreadable], doubtful: int) -> tuple[str, ...]:
    """What cannot be proved to be there, in sentences."""
    waited = (
        f"index entries that had been folded and waited in the root alone (at most {INLINE_LEVEL0_BYTES // KIB} KB: the"
        " last writes before the loss that no level-0 run and no segment holds); ordinals and stream positions among"
        " them may be given again"
    )
    found = [waited, "runtime state and audit records that waited in the root"]
    if not base:
        found.append("the settings of the namespace, and which segments were set aside")
    found += [f"what this object held: {one.name} ({one.reason})" for one in unreadable]
    if doubtful:
        found.append(f"{doubtful:,} deletions, which may be undone: puts that a newer shard passes over (listed)")
    return tuple(found)
