"""Audit records into a Parquet file of their own, with the columns of the archives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO

from swampstore.errors import MissingExtra
from swampstore.values.audit import AuditRecord, audit_record
from swampstore.values.audit_parquet import available, schema, table_of
from swampstore.values.entry import Record
from swampstore.values.version import VERSION_BYTES

_ROWS = 20_000


def check_parquet() -> None:
    """Raise ``MissingExtra`` where no Parquet file can be written, before a place for one is made."""
    if not available():
        raise MissingExtra("writing a Parquet file needs pyarrow", hint="pip install 'swampstore[parquet]'")


def export_parquet(records: Iterable[AuditRecord], target: str | IO[bytes]) -> int:
    """Write ``records`` to the file ``target``, a few at a time; how many. Raises ``MissingExtra``, ``OSError``.

    An error in the middle leaves a file that is well formed and not complete: it is the caller's to remove.
    """
    check_parquet()
    import pyarrow.parquet as pq

    count = 0
    source = _stored(records)
    with pq.ParquetWriter(target, schema(), compression="zstd") as writer:
        while part := list(islice(source, _ROWS)):
            writer.write_table(table_of(part))
            count += len(part)
    return count


def _stored(records: Iterable[AuditRecord]) -> Iterator[Record]:
    for record in records:
        yield audit_record(record, bytes(VERSION_BYTES))
