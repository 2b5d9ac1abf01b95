"""SQL over audit records, by DuckDB (extra ``sql``): one view of everything, archived or not.

Parquet archives of a local store are read where they lie, those of a bucket are fetched first; everything else (archives of
the library's own format, records in the log) is written into temporary Parquet files. They go when the answer is there;
those of a process that was killed go with the next query of this user.

    audit         each record once: topic, ts (UTC), id, record (JSON), raw, kind, fold, lane, slot
    audit_files   the same without looking for second copies: faster, for large scans

Of different contents under one id and time, which are a caller's fault, ``audit`` has any one, a read the first: to look
which was first makes every scan more than twice as long.

Invariants: what is queried is one snapshot; every record acknowledged before it is in it. Archives that were fetched have
their hash; those that are read where they lie are looked at, whether this program knows their form, and trusted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from swampstore.client.core import CoreNamespace
from swampstore.client.scratch import scratch_folder
from swampstore.errors import CorruptObject, MissingExtra, Misuse, NotFound, SnapshotExpired
from swampstore.limits import READ_RESTARTS
from swampstore.protocols.archive_runs import load_archive_indexes
from swampstore.protocols.archives import Archives
from swampstore.protocols.audit_topics import topics as all_topics
from swampstore.protocols.place import Place
from swampstore.protocols.runs import RunGone, run_body
from swampstore.protocols.snapshot import Snapshot
from swampstore.stores.base import Get
from swampstore.values.audit import check_time, check_topic, topic_span
from swampstore.values.audit_parquet import decode_tail, schema, table_of
from swampstore.values.entry import Record
from swampstore.values.root import RunRef

_ROWS = 50_000
_FETCH = 8
_FOLDERS = "swampstore-sql-"
_GLOB = re.compile(r"[*?\[]")
_COLUMNS = "topic, epoch_ms(epoch_ms(ts)) AS ts, id, record, raw, kind, fold, lane, slot"


class SqlAnswer(msgspec.Struct, frozen=True):
    """The columns of an answer, and its rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def duckdb() -> Any:
    """The module. Raises ``MissingExtra``."""
    try:
        import duckdb
        import pyarrow  # noqa: F401 (what the records are handed over in)
    except ImportError as error:
        raise MissingExtra("SQL needs DuckDB and pyarrow", hint="pip install 'swampstore[sql]'") from error
    return duckdb


async def audit_sql(
    core: CoreNamespace, query: str, *, topics: Sequence[str] | None, since: object, until: object
) -> SqlAnswer:
    """Raises ``Misuse`` for a query that DuckDB refuses, ``MissingExtra``, ``SnapshotExpired``."""
    core.owner.check()
    module = duckdb()
    begin, end = (None if time is None else check_time(time) for time in (since, until))
    names = None if topics is None else [check_topic(topic) for topic in topics]
    with scratch_folder(_FOLDERS) as folder:
        files = await _gathered(core, folder, names, begin, end)
        connection = module.connect(":memory:")
        try:
            connection.execute("SET enable_progress_bar = false")  # it goes to standard output, into the answer
            connection.execute("SET temp_directory = ?", [str(folder)])
            connection.execute(f"CREATE VIEW audit_files AS SELECT {_COLUMNS} FROM read_parquet({_listed(files)})")
            connection.execute("CREATE VIEW audit AS SELECT DISTINCT ON (topic, ts, id) * FROM audit_files")
            answer = connection.execute(query)
            if answer is None:
                raise Misuse("that is no query", hint="such as select topic, count(*) from audit group by topic")
            columns = tuple(one[0] for one in answer.description or ())
            return SqlAnswer(columns, answer.fetchall())
        except module.Error as error:
            said = str(error).partition("\n\nLINE")[0]  # behind it a caret below the query, which needs lines
            raise Misuse(
                f"DuckDB: {' '.join(said.split())}", hint="the view audit has topic, ts, id, record (JSON)"
            ) from error
        finally:
            connection.close()


def _listed(files: Sequence[Path]) -> str:
    """The files as DuckDB reads a list: what stands for other characters in it is made to stand for itself."""
    quoted = ("'" + _GLOB.sub(r"[\g<0>]", str(path)).replace("'", "''") + "'" for path in files)
    return f"[{', '.join(quoted)}], hive_partitioning = false"


async def _gathered(
    core: CoreNamespace, folder: Path, names: Sequence[str] | None, since: int | None, until: int | None
) -> list[Path]:
    """Files with everything that is asked for, in ``folder`` or where they lie."""
    archives = Archives(core.place, core.reader)
    for last in range(READ_RESTARTS, 0, -1):
        snapshot = await archives.open()
        try:
            wanted = names if names is not None else [one.topic for one in await all_topics(archives, snapshot)]
            found = [_loose_file(folder, 0, [])]
            for number, topic in enumerate(wanted, 1):
                low, high = topic_span(topic, since, until)
                refs = await archives.parquet_files(snapshot, topic, low, high)
                found += await _fetched(core.place, folder, refs)
                found += await _written(archives, snapshot, topic, folder, number, low, high)
            return found
        except (RunGone, NotFound) as error:
            if last == 1:
                raise SnapshotExpired(f"the archives moved on during every read: {error}") from error
    raise AssertionError("unreachable")


async def _fetched(place: Place, folder: Path, refs: Sequence[RunRef]) -> list[Path]:
    root = place.store.url.removeprefix("file://")  # a path as it is: nothing of it is quoted
    if root != place.store.url and "\\" not in root:  # which DuckDB takes for a slash where it looks for a pattern
        await load_archive_indexes(place, refs)  # DuckDB would not notice an archive of another form
        return [Path(root) / place.full(ref.name) for ref in refs]
    found: list[Path] = []
    for start in range(0, len(refs), _FETCH):
        part = refs[start : start + _FETCH]
        for ref, answer in zip(part, await place.store.many([Get(place.full(ref.name)) for ref in part]), strict=True):
            path = folder / ref.name.rpartition("/")[2]
            path.write_bytes(_checked(run_body(answer, ref.name), ref, place.full(ref.name)))
            found.append(path)
    return found


def _checked(body: bytes, ref: RunRef, name: str) -> bytes:
    """``body`` if it is what was archived. Raises ``CorruptObject``, ``UnknownFormat``."""
    decode_tail(body[ref.index_at :], len(body), name)
    if hashlib.sha256(body).digest() != ref.digest:
        raise CorruptObject(f"{name} is not what was archived: its hash differs", name=name)
    return body


async def _written(
    archives: Archives, snapshot: Snapshot, topic: str, folder: Path, number: int, low: str, high: str
) -> list[Path]:
    """Temporary files with what lies in no Parquet archive."""
    found: list[Path] = []
    held: list[Record] = []
    async for records in archives.chunks(snapshot, topic, low, high, parquet=False):
        held += records
        if len(held) >= _ROWS:
            found.append(_loose_file(folder, f"{number}-{len(found)}", held))
            held = []
    return [*found, _loose_file(folder, f"{number}-{len(found)}", held)] if held else found


def _loose_file(folder: Path, name: object, records: Sequence[Record]) -> Path:
    import pyarrow.parquet as pq

    path = folder / f"loose-{name}.parquet"
    pq.write_table(table_of(records) if records else schema().empty_table(), path)
    return path
