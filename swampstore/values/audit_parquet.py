"""Audit archives as Parquet files: what DuckDB, pandas, Polars, Spark and Trino read in place.

    topic    string              of every record of the file the same
    ts       timestamp[ms, UTC]  the time it bears
    id       string
    record   string              what was written, as JSON; null for bytes
    raw      binary              what was written, exactly, where ``record`` would not give it back; else null
    kind     string              ``m``: a value (``raw`` is msgpack), ``b``: bytes
    fold, lane, slot             when and where it was committed
    version  binary              of the append

These columns stay as they are: programs of others read them. Rows are in the order of (ts, id). Files lie in folders by
topic and day, ``parquet/audit_topic=<topic>/audit_day=<YYYY-MM-DD>/``, so that engines skip what a query does not ask for.

Invariants:
- A file gives back exactly the records that went in: key, value, version.
- A row group is bounded in rows and bytes; its first and last key, count and record sum stand in the file's metadata, so
  it is read like a block of a run: the end of the file once, then a ranged read for each row group.
- Pages carry checksums, which are checked; what a file would become is bounded before it is decoded
  (:mod:`~swampstore.values.parquet_bounds`). Without pyarrow nothing here works: ``MissingExtra``.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from swampstore.errors import CorruptObject, MissingExtra, UnknownFormat
from swampstore.limits import MIB
from swampstore.values.audit import AuditValue, audit_key, encode_data, encode_value, key_parts, value_of
from swampstore.values.bounds import check_versions
from swampstore.values.entry import AUDIT, OPAQUE, Record, record_sum
from swampstore.values.frame import UNREADABLE
from swampstore.values.parquet_bounds import ROWS, Group, check_group, check_words, read_end
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo
from swampstore.values.thrift import BadThrift

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".parquet"
FOLDER = "parquet"
"""Below ``<ns>/audit/``: a folder in which nothing else lies, for engines that are given a folder."""
PAST_DAY, FUTURE_DAY = "0001-01-01", "9999-12-31"
"""The folders of the two edges of time."""
GROUP_ROWS = ROWS
GROUP_BYTES = 8 * MIB
"""Keys and values of a row group, before they are compressed."""
_NUMBERS = {"ts", "fold", "slot"}
_META = b"swampstore.blocks"
_META_CRC = b"swampstore.crc"
"""The checksum of what that says, in eight digits: nothing else would tell that it was changed. Older archives have none."""
_OURS = b"swampstore."
"""What the library says of a file begins so; another form of archive would say another thing."""
_TAIL_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_TOPIC_CHARS = 120
_META_BYTES = 16 * MIB
_encode_blocks = msgspec.json.Encoder().encode
_decode_blocks = msgspec.json.Decoder(list[tuple[str, str, int, int]]).decode


class ParquetIndex(list[BlockInfo]):
    """The row groups of a file, and the end of the file, without which they cannot be decoded."""

    tail: bytes = b""


def available() -> bool:
    """Whether pyarrow is installed."""
    import importlib.util

    return importlib.util.find_spec("pyarrow") is not None


def arrow() -> Any:
    """The module. Raises ``MissingExtra``."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra(
            "the audit archives of this namespace are Parquet files, and pyarrow is not installed",
            hint="pip install 'swampstore[parquet]'",
        ) from error
    return pyarrow


def is_parquet(name: str) -> bool:
    return name.endswith(SUFFIX)


# --- names -----------------------------------------------------------------------------------------------------------


def file_part(topic: str, part: str, unique: str) -> str:
    """The name of a file below ``<ns>/audit/``. A topic of any characters becomes a folder that every engine takes."""
    day = {"-": PAST_DAY, "~": FUTURE_DAY}.get(part, part)
    return f"{FOLDER}/audit_topic={topic_folder(topic)}/audit_day={day}/{unique}{SUFFIX}"


def topic_folder(topic: str) -> str:
    """``topic`` with everything but letters, digits, ``_``, ``-`` and ``.`` as ``%XX``; a long one is cut and hashed."""
    safe = quote(topic, safe="").replace("~", "%7E")
    if safe.strip(".") == "" or safe[0] == ".":
        safe = safe.replace(".", "%2E")
    if len(safe) > _TOPIC_CHARS:
        cut = re.sub(r"%[0-9A-F]?$", "", safe[:_TOPIC_CHARS])
        safe = f"{cut}-{hashlib.sha256(topic.encode()).hexdigest()[:16]}"
    return safe


# --- writing ---------------------------------------------------------------------------------------------------------


