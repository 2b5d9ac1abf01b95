"""Objects of a few bytes or kilobytes that claim, or decode to, very much.

``python -m tests.fuzz.bombs ROOM guarded|open < BYTES`` decodes them, in a process that may take ``ROOM`` bytes more than
it has.
"""

from __future__ import annotations

import functools
import pickle
import sys
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any
from unittest import mock

import msgspec
import zstandard

from swampstore.errors import SwampError
from swampstore.values import audit_parquet, block, entry, plainyaml, root, run, segment
from swampstore.values.audit import shown
from swampstore.values.block import COLUMNS, RECORDS
from swampstore.values.entry import AUDIT, OPAQUE, Record, meta_of
from swampstore.values.frame import Kind
from swampstore.values.metadata import parse_metadata
from swampstore.values.run import BlockInfo, decode_block, decode_index
from swampstore.values.segment import SegmentHeader, decode_segment
from swampstore.values.tickets import decode_register
from swampstore.workers.legacy.entries import EntryReader
from tests.fuzz.engine import limit_memory
from tests.fuzz.mutate import frame

MIB = 1 << 20
VERSION = bytes(23) + b"\1"
RECORD = b"\x95\xa1a\xc4\0\0\0\xc4\0"
BLOCK = b"\x9a\xa0\xa0" + bytes(8)
COLUMN_BOMB = b"\x95\xdd" + (1_390_000).to_bytes(4) + b"\xa2ab" * 1_390_000 + b"\x90" * 4
GUARDS = [
    "settings of empty lists", "a root of garbage", "a segment of empty commits", "a segment of tiny records",
    "an index of tiny blocks", "an entry of empty lists", "a Parquet page of zeros", "a Parquet file of one long word",
    "a Parquet file of long beginnings",
]  # fmt: skip
"""Those that take more than there is when nothing is counted."""


def array(count: int, item: bytes, head: bytes = b"\xdd") -> bytes:
    """A msgpack array (or map) of that many equal items."""
    return head + count.to_bytes(4) + item * count


def root_with(**fields: bytes) -> bytes:
    """A root in which some fields hold given msgpack."""
    plain: dict[str, Any] = {"version": 3, "nonce": b"n" * 12}
    return frame(Kind.ROOT, 1, msgspec.msgpack.encode(plain | {k: msgspec.Raw(v) for k, v in fields.items()}))


def segment_of(records: bytes, commits: bytes = b"\x90") -> bytes:
    plain = SegmentHeader("s00", 1, b"writeid!", 1)
    head = msgspec.msgpack.encode({"l": plain.lane, "s": 1, "i": b"x", "t": 1, "k": msgspec.Raw(commits)})
    return frame(Kind.SEGMENT, 1, len(head).to_bytes(4) + head + records)


def zeros(size: int) -> bytes:
    """One zstd frame of that many zeros."""
    return zstandard.ZstdCompressor().compress(bytes(size))


def register_of(ranges: bytes) -> bytes:
    return frame(Kind.REGISTER, 1, msgspec.msgpack.encode({"queue": "q", "nonce": b"n", "ranges": msgspec.Raw(ranges)}))


def use_root(data: bytes) -> object:
    held = root.decode_root(data, "obj")
    return held, held.garbage


def use_segment(data: bytes) -> object:
    return decode_segment(data, "obj", "s00", 1)


def use_block(raw_size: int, stored: bytes, form: int = RECORDS) -> object:
    info = BlockInfo("", "~", 0, len(stored), raw_size, zlib.crc32(stored), 1, 0, 0, 0, form=form)
    return decode_block(info, stored, "obj")


def use_meta(extra: bytes) -> object:
    value = msgspec.msgpack.encode({"s": 0, "l": ["i", b""], "e": msgspec.Raw(b"\x81\xa1a" + extra)})
    return meta_of(Record("a", VERSION, 0, 0, value))


def use_audit(data: bytes) -> object:
    value = msgspec.msgpack.encode([data, "m"])
    return shown(Record("\0audit\0t\0800000000000\0i", VERSION, AUDIT | OPAQUE, 0, value))


def use_register(data: bytes) -> object:
    return decode_register(data, "obj")


def use_index(data: bytes) -> object:
    return decode_index(data, "obj")


