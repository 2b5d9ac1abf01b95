"""Runs read without a root: what lies in ``l0/`` and ``shard/``, checked block by block, as references for a new root.

A run says of itself everything that a reference says (footer, index, blocks); only whether a root ever named it cannot
be told from it.

Invariants: a run is taken whole or not at all; one that cannot be read is named with the reason; one run is in memory at
a time.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from swampstore.errors import CorruptObject, NotFound, SwampError, UnknownFormat
from swampstore.limits import MIB
from swampstore.protocols.place import Place
from swampstore.stores.base import Got, Info
from swampstore.values.audit_parquet import decode_whole, is_parquet
from swampstore.values.entry import AUDIT, EPHEMERAL, OPAQUE, Record, content_of, record_sum
from swampstore.values.names import UniqueKind, unique_ms
from swampstore.values.root import RunRef
from swampstore.values.run import FOOTER, BlockInfo, decode_block, decode_index
from swampstore.values.soonest import soonest
from swampstore.values.summary import joined
from swampstore.values.version import check_version, split_version

_MAGIC = b"SWRN"
_RUN_BYTES = 512 * MIB
"""More than any run takes."""


class Salvaged(msgspec.Struct, frozen=True):
    """A readable run: its reference, its block index, and what a root has to know of its records.

    ``made_ms`` is when its name was formed (its maker's estimate of the store's time). ``flags`` are those that every
    record has.
    """

    ref: RunRef
    index: tuple[BlockInfo, ...]
    made_ms: int
    packs: Counter[str]
    hlc: int
    flags: int

    @property
    def is_audit(self) -> bool:
        return bool(self.flags & AUDIT)

    @property
    def is_ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)


class Unreadable(msgspec.Struct, frozen=True):
    """An object that should be a run and is none."""

    name: str
    reason: str


async def salvage(place: Place, kind: UniqueKind, infos: Iterable[Info]) -> AsyncIterator[Salvaged | Unreadable]:
    """Read the runs ``infos`` of one folder, one after the other. Raises what the store raises."""
    for info in infos:
        parsed = place.names.parse_unique(info.name)
        if parsed is None:
            continue
        if info.size > _RUN_BYTES:
            yield Unreadable(info.name, f"{info.size:,} bytes: no run is that large")
            continue
        try:
            got = await place.store.get(info.name)
        except NotFound:
            continue
        assert isinstance(got, Got)
        try:
            yield read_run(f"{kind}/{parsed[1]}", got.body, info.name)
        except UnknownFormat:
            raise
        except SwampError as error:
            yield Unreadable(info.name, str(error))


def read_run(short: str, data: bytes, name: str) -> Salvaged:
    """The run (or Parquet archive) in ``data``, every block checked. Raises ``CorruptObject``, ``UnknownFormat``,
    ``MissingExtra`` naming the object."""
    if is_parquet(short):
        return _read_parquet(short, data, name)
    index = _index_of(data, name)
    records = 0
    packs: Counter[str] = Counter()
    hlc, flags, last, total = 0, -1, "", 0
    for info in index:
        block = decode_block(info, data[info.offset : info.offset + info.size], name)
        for record in block:
            if record.key <= last and records:
                raise CorruptObject(f"{name}: keys do not rise at {record.key!r}", name=name)
            check_version(record.version, name)
            last, records, flags = record.key, records + 1, flags & record.flags
            hlc = max(hlc, split_version(record.version)[0])
            content = content_of(record)
            if content is not None and content.startswith("pack/"):
                packs[content.removeprefix("pack/")] += 1
        _check_block(info, block, name)
        total += info.sum
    ref = RunRef(
        first=index[0].first,
        last=index[-1].last,
        name=short,
        size=len(data),
        index_at=FOOTER.unpack(data[-FOOTER.size :])[0],
        count=records,
        tombstones=sum(info.tombstones for info in index),
        digest=hashlib.sha256(data).digest(),
        sum=total,
        expires=min((info.expires for info in index if info.expires), default=0),
        summary=joined(info.summary for info in index),
        soonest=soonest(index),
    )
    return Salvaged(ref, tuple(index), unique_ms(short.rpartition("/")[2]), packs, hlc, flags)


def _read_parquet(short: str, data: bytes, name: str) -> Salvaged:
    ref, index, groups = decode_whole(data, short, name)
    hlc = max(split_version(record.version)[0] for records in groups for record in records)
    return Salvaged(ref, tuple(index), unique_ms(short.rpartition("/")[2]), Counter(), hlc, AUDIT | OPAQUE)


def _index_of(data: bytes, name: str) -> list[BlockInfo]:
    if len(data) < FOOTER.size:
        raise CorruptObject(f"{name}: {len(data)} bytes, too short for a run", name=name)
    at, length, magic = FOOTER.unpack(data[-FOOTER.size :])
    if magic != _MAGIC or at + length + FOOTER.size != len(data):
        raise CorruptObject(f"{name}: its footer is not that of a run", name=name)
    index = decode_index(data[at : at + length], name)
    if not index:
        raise CorruptObject(f"{name}: a run without blocks", name=name)
    return index


def _check_block(info: BlockInfo, block: Sequence[Record], name: str) -> None:
    """Raise ``CorruptObject`` unless the index tells the truth of a block."""
    if not block:
        raise CorruptObject(f"{name}: an empty block at {info.offset}", name=name)
    found = (block[0].key, block[-1].key, sum(record.gone for record in block), sum(map(record_sum, block)))
    if found != (info.first, info.last, info.tombstones, info.sum):
        raise CorruptObject(f"{name}: the index says another thing of the block at {info.offset}", name=name)


# --- which puts may come back ------------------------------------------------------------------------------------------


class Doubt(msgspec.Struct, frozen=True):
    """A put that a newer shard passes over: it may have been deleted, and its tombstone be forgotten since."""

    key: str
    run: str
    witness: str


async def doubts(place: Place, runs: Sequence[Salvaged]) -> AsyncIterator[Doubt]:
    """Puts that win among ``runs`` although a shard made later covers their key and does not hold it.

    The tombstone of a key is forgotten at the bottom level alone, by writing a shard without the key. If the put's own
    run is still there (its maker crashed, a sweep was interrupted), joining all runs brings the put back. The shard that
    was written then is a witness. A put at the edge of what was rewritten has none.
    """
    shards = [number for number, run in enumerate(runs) if run.ref.name.startswith("shard/")]
    async for key, held in by_key(place, runs):
        winner = max(record.version for record in held.values())
        newest = max(runs[number].made_ms for number, record in held.items() if record.version == winner)
        if any(record.gone for record in held.values() if record.version == winner):
            continue
        for number in shards:
            run = runs[number]
            if number not in held and run.made_ms > newest and run.ref.first <= key <= run.ref.last:
                carrier = next(one for one, record in held.items() if record.version == winner)
                yield Doubt(key, runs[carrier].ref.name, run.ref.name)
                break


async def by_key(place: Place, runs: Sequence[Salvaged]) -> AsyncIterator[tuple[str, dict[int, Record]]]:
    """Every key in order, with the record of each run that holds it; one block of each run in memory."""
    cursors = [records_of(place, run) for run in runs]
    heap: list[tuple[str, int, Record]] = []
    for number, cursor in enumerate(cursors):
        first = await anext(cursor, None)
        if first is not None:
            heapq.heappush(heap, (first.key, number, first))
    while heap:
        key = heap[0][0]
        held: dict[int, Record] = {}
        while heap and heap[0][0] == key:
            _, number, record = heapq.heappop(heap)
            held[number] = record
            following = await anext(cursors[number], None)
            if following is not None:
                heapq.heappush(heap, (following.key, number, following))
        yield key, held


async def records_of(place: Place, run: Salvaged) -> AsyncIterator[Record]:
    """The records of a run, a block at a time."""
    name = place.full(run.ref.name)
    for info in run.index:
        got = await place.store.get(name, span=(info.offset, info.size))
        assert isinstance(got, Got)
        for record in decode_block(info, got.body, name):
            yield record