def schema() -> pa.Schema:
    """The columns."""
    pa = arrow()
    fields = [
        ("topic", pa.string()),
        ("ts", pa.timestamp("ms", tz="UTC")),
        ("id", pa.string()),
        ("record", pa.string()),
        ("raw", pa.binary()),
        ("kind", pa.string()),
        ("fold", pa.int64()),
        ("lane", pa.string()),
        ("slot", pa.int64()),
        ("version", pa.binary()),
    ]
    return pa.schema([pa.field(name, kind) for name, kind in fields])


def table_of(records: Sequence[Record]) -> pa.Table:
    """``records`` as columns. Raises ``MissingExtra``."""
    rows = [_row(record) for record in records]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema())
    pa = arrow()
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema(), strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema())


def _row(record: Record) -> tuple[Any, ...]:
    topic, ts, name = key_parts(record.key)
    value = value_of(record)
    text, raw = _shown(value)
    return topic, ts, name, text, raw, value.kind, value.fold, value.lane, value.slot, record.version


def _shown(value: AuditValue) -> tuple[str | None, bytes | None]:
    """``(record, raw)``: JSON, and the bytes themselves unless they follow from it."""
    if value.kind != "m":
        return None, value.data
    try:
        text = msgspec.json.encode(msgspec.msgpack.decode(value.data))
        same = encode_data(msgspec.json.decode(text)).data == value.data
        return text.decode(), None if same else value.data
    except Exception:  # noqa: BLE001 (whatever JSON cannot say: the bytes are kept)
        return None, value.data


def encode_parquet(name: str, records: Sequence[Record]) -> tuple[RunRef, bytes]:
    """A whole file of records in strictly rising key order (at least one). Raises ``MissingExtra``."""
    pa = arrow()
    import pyarrow.parquet as pq

    groups = _groups(records)
    blocks = [(one[0].key, one[-1].key, len(one), sum(map(record_sum, one))) for one in groups]
    sink = pa.BufferOutputStream()
    stated = _encode_blocks(blocks)
    kinds = schema().with_metadata({_META: stated, _META_CRC: _crc(stated)})
    with pq.ParquetWriter(
        sink,
        kinds,
        compression="zstd",
        write_page_checksum=True,
        use_dictionary=["topic", "kind", "lane"],
        store_schema=True,
    ) as writer:
        for one in groups:
            writer.write_table(table_of(one).replace_schema_metadata(kinds.metadata), row_group_size=len(one))
    data = sink.getvalue().to_pybytes()
    return _ref(name, data, blocks), data


def _crc(stated: bytes) -> bytes:
    return b"%08x" % zlib.crc32(stated)


def _groups(records: Sequence[Record]) -> list[Sequence[Record]]:
    groups: list[Sequence[Record]] = []
    start = size = 0
    for at, record in enumerate(records):
        weight = len(record.key) + len(record.value)
        if at > start and (at - start >= GROUP_ROWS or size + weight > GROUP_BYTES):
            groups.append(records[start:at])
            start, size = at, 0
        size += weight
    groups.append(records[start:])
    return groups


def _ref(name: str, data: bytes, blocks: Sequence[tuple[str, str, int, int]]) -> RunRef:
    return RunRef(
        first=blocks[0][0],
        last=blocks[-1][1],
        name=name,
        size=len(data),
        index_at=tail_at(data),
        count=sum(block[2] for block in blocks),
        tombstones=0,
        digest=hashlib.sha256(data).digest(),
        sum=sum(block[3] for block in blocks),
        expires=0,
    )


def tail_at(data: bytes, *, whole: bool = True) -> int:
    """Where the end of a file begins that describes it. -1 for what is no Parquet file."""
    if len(data) < _TAIL_BYTES * (3 if whole else 1) or data[-4:] != _TAIL_MAGIC:
        return -1
    return len(data) - _TAIL_BYTES - int.from_bytes(data[-8:-4], "little")


# --- reading ---------------------------------------------------------------------------------------------------------


class _Pieces(io.RawIOBase):
    """A file of which only some stretches are at hand. Readers ask for more than they need: the rest is zeros to them, and
    every page that counts has a checksum."""

    def __init__(self, size: int, pieces: Sequence[tuple[int, bytes]]) -> None:
        self._size = size
        self._pieces = pieces
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def size(self) -> int:
        return self._size

    def read(self, count: int = -1) -> bytes:
        count = max(self._size - self._at if count < 0 else min(count, self._size - self._at), 0)
        end = self._at + count
        for start, data in self._pieces:
            if start <= self._at and end <= start + len(data):
                break
        else:
            start, data = self._at, bytes(self._filled(count))
        found = data[self._at - start : end - start]
        self._at = end
        return found

    def _filled(self, count: int) -> bytearray:
        found = bytearray(count)
        for start, data in self._pieces:
            low, high = max(start, self._at), min(start + len(data), self._at + count)
            if low < high:
                found[low - self._at : high - self._at] = data[low - start : high - start]
        return found


