"""Runs: immutable sorted objects of records. Level-0 objects and shards have this one format.

    blocks     each one zstd frame of a :mod:`block <swampstore.values.block>`, in key order
    index      a frame (kind RUN_INDEX, format 2) of a msgpack array of :class:`BlockInfo`
    footer     8 bytes offset of the index, 4 bytes its length, 4 bytes magic "SWRN"

A reader that has the :class:`~swampstore.values.root.RunRef` reads the index by its offset, then one block: two ranged
reads cold, one when the index is cached. The footer lets ``doctor`` read a run without a root.

Invariants: keys are strictly rising through the whole run (one record a key); a block's CRC-32 (of its stored bytes),
count and record sum stand in the index; every decoder is bounded and names the object.
"""

from __future__ import annotations

import bisect
import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import msgspec

from swampstore.errors import CorruptObject, Inconsistent
from swampstore.limits import BLOCK_MAX_RAW_BYTES, BLOCK_RAW_BYTES, INDEX_BLOCKS, INDEX_MAX_RAW_BYTES
from swampstore.values.block import COLUMNS, OVERHEAD, RECORDS, Block, decode_columns, encode_block
from swampstore.values.bounds import check_count
from swampstore.values.entry import TOMBSTONE, Record
from swampstore.values.frame import UNREADABLE, Kind, compress_fast, decompress, pack, unpack
from swampstore.values.root import RunRef
from swampstore.values.soonest import Spot, soonest
from swampstore.values.summary import NOTHING, Summary, earliest, joined

FORMAT = 2
"""Of the index. In format 1 all blocks were of form 1 and did not say so."""
FOOTER = struct.Struct(">QI4s")
_MAGIC = b"SWRN"


