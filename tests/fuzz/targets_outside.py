"""Decoders of what others programs and people hand over: archives as Parquet files, documents, cells of a state, files of
a spool; and runs as a rebuild reads them.
"""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from swampstore.env.blocking import run
from swampstore.values import audit_parquet
from swampstore.values.audit import AuditValue, audit_key, encode_value
from swampstore.values.audit_parquet import decode_whole, encode_parquet
from swampstore.values.entry import AUDIT, OPAQUE, Record
from swampstore.values.parquet_bounds import read_end, read_pages
from swampstore.values.thrift import BadThrift
from swampstore.workers.audit_spool import ABOUT, AuditSpool
from swampstore.workers.legacy.export import _Export
from swampstore.workers.salvage import read_run
from swampstore.workers.spool_place import store_folder
from swampstore.workers.sync.coming import _arrival
from swampstore_cli.commands.audit_append import _document
from swampstore_cli.poll_run import Ended
from swampstore_cli.poll_writing import _fits, _outputs
from tests.fuzz.mutate import EDGES, WORDS, Mutator, raw_bytes, text

NAME = "ns/obj"
URL = "file:///store"
More = tuple[str, Sequence[bytes], Mutator, Callable[[bytes], object]]


# --- Parquet ----------------------------------------------------------------------------------------------------------


@functools.cache
def archive() -> bytes:
    """A small file of two row groups, with values of every kind."""
    datas = [msgspec.msgpack.encode({"provider": "a", "n": 1}), b"\x00raw", msgspec.msgpack.encode([1.5, "é", None])]
    records = [
        Record(
            audit_key("decisions", 1_800_000_000_000 + at, f"id{at}"), bytes(23) + b"\1", AUDIT | OPAQUE, 0,
            encode_value(AuditValue(datas[at % 3], "mbm"[at % 3], 1, "s00", at + 1)),
        )
        for at in range(6)
    ]  # fmt: skip
    before, audit_parquet.GROUP_BYTES = audit_parquet.GROUP_BYTES, 200
    try:
        return encode_parquet("x.parquet", records)[1]
    finally:
        audit_parquet.GROUP_BYTES = before


def mutate_parquet(data: bytes, dice: random.Random) -> bytes:
    """Other bytes anywhere, mostly where the file describes itself; or another table in a file that is whole."""
    if dice.random() < 0.2:
        return raw_bytes(data, dice)
    if dice.random() < 0.5:
        at = audit_parquet.tail_at(data)
        tail = raw_bytes(data[at:-8], dice)
        return data[:at] + tail + len(tail).to_bytes(4, "little") + b"PAR1"
    return other_table(dice)


def other_table(dice: random.Random) -> bytes:
    """A file with other values, columns, or words about itself."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(archive()))
    said = dict(table.schema.metadata or {})
    for _ in range(dice.choice((1, 1, 2))):
        at = dice.randrange(table.num_columns)
        field = table.schema.field(at)
        if pa.types.is_dictionary(field.type):
            continue
        values = table.column(at).to_pylist()
        values[dice.randrange(len(values))] = dice.choice((None, values[0]))
        if pa.types.is_string(field.type):
            values[0] = dice.choice([*WORDS, "[" * 2000, None])
        elif pa.types.is_binary(field.type):
            values[0] = dice.choice((None, b"", b"\xff" * 24, dice.randbytes(9)))
        elif pa.types.is_integer(field.type):
            values[0] = dice.choice([edge for edge in EDGES if edge < 1 << 63] + [-1, -(1 << 63)])
        column = pa.array(values, field.type)
        match dice.randrange(6):
            case 0:
                column, field = column.dictionary_encode(), field.with_type(pa.dictionary(pa.int32(), field.type))
            case 1 if table.num_columns > 2:
                table = table.remove_column(at)
                continue
        table = table.set_column(at, field, column)
    blocks = said.get(b"swampstore.blocks", b"")
    said[b"swampstore.blocks"] = text(blocks, dice) if dice.random() < 0.4 else blocks
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema.with_metadata(said), compression=dice.choice(("zstd", "none"))) as writer:
        writer.write_table(table.replace_schema_metadata(said), row_group_size=dice.choice((2, 3, 6)))
    return bytes(sink.getvalue().to_pybytes())


def run_parquet(use: Callable[[Sequence[Record]], None]) -> Callable[[bytes], None]:
    def run_it(data: bytes) -> None:
        _, _, groups = decode_whole(data, "x.parquet", NAME)
        for records in groups:
            audit_parquet.table_of(records)
            use(records)

    return run_it


def run_pages(data: bytes) -> None:
    for read in (read_pages, read_end):
        try:
            read(data)  # type: ignore[operator]
        except BadThrift:
            continue


# --- runs as a rebuild reads them ------------------------------------------------------------------------------------


def run_salvage(data: bytes) -> None:
    read_run("shard/" + "0" * 32, data, NAME)


def run_salvage_parquet(data: bytes) -> None:
    read_run("audit/parquet/x/y/" + "0" * 32 + ".parquet", data, NAME)


# --- documents, cells, files ------------------------------------------------------------------------------------------


def run_document(data: bytes) -> None:
    _document(data, 1)


def run_output(data: bytes) -> None:
    assert any(_fits({"exit": 0} | shown) for shown in _outputs(Ended(0, data, b"", 0, 0.0, False, False)))


def run_arrival(data: bytes) -> None:
    word = data.decode("utf-8", "surrogateescape")
    for version, kept in ((word, data), ("ab" * 24, data), (word[:48], word)):
        _arrival(version, kept, NAME)  # type: ignore[arg-type]


def run_sequence(data: bytes) -> None:
    """What an export does with the index of an earlier one."""

    async def read(name: str) -> bytes:
        return data

    held: Any = SimpleNamespace(_sink=SimpleNamespace(read=read))
    run(_Export._sequence(held))


@functools.cache
def spool() -> tuple[AuditSpool, Path]:
    """A spool, and the file that says whose it is."""
    base = Path(tempfile.mkdtemp(prefix="swampstore-fuzz-"))
    return AuditSpool(base, URL, "ns", None), store_folder(base, URL) / ABOUT  # type: ignore[arg-type]


def run_about(data: bytes) -> None:
    one, file = spool()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    one.check()


def outside(runs: Sequence[bytes], use: Callable[[Sequence[Record]], None]) -> list[More]:
    """Name, seeds, mutator and run of each; ``runs`` are whole runs, ``use`` is what is done with records."""
    parquet = archive()
    at = audit_parquet.tail_at(parquet)
    return [
        ("Parquet archive", [parquet], mutate_parquet, run_parquet(use)),
        ("Parquet pages", [parquet[4:at], parquet[4:200], parquet[at:-8]], raw_bytes, run_pages),
        ("salvaged run", runs, raw_bytes, run_salvage),
        ("salvaged archive", [parquet], mutate_parquet, run_salvage_parquet),
        ("audit document", [b'{"a": [1, 2.5, null], "b": {"c": "d"}}', b"17"], text, run_document),
        ("output of a poll", [b'{"a": [1, 2.5e3, null, NaN]}', b"text", b"\xff"], text, run_output),
        ("file on its way", [b"ab" * 24, bytes(40)], text, run_arrival),
        ("earlier export", [b'{"version": 2, "partitions": ["a"], "commitSeq": 7}'], text, run_sequence),
        ("spool's owner", [b'{"format": 1, "store": "file:///store"}'], text, run_about),
    ]