def decode_tail(tail: bytes, size: int, name: str) -> ParquetIndex:
    """The row groups of a file of ``size`` bytes from its end. Raises ``CorruptObject``, ``UnknownFormat``."""
    try:
        if tail_at(tail, whole=False) != 0:
            raise CorruptObject(f"{name}: not the end of a Parquet file", name=name)
        end = read_end(tail[:-_TAIL_BYTES])
        if any(key.startswith(_OURS) and key not in (_META, _META_CRC) for key in end.texts):
            raise UnknownFormat(
                f"{name}: an archive of a newer form than this program knows",
                name=name,
                hint="upgrade swampstore on this machine; nothing was changed",
            )
        stated = end.texts.get(_META, b"")
        if len(stated) > _META_BYTES:
            raise CorruptObject(f"{name}: {len(stated)} bytes of metadata", name=name)
        if end.texts.get(_META_CRC, _crc(stated)) != _crc(stated):
            raise CorruptObject(f"{name}: what it says of its row groups was changed", name=name)
        blocks = _decode_blocks(stated)
        if len(blocks) != len(end.groups) or not blocks:
            raise CorruptObject(f"{name}: {len(blocks)} of {len(end.groups)} row groups are described", name=name)
        if any(one.end > size - len(tail) for group in end.groups for one in group.columns):
            raise CorruptObject(f"{name}: a column beyond the pages", name=name)
        index = ParquetIndex(_info(group, block) for group, block in zip(end.groups, blocks, strict=True))
    except (BadThrift, *UNREADABLE) as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    index.tail = tail
    return index


def _info(group: Group, block: tuple[str, str, int, int]) -> BlockInfo:
    offset = min((one.start for one in group.columns), default=0)
    return BlockInfo(
        first=block[0],
        last=block[1],
        offset=offset,
        size=max((one.end for one in group.columns), default=0) - offset,
        raw_size=group.raw_bytes,
        crc=0,
        count=block[2],
        tombstones=0,
        sum=block[3],
        expires=0,
    )


def decode_group(index: ParquetIndex, info: BlockInfo, stored: bytes, size: int, name: str) -> list[Record]:
    """The records of one row group. Raises ``CorruptObject`` naming the object, ``MissingExtra``."""
    arrow()
    import pyarrow.parquet as pq

    try:
        at = [one.offset for one in index].index(info.offset)
        pieces = [(size - len(index.tail), index.tail), (info.offset, stored)]
        group = read_end(index.tail[:-_TAIL_BYTES]).groups[at]
        coded = check_group(group, _physical(), info.count, info.offset, stored)
        file = pq.ParquetFile(_Pieces(size, pieces), read_dictionary=coded, page_checksum_verification=True)
        table = file.read_row_group(at)
        check_words(table, coded)
        records = [_record(*row) for row in zip(*_columns(table), strict=True)]
        check_versions(records, name)
    except MemoryError:  # that says nothing about the object
        raise
    except Exception as error:
        raise CorruptObject(f"{name}: the row group at {info.offset}: {error}", name=name) from error
    if len(records) != info.count or sum(map(record_sum, records)) != info.sum:
        raise CorruptObject(f"{name}: the row group at {info.offset} is not what was written", name=name)
    return records


def _physical() -> list[tuple[str, str]]:
    """Each column as it is stored."""
    return [(field.name, "INT64" if field.name in _NUMBERS else "BYTE_ARRAY") for field in schema()]


def _columns(table: Any) -> list[list[Any]]:
    import pyarrow as pa

    table = table.set_column(1, "ts", table.column(1).cast(pa.int64()))
    return [table.column(field.name).to_pylist() for field in schema()]


def _record(
    topic: str,
    ts: int,
    name: str,
    text: str | None,
    raw: bytes | None,
    kind: str,
    fold: int,
    lane: str,
    slot: int,
    version: bytes,
) -> Record:
    data = encode_data(msgspec.json.decode(text or "")).data if raw is None else raw
    return Record(
        audit_key(topic, ts, name), version, AUDIT | OPAQUE, 0, encode_value(AuditValue(data, kind, fold, lane, slot))
    )


def decode_whole(data: bytes, short: str, name: str) -> tuple[RunRef, ParquetIndex, list[list[Record]]]:
    """A whole file: its reference as ``short``, its row groups, and what is in them. Raises ``CorruptObject``."""
    at = tail_at(data)
    if at < 0:
        raise CorruptObject(f"{name}: no Parquet file", name=name)
    index = decode_tail(data[at:], len(data), name)
    groups = [decode_group(index, one, data[one.offset : one.offset + one.size], len(data), name) for one in index]
    return _ref(short, data, [(one.first, one.last, one.count, one.sum) for one in index]), index, groups
