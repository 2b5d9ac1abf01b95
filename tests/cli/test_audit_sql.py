"""``swamp audit sql``: what the answers of DuckDB become in JSON, CSV and tables."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from swampstore_cli.main import main
from swampstore_cli.sql_cells import names_apart
from tests.cli.conftest import Swamp


@pytest.fixture(autouse=True)
def some(swamp: Swamp, store: Path) -> None:
    swamp("audit", "append", "t", "--text", "x")
    swamp("audit", "append", "t", "--raw", stdin=b"\xff\0")


def one_row(swamp: Swamp, query: str) -> list[Any]:
    """The cells of the one row, the same as JSON and as lines of JSON, with as many columns."""
    document = swamp("audit", "sql", query, "--json").document
    (row,) = document["rows"]
    assert list(row) == document["columns"]
    assert json.loads(swamp("audit", "sql", query, "--format", "jsonl").out) == row
    return list(row.values())


def as_csv(swamp: Swamp, query: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(swamp("audit", "sql", query, "--format", "csv").out)))


def strictly(text: str) -> Any:
    """JSON without the words that only Python knows."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_a_time_with_a_zone_is_an_answer(swamp: Swamp) -> None:
    (found,) = one_row(swamp, "select timestamptz '2026-11-01 10:00+02' as at")
    assert datetime.fromisoformat(found) == datetime(2026, 11, 1, 8, tzinfo=UTC)


def test_what_is_no_number_is_null(swamp: Swamp) -> None:
    query = "select 'nan'::double as a, ['inf'::double, 1.5] as b, sum(9223372036854775807::hugeint * 4) as c"
    assert one_row(swamp, query) == [None, [None, 1.5], 9223372036854775807 * 4]
    strictly(swamp("audit", "sql", query, "--json").out)


def test_records_with_what_is_no_number_are_json_all_the_same(swamp: Swamp, store: Path) -> None:
    import swampstore

    with swampstore.open(str(store)) as opened:
        opened.namespace("default").audit("nan").write({"a": float("nan"), "b": [float("-inf"), 1.5]})
    (record,) = strictly(swamp("audit", "query", "nan", "--json").out)["records"]
    assert record["record"] == {"a": None, "b": [None, 1.5]}


def test_bytes_are_base64(swamp: Swamp) -> None:
    query = "select raw, {'in': [raw]} as deep from audit where raw is not null"
    assert one_row(swamp, query) == ["/wA=", {"in": ["/wA="]}]
    assert as_csv(swamp, query) == [["raw", "deep"], ["/wA=", '{"in":["/wA="]}']]
    assert "/wA=" in swamp("audit", "sql", query).out


def test_columns_of_one_name_are_kept_apart(swamp: Swamp) -> None:
    assert one_row(swamp, "select 1 as a, 2 as a, 3 as a_1, 4 as a") == [1, 2, 3, 4]
    assert as_csv(swamp, "select 1 as a, 2 as a") == [["a", "a_1"], ["1", "2"]]
    assert names_apart(["a", "a", "a_1", "a"]) == ["a", "a_2", "a_1", "a_3"]


@pytest.mark.parametrize(
    "line",
    [
        ["audit", "--help"],
        *(["audit", "sql", "select repeat('x', 100) from range(2000)", "--format", form] for form in ("csv", "jsonl")),
        ["audit", "query", "t", "--format", "csv"],
    ],
    ids=["help", "sql-csv", "sql-jsonl", "query"],
)
def test_a_reader_that_goes_away_ends_it(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with monkeypatch.context() as gone:
        gone.setattr(sys, "stdout", open(writing, "w"))  # noqa: SIM115
        gone.setattr(sys, "stderr", sys.stderr)  # typer replaces both
        with pytest.raises(SystemExit) as ended:
            raise SystemExit(main(line))
    assert ended.value.code == 141