def parquet_of(words: list[str], rows: int, **how: Any) -> bytes:
    """A file of that many rows whose records are ``words``, one after the other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = pa.DictionaryArray.from_arrays(
        pa.array([at % len(words) for at in range(rows)], pa.int32()), pa.array(words)
    )
    plain: dict[str, list[Any]] = {"topic": ["t"], "ts": [1], "id": ["i"], "raw": [None], "kind": ["m"], "fold": [1]}
    plain |= {"lane": ["s00"], "slot": [1], "version": [VERSION]}
    said = msgspec.json.encode([("\0audit\0t", "\0audit\0t\0~", rows, 0)]).decode()
    kinds = audit_parquet.schema()
    columns = [
        records.cast(pa.string()) if field.name == "record" and how.get("column_encoding") else
        records if field.name == "record" else pa.array(plain[field.name] * rows, field.type)
        for field in kinds
    ]  # fmt: skip
    table = pa.Table.from_arrays(columns, names=kinds.names)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink, table.schema, compression="zstd", write_page_checksum=True, store_schema=False, **how
    ) as writer:
        writer.add_key_value_metadata({"swampstore.blocks": said})
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def use_parquet(data: bytes) -> object:
    return audit_parquet.decode_whole(data, "x", "obj")


def use_parquet_tail(data: bytes) -> object:
    return audit_parquet.decode_tail(data, 1 << 33, "obj")


def use_yaml(data: bytes) -> object:
    return parse_metadata(data, "obj", version=1)


def use_legacy(data: bytes) -> object:
    reader = EntryReader("obj")
    found = reader.feed(data)
    reader.finish()
    return found


@functools.cache
def make() -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """The bytes of every bomb, and what is done with them."""
    chain = "".join(f"{c}: &{c} [*{p},*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    return {
        "settings of empty lists": (root_with(settings=b"\x81\xa1a" + array(7 * MIB, b"\x90")), use_root),
        "a root of closed lanes": (root_with(closed=array(2_700_000, b"\xa2ab")), use_root),
        "a root of garbage": (root_with(garbage=array(1_900_000, b"\x93\xa0\0\0")), use_root),
        "a root of slots": (root_with(shared=b"\x81\xa3s00" + array(1_900_000, b"\x92\1\xc4\0")), use_root),
        "a root of settled lanes": (root_with(settling=b"\x92\1" + array(1_500_000, b"\xa3abc\1", b"\xdf")), use_root),
        "a root of runtime state": (root_with(eph=b"\x81\xa6inline" + array(850_000, RECORD)), use_root),
        "a root that decodes to 64 MB": (frame(Kind.ROOT, 1, bytes(64 * MIB)), use_root),
        "a segment of empty commits": (segment_of(b"\x90", array(2 * MIB - 200, b"\x80")), use_segment),
        "a segment of a great header": (
            segment_of(b"\x90", b"\x91\x81\xa1f" + array(5_000_000, b"\xa2ab")),
            use_segment,
        ),
        "a segment of names": (segment_of(b"\x90", b"\x91\x81\xa1f" + array(690_000, b"\xa2ab")), use_segment),
        "a segment of tiny records": (segment_of(array(1_800_000, RECORD)), use_segment),
        "an index of tiny blocks": (frame(Kind.RUN_INDEX, 1, array(1_300_000, BLOCK)), use_index),
        "a block of zeros": (zeros(4 * MIB), partial(use_block, 4 * MIB)),
        "a block of short names": (
            zstandard.ZstdCompressor().compress(COLUMN_BOMB),
            partial(use_block, len(COLUMN_BOMB), form=COLUMNS),
        ),
        "a block that claims more": (zeros(4 * MIB), partial(use_block, 1 << 40)),
        "an entry of empty lists": (array(1_000_000, b"\x90"), use_meta),
        "audit data of empty lists": (array(1_000_000, b"\x90"), use_audit),
        "a register of ranges": (register_of(array(340_000, b"\x92\5\5")), use_register),
        "a Parquet page of zeros": (parquet_of(["0" * 80 * MIB], 1, use_dictionary=False), use_parquet),
        "a Parquet file of one long word": (parquet_of(["x" * 100_000], 60_000), use_parquet),
        "a Parquet file of long beginnings": (
            parquet_of(["x" * 100_000], 2_000, use_dictionary=False, column_encoding={"record": "DELTA_BYTE_ARRAY"}),
            use_parquet,
        ),
        "a Parquet file of a great end": (bytes(64) + b"\xff\xff\xff\xff" + b"PAR1", use_parquet_tail),
        "YAML, deep": (b"[" * 100_000, use_yaml),
        "YAML, aliases": (b"a: &a [x,x,x]\n" + chain.encode(), use_yaml),
        "YAML, wide": (b"x: [" + b"[]," * 85_000 + b"[]]", use_yaml),
        "a legacy index of brackets": (b'{"version": 1, "entries": {"a": ' + b"[" * MIB, use_legacy),
        "a legacy index of one entry": (b'{"version": 1, "entries": {"a": "' + b"x" * (8 * MIB), use_legacy),
    }


def open_guards(stack: ExitStack) -> None:
    """Take the guards away."""
    for module in (segment, run, block):
        stack.enter_context(mock.patch.object(module, "check_count", return_value=None))
    stack.enter_context(mock.patch.object(audit_parquet, "check_group", return_value=[]))
    stack.enter_context(mock.patch.object(root, "too_many", return_value=""))
    stack.enter_context(mock.patch.object(entry, "META_BYTES", 1 << 40))
    stack.enter_context(mock.patch.object(segment, "SEGMENT_HEADER_BYTES", 1 << 40))


def main(room: int, how: str) -> None:
    bombs: dict[str, tuple[bytes, Callable[[bytes], object]]] = pickle.loads(sys.stdin.buffer.read())
    plainyaml.load("a: b")  # imports the parser
    with suppress(SwampError):
        use_parquet(parquet_of(["1"], 3))  # and this library, which reserves what it may need
    with ExitStack() as stack:
        if how == "open":
            open_guards(stack)
        limit_memory(room)
        for name, (data, use) in bombs.items():
            try:
                use(data)
            except (SwampError, ValueError) as error:
                print(f"{name}: {type(error).__name__} refused")
            except MemoryError:
                print(f"{name}: MemoryError")
            else:
                print(f"{name}: taken in")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