class BlockInfo(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One block: its keys, where it lies, what it holds. ``expires`` is the earliest expiry in ms, 0 = none.

    ``summary`` says what retention may have to do in it (blocks written before there was one hold no versions of data);
    ``form`` is that of :mod:`swampstore.values.block`.
    """

    first: str
    last: str
    offset: int
    size: int
    raw_size: int
    crc: int
    count: int
    tombstones: int
    sum: int
    expires: int
    summary: Summary = NOTHING
    form: int = RECORDS


_encode = msgspec.msgpack.Encoder().encode
_decode_index = msgspec.msgpack.Decoder(list[BlockInfo]).decode


class RunBuilder:
    """Builds one run from records in strictly rising key order; ``size`` grows as blocks are closed."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._blocks: list[BlockInfo] = []
        self._pending: list[Record] = []
        self._pending_bytes = 0
        self.size = 0

    @property
    def empty(self) -> bool:
        return not self._blocks and not self._pending

    def add(self, record: Record) -> None:
        self._pending.append(record)
        self._pending_bytes += len(record.key) + len(record.value) + OVERHEAD
        if self._pending_bytes >= BLOCK_RAW_BYTES:
            self._close_pending()

    def add_group(self, records: Sequence[Record]) -> None:
        """Add ``records`` as blocks of their own and of even size, so that no small remainder is left behind."""
        self.add_rows(Block.of(records))

    def add_rows(self, rows: Block) -> None:
        """The same for records that are columns already."""
        self._close_pending()
        if not rows:
            return
        filled = list(accumulate(rows.sizes()))
        parts = max(1, round(filled[-1] / BLOCK_RAW_BYTES))
        start = 0
        for part in range(1, parts + 1):
            end = bisect.bisect_left(filled, filled[-1] * part / parts) + 1 if part < parts else len(rows)
            if end > start:
                self._close_block(rows.cut(start, end))
                start = end

    def add_whole(self, rows: Block) -> None:
        """Add records that make a block of good size."""
        self._close_pending()
        self._close_block(rows)

    def add_block(self, info: BlockInfo, stored: bytes) -> None:
        """Take over a whole stored block of another run unchanged."""
        self._close_pending()
        self._append(stored, msgspec.structs.replace(info, offset=self.size))

    def _close_pending(self) -> None:
        if self._pending:
            self._close_block(Block.of(self._pending))
            self._pending, self._pending_bytes = [], 0

    def _close_block(self, rows: Block) -> None:
        rows.check()
        raw = encode_block(rows)
        stored = compress_fast(raw)
        info = BlockInfo(
            first=rows.keys[0],
            last=rows.keys[-1],
            offset=self.size,
            size=len(stored),
            raw_size=len(raw),
            crc=zlib.crc32(stored),
            count=len(rows),
            tombstones=rows.flagged(TOMBSTONE),
            sum=rows.sum,
            expires=rows.expires_first,
            summary=rows.summary,
            form=COLUMNS,
        )
        self._append(stored, info)

    def _append(self, stored: bytes, info: BlockInfo) -> None:
        if self._blocks and self._blocks[-1].last >= info.first:
            raise Inconsistent(f"keys of a run must rise: {self._blocks[-1].last!r} before {info.first!r}")
        self._parts.append(stored)
        self._blocks.append(info)
        self.size += len(stored)

    def finish(self, name: str) -> tuple[RunRef, bytes]:
        """``(reference, object)``; ``name`` is ``<kind>/<unique>``. The builder must not be empty."""
        self._close_pending()
        index = pack(Kind.RUN_INDEX, FORMAT, _encode(self._blocks))
        data = b"".join((*self._parts, index, FOOTER.pack(self.size, len(index), _MAGIC)))
        blocks = self._blocks
        ref = RunRef(
            first=blocks[0].first,
            last=blocks[-1].last,
            name=name,
            size=len(data),
            index_at=self.size,
            count=sum(block.count for block in blocks),
            tombstones=sum(block.tombstones for block in blocks),
            digest=hashlib.sha256(data).digest(),
            sum=sum(block.sum for block in blocks),
            expires=earliest(block.expires for block in blocks),
            summary=joined(block.summary for block in blocks),
            soonest=soonest(blocks),
        )
        return ref, data


def build_run(name: str, records: Iterable[Record]) -> tuple[RunRef, bytes]:
    """A whole run from records in strictly rising key order (at least one)."""
    builder = RunBuilder()
    for record in records:
        builder.add(record)
    return builder.finish(name)


def build_rows(name: str, rows: Block) -> tuple[RunRef, bytes]:
    """A whole run from columns (at least one record)."""
    builder = RunBuilder()
    builder.add_rows(rows)
    return builder.finish(name)


def index_span(ref: RunRef) -> tuple[int, int]:
    """``(offset, length)`` of the index of a run, for a ranged read. Raises ``CorruptObject`` where there can be none."""
    length = ref.size - ref.index_at - FOOTER.size
    if ref.index_at < 0 or length < 0:
        raise CorruptObject(f"{ref.name}: an index at {ref.index_at} of {ref.size} bytes", name=ref.name)
    return ref.index_at, length


def decode_index(data: bytes, name: str) -> list[BlockInfo]:
    """The block index in ``data`` (the bytes of :func:`index_span`). Raises ``CorruptObject``/``UnknownFormat``."""
    _, raw = unpack(Kind.RUN_INDEX, FORMAT, data, name, INDEX_MAX_RAW_BYTES)
    check_count(raw, INDEX_BLOCKS, "blocks", name)
    try:
        index = _decode_index(raw)
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    for info in index:
        if info.offset < 0 or info.size < 0 or info.count < 1:
            raise CorruptObject(f"{name}: a block of {info.size} bytes at {info.offset}", name=name)
    return index


def decode_rows(info: BlockInfo | Spot, stored: bytes, name: str) -> Block:
    """One block, as columns. Raises ``CorruptObject`` naming the object."""
    if len(stored) != info.size or zlib.crc32(stored) != info.crc:
        raise CorruptObject(f"{name}: block at {info.offset} does not match its checksum", name=name)
    if info.raw_size > BLOCK_MAX_RAW_BYTES:
        raise CorruptObject(f"{name}: block at {info.offset} claims {info.raw_size} bytes", name=name)
    raw = decompress(stored, info.raw_size, name)
    try:
        return decode_columns(raw, info.form, info.count, name)
    except CorruptObject as error:
        raise CorruptObject(f"{error} (block at {info.offset})", name=name) from error


def decode_block(info: BlockInfo, stored: bytes, name: str) -> list[Record]:
    """The records of one block. Raises ``CorruptObject`` naming the object."""
    return decode_rows(info, stored, name).records()


def decode_run(ref: RunRef, data: bytes, name: str) -> Iterator[tuple[BlockInfo, bytes]]:
    """Yield every block of a whole run, stored, with its info; the object's digest is checked first."""
    if len(data) != ref.size or hashlib.sha256(data).digest() != ref.digest:
        raise CorruptObject(f"{name}: does not match the digest in the root", name=name)
    at, length = index_span(ref)
    for info in decode_index(data[at : at + length], name):
        yield info, data[info.offset : info.offset + info.size]


def block_for(index: Sequence[BlockInfo], key: str) -> BlockInfo | None:
    """The block that holds ``key`` if any does."""
    at = bisect.bisect_right(index, key, key=lambda block: block.first) - 1
    return index[at] if at >= 0 and key <= index[at].last else None
