"""Audit records as rows: for people, as lines of JSON, as CSV, and as a Parquet file."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from swampstore.errors import Misuse
from swampstore_cli import output
from swampstore_cli.moments import moment_ms
from swampstore_cli.whole_file import replacing

if TYPE_CHECKING:
    from swampstore.values.audit import AuditRecord

FORMATS = ("jsonl", "csv", "parquet")
COLUMNS = ("topic", "ts", "time", "id", "record", "base64")
"""Of CSV: either ``record`` (JSON) or ``base64`` (bytes) is filled."""
_TEXT = 100


def check_one_form(form: str, *, json: bool) -> None:
    """Raise ``Misuse`` for ``--format`` beside ``--json``: standard output has one of them."""
    if json and form:
        raise Misuse(f"--json and --format {form} are two forms for one output", hint="leave one of them out")


def row(record: AuditRecord) -> dict[str, Any]:
    """A record as a JSON object; bytes that are no text stand in ``base64``."""
    shown = {"topic": record.topic, "ts": record.ts, "time": time_of(record.ts), "id": record.id}
    if isinstance(record.data, bytes):
        return shown | {"base64": base64.b64encode(record.data).decode()}
    return shown | {"record": record.data}


def time_of(ms: int) -> str:
    """A time in UTC to the ms; for years that no calendar here knows the number of ms."""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def text_of(record: AuditRecord) -> str:
    """What was written, as one line of JSON; bytes as a text that says so."""
    if isinstance(record.data, bytes):
        return f"{len(record.data)} bytes {record.data[:_TEXT]!r}"
    return compact(record.data)


def compact(data: Any) -> str:
    """``data`` as JSON without blanks; what JSON does not know as the text of it."""
    import msgspec

    return msgspec.json.encode(data, enc_hook=str).decode()


def show(records: Iterable[AuditRecord]) -> int:
    """Records for people, one a line; how many there were."""
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007 (counted)
        output.line(f"{time_of(record.ts)}  {output.printable(record.topic)}  {output.printable(text_of(record))}")
    return count


def write(records: Iterable[AuditRecord], form: str, target: str) -> int:
    """Write records to the file ``target`` (``-``: standard output) as they come; how many. Raises ``Misuse``.

    The file is there once all of them are in it; see :mod:`swampstore_cli.whole_file`.
    """
    if form not in FORMATS:
        raise Misuse(f"--format {form!r}", hint=f"one of {', '.join(FORMATS)}")
    if form == "parquet":
        from swampstore.client.audit_export import check_parquet, export_parquet

        if target == "-":
            raise Misuse("a Parquet file cannot go to standard output", hint="name a file with --output")
        check_parquet()
        with replacing(target) as file:
            return export_parquet(records, file)
    with _opened(target) as text:
        return _jsonl(records, text) if form == "jsonl" else _csv(records, text)


@contextmanager
def _opened(target: str) -> Iterator[IO[str]]:
    if target == "-":
        yield sys.stdout
        return
    import io

    with replacing(target) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        try:
            yield text
        finally:
            text.detach()


def _jsonl(records: Iterable[AuditRecord], file: IO[str]) -> int:
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007
        _put(file, compact(row(record)) + "\n")
    return count


def _csv(records: Iterable[AuditRecord], file: IO[str]) -> int:
    count = 0
    line = csv_line(COLUMNS)
    for count, record in enumerate(records, 1):  # noqa: B007
        _put(file, line)
        data = row(record)
        if "record" in data:
            data["record"] = compact(data["record"])
        line = csv_line([data.get(name, "") for name in COLUMNS])
    _put(file, line)
    return count


def csv_line(cells: Sequence[Any]) -> str:
    """A line of CSV; written like all other output, so that a reader who goes away is noticed."""
    import csv
    import io

    held = io.StringIO()
    csv.writer(held).writerow(cells)
    return held.getvalue()


def _put(file: IO[str], text: str) -> None:
    try:
        file.write(text)
    except BrokenPipeError:
        output.reader_gone()


def span(since: str, until: str) -> tuple[int | None, int | None]:
    """The times of ``--since`` and ``--until`` in ms. Raises ``Misuse``."""
    return (
        moment_ms(since, "--since") if since else None,
        moment_ms(until, "--until") if until else None,
    )
