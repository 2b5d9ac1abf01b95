"""Repack: packs that are more than half dead are rewritten, so that the bytes of their dead members come back.

The live members are read and put into new packs; then the shards that name them are rewritten with the new locations, by
one CAS of the root, as a merge does it. What leaves the root (old packs, old shards) goes through the garbage list and its
grace like everything else.

Invariants:
- An entry is given its new place only in the shard it stands in, and only while the root names that very shard: a record
  that was removed and forgotten meanwhile cannot come back, and a put, a tombstone or a pin of others wins as it does over
  a merge.
- The entry says the same put (its version is a refinement of it); a member that does not have its hash stays where it is.
- Packs that somebody may still name for the first time are left alone: those younger than a day, and those named in
  level 0, which the next merge brings down.
- Nothing is published that was uploaded more than 6 hours ago. A repack that dies leaves orphans.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping

import msgspec

from swampstore.env.clock import Span
from swampstore.errors import Inconsistent, StaleWrite, SwampError
from swampstore.limits import (
    MIB,
    ORPHAN_AGE_MS,
    PACK_TARGET_BYTES,
    ROOT_CAS_TRIES,
    SHARD_UPLOAD_AGE_S,
    STORE_TIME_GRAIN_MS,
)
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.stores.base import Create, Get, Got, Put, Stored
from swampstore.values.batches import batches
from swampstore.values.entry import Meta, Packed, Record, content_of, meta_of, record_sum, with_meta
from swampstore.values.names import unique_ms
from swampstore.values.root import Root, RunRef
from swampstore.values.run import BlockInfo, RunBuilder, decode_block
from swampstore.values.version import refined
from swampstore.workers.leadership import Leadership
from swampstore.workers.objects import list_sizes
from swampstore.workers.report import RepackReport
from swampstore.workers.run_reader import RunReader
from swampstore.workers.tally import Tally

PACKS_AT_ONCE_BYTES = 32 * MIB
"""Stored bytes of old packs that one repack reads; what is left is for the next."""
_MOST_SUMS = 1 << 64

Span_ = tuple[int, int]
"""``(offset, length)`` of a member."""


class Candidates(msgspec.Struct, frozen=True):
    """Packs to rewrite with the bytes that live in them, and the shards (by name) that name each."""

    live: Mapping[str, int]
    size: Mapping[str, int]
    shards: frozenset[str]
    left: int

    @property
    def bytes(self) -> int:
        """What comes back."""
        return sum(self.size.values()) - sum(self.live.values())


class Repack:
    """One repack. Costs a listing of the packs and a read of the manifest; then only what it rewrites."""

    def __init__(self, place: Place, register: Register, leadership: Leadership, *, stay: bool, insist: bool) -> None:
        self._place = place
        self._register = register
        self._leadership = leadership
        self._stay = stay
        self._insist = insist

    async def run(self, *, dry_run: bool = False) -> RepackReport:
        """Rewrite what is worth it now. Losing a race is no error: ``report.raced``."""
        seen = await self._register.read()
        may = self._leadership.may_publish(seen, seen, one_shot=not self._stay, insist=self._insist)
        if not seen.root.packs or not (may or dry_run):
            return RepackReport()
        found = await self._candidates(seen)
        live = sum(found.live.values())
        report = RepackReport(packs=len(found.live), bytes=found.bytes, live_bytes=live, left=found.left)
        if dry_run or not found.live:
            return report
        return await self._rewrite(seen, found, report)

    # --- what is worth it ---------------------------------------------------------------------------------------

    async def _candidates(self, seen: Seen) -> Candidates:
        place, root = self._place, seen.root
        listed = await list_sizes(place, ("pack",), {f"pack/{part}" for part in root.packs})
        line = seen.time - ORPHAN_AGE_MS - 2 * STORE_TIME_GRAIN_MS
        sizes = {
            part: size
            for part in root.packs
            if (size := listed.get(f"pack/{part}")) is not None and unique_ms(part) < line
        }
        live: dict[str, int] = dict.fromkeys(sizes, 0)
        shards: dict[str, set[str]] = {}
        for record in (*root.inline, *root.eph.inline):
            live.pop(_pack_of(record) or "", None)
        async for ref, info, stored in self._blocks((*root.level0, *root.eph.runs)):
            for record in decode_block(info, stored, place.full(ref.name)):
                live.pop(_pack_of(record) or "", None)
        async for ref, info, stored in self._blocks(root.shards):
            for record in decode_block(info, stored, place.full(ref.name)):
                pack = _pack_of(record)
                if pack is not None and pack in live:
                    at = meta_of(record).at
                    live[pack] += at.length if isinstance(at, Packed) else 0
                    shards.setdefault(pack, set()).add(ref.name)
        worth = [pack for pack in live if live[pack] * 2 < sizes[pack] and pack in shards]
        worth.sort(key=lambda pack: live[pack] - sizes[pack])
        taken: list[str] = []
        total = 0
        for pack in worth:
            if not taken or total + sizes[pack] <= PACKS_AT_ONCE_BYTES:
                taken.append(pack)
                total += sizes[pack]
        named = frozenset(name for pack in taken for name in shards[pack])
        chosen, big = {pack: live[pack] for pack in taken}, {pack: sizes[pack] for pack in taken}
        return Candidates(chosen, big, named, len(worth) - len(taken))

    async def _blocks(self, refs: Iterable[RunRef]) -> AsyncIterator[tuple[RunRef, BlockInfo, bytes]]:
        held = tuple(refs)
        reader = RunReader(self._place, held)
        for ref in held:
            for info, stored in await reader.next():
                yield ref, info, stored

    # --- the work -----------------------------------------------------------------------------------------------

    async def _rewrite(self, seen: Seen, found: Candidates, report: RepackReport) -> RepackReport:
        age = Span(self._place.env, seen.time)
        members = await self._members(seen.root, found)
        moved = await self._move(members, age, report)
        if not moved:
            return report
        tally = Tally()
        refs: dict[str, RunRef] = {}
        for ref in seen.root.shards:
            if ref.name in found.shards:
                new = await self._shard(ref, moved, tally, age)
                if new is not None:
                    refs[ref.name] = new
        report.members, report.shards_written = len(moved), len(refs)
        return await self._publish(seen, refs, tally, age, report)

    async def _members(self, root: Root, found: Candidates) -> dict[str, dict[Span_, Meta]]:
        """The members of each pack that are live, with an entry that says what they hold."""
        members: dict[str, dict[Span_, Meta]] = {pack: {} for pack in found.live}
        async for ref, info, stored in self._blocks(ref for ref in root.shards if ref.name in found.shards):
            for record in decode_block(info, stored, self._place.full(ref.name)):
                pack = _pack_of(record)
                if pack is not None and pack in members:
                    meta = meta_of(record)
                    assert isinstance(meta.at, Packed)
                    members[pack][meta.at.offset, meta.at.length] = meta
        return members

    async def _move(
        self, members: Mapping[str, Mapping[Span_, Meta]], age: Span, report: RepackReport
    ) -> dict[tuple[str, Span_], Packed]:
        """Read the members, put them into new packs; where each of them is now."""
        bodies: list[tuple[tuple[str, Span_], bytes]] = []
        packs = list(members)
        answers = await self._place.store.many([Get(self._place.full(f"pack/{pack}")) for pack in packs])
        for pack, answer in zip(packs, answers, strict=True):
            whole = answer.body if isinstance(answer, Got) else b""
            for (offset, length), meta in sorted(members[pack].items(), key=lambda item: item[0]):
                body = whole[offset : offset + length]
                if len(body) == length and (meta.sha256 is None or hashlib.sha256(body).digest() == meta.sha256):
                    bodies.append(((pack, (offset, length)), body))
        moved: dict[tuple[str, Span_], Packed] = {}
        puts: list[Put] = []
        for group in batches(bodies, lambda item: len(item[1]), PACK_TARGET_BYTES):
            part, name = self._place.new_object("pack")
            offset = 0
            for key, body in group:
                moved[key] = Packed(part, offset, len(body))
                offset += len(body)
            puts.append(Put(name, b"".join(body for _, body in group), Create()))
        for stored in await self._place.store.many(puts):
            if isinstance(stored, SwampError):
                raise stored
            assert isinstance(stored, Stored)
            age.saw(stored.time)
        report.packs_made = len(puts)
        return moved

    async def _shard(
        self, ref: RunRef, moved: Mapping[tuple[str, Span_], Packed], tally: Tally, age: Span
    ) -> RunRef | None:
        """The shard ``ref`` with the new locations; ``None`` when nothing in it has moved."""
        builder, change = RunBuilder(), 0
        changed = False
        async for _, info, stored in self._blocks([ref]):
            records = decode_block(info, stored, self._place.full(ref.name))
            placed = [_placed(record, moved) for record in records]
            old = [record for record, new in zip(records, placed, strict=True) if new is not record]
            if not old:
                builder.add_block(info, stored)
                continue
            new = [new for record, new in zip(records, placed, strict=True) if new is not record]
            tally.dropped(old)
            tally.added(new)
            change += sum(map(record_sum, new)) - sum(map(record_sum, old))
            builder.add_group(placed)
            changed = True
        if not changed:
            return None
        part, name = self._place.new_object("shard")
        made, data = builder.finish(f"shard/{part}")
        whole = (made.first, made.last, made.count) == (ref.first, ref.last, ref.count)
        if not whole or (made.sum - ref.sum - change) % _MOST_SUMS:
            raise Inconsistent(f"{self._place.full(ref.name)}: the repack does not conserve records; nothing published")
        age.saw((await self._place.store.put(name, data, Create())).time)
        return made

    # --- publishing ---------------------------------------------------------------------------------------------

    async def _publish(
        self, began: Seen, refs: Mapping[str, RunRef], tally: Tally, age: Span, report: RepackReport
    ) -> RepackReport:
        last = self._register.last
        seen = last if last is not None and last.root.version >= began.root.version else began
        for _ in range(ROOT_CAS_TRIES):
            age.saw(seen.time)
            may = self._leadership.may_publish(seen, began, one_shot=not self._stay, insist=self._insist)
            if not refs or not may or not still_named(seen.root, refs) or age.seconds() > SHARD_UPLOAD_AGE_S:
                break
            new = successor(seen, refs, tally)
            try:
                await self._register.publish(seen, self._leadership.sign(seen.root, new, stay=self._stay))
            except StaleWrite:
                seen = await self._register.read()
                continue
            return msgspec.structs.replace(report, published=True)
        return msgspec.structs.replace(report, raced=bool(refs), bytes=0, live_bytes=0, packs=0)


def still_named(root: Root, refs: Iterable[str]) -> bool:
    """Whether ``root`` names every shard that was rewritten."""
    return {ref.name for ref in root.shards}.issuperset(refs)


def successor(seen: Seen, refs: Mapping[str, RunRef], tally: Tally) -> Root:
    """The root with the shards replaced, and nothing else changed."""
    old = seen.root
    packs, garbage = tally.apply(old, old.version + 1, seen.time, sorted(refs))
    shards = tuple(refs.get(ref.name, ref) for ref in old.shards)
    return msgspec.structs.replace(old, shards=shards, packs=packs, garbage_raw=garbage)


def _pack_of(record: Record) -> str | None:
    name = content_of(record)
    return name.removeprefix("pack/") if name is not None and name.startswith("pack/") else None


def _placed(record: Record, moved: Mapping[tuple[str, Span_], Packed]) -> Record:
    """``record`` with its new location; itself when its contents have not moved."""
    pack = _pack_of(record)
    if pack is None:
        return record
    meta = meta_of(record)
    assert isinstance(meta.at, Packed)
    at = moved.get((pack, (meta.at.offset, meta.at.length)))
    if at is None:
        return record
    try:
        version = refined(record.version)
    except OverflowError:
        return record
    return with_meta(record, version, msgspec.structs.replace(meta, at=at))
