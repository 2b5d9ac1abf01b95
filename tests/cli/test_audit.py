"""The ``swamp audit`` commands."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from swampstore.client import audit_delivery, audit_export
from swampstore.errors import StoreUnavailable
from swampstore.values import audit_parquet
from swampstore.workers import archive_sort
from tests.cli.conftest import Swamp

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def some(swamp: Swamp) -> list[str]:
    """Three records; their ids."""
    lines = b'{"provider": "a", "cost": 3}\n{"provider": "b", "cost": 30, "by": {"name": "x"}}\n{"provider": "a"}\n'
    done = swamp("audit", "append", "decisions", "--lines", "--json", stdin=lines)
    assert done.code == 0, done.err
    return list(done.document["ids"])


def test_a_record_is_written_and_found(swamp: Swamp, some: list[str]) -> None:
    done = swamp("audit", "query", "decisions", "--json")
    assert [one["id"] for one in done.document["records"]] == some
    assert done.document["records"][0]["record"] == {"provider": "a", "cost": 3}
    assert swamp("audit", "query", "decisions").out.count("\n") == 3
    assert swamp("audit", "query", "none", "--json").document == {"topic": "none", "records": []}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (["provider=a"], [0, 2]),
        (["cost>=3"], [0, 1]),
        (["cost>3"], [1]),
        (["cost<30", "provider=a"], [0]),
        (["by.name=x"], [1]),
        (["by.name!=x"], [0, 2]),
        (["provider~b"], [1]),
        (["provider==a"], [0, 2]),
        (["cost=three"], []),
        (["provider>1"], []),
        (["cost=true"], []),
    ],
)
def test_records_are_chosen_by_their_fields(swamp: Swamp, some: list[str], where: list[str], found: list[int]) -> None:
    flags = [part for text in where for part in ("--where", text)]
    done = swamp("audit", "query", "decisions", "--json", *flags)
    assert [one["id"] for one in done.document["records"]] == [some[at] for at in found]


@pytest.mark.parametrize("slip", ["cost>>2", "cost=>2", "cost=<2", "cost===2", "provider=~a", "cost >= > 2"])
def test_a_condition_with_two_signs_is_refused(swamp: Swamp, some: list[str], slip: str) -> None:
    done = swamp("audit", "query", "decisions", "--where", slip, "--json")
    assert (done.code, done.error["error"]) == (2, f"{slip!r} has two signs")
    meant = done.error["hint"].partition(": ")[2]
    assert swamp("audit", "query", "decisions", "--where", meant).code == 0


def test_query_writes_other_formats(swamp: Swamp, some: list[str], tmp_path: Path) -> None:
    lines = swamp("audit", "query", "decisions", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == some
    rows = list(csv.DictReader(io.StringIO(swamp("audit", "query", "decisions", "--format", "csv").out)))
    assert [row["id"] for row in rows] == some
    assert json.loads(rows[1]["record"])["cost"] == 30
    target = tmp_path / "x.parquet"
    assert swamp("audit", "query", "decisions", "-o", target, "--limit", "2").code == 0
    import pyarrow.parquet as pq

    table = pq.read_table(target)
    assert table.column("id").to_pylist() == some[:2]
    assert swamp("audit", "query", "decisions", "--format", "xml").code == 2
    assert swamp("audit", "query", "decisions", "--format", "parquet").code == 2
    assert swamp("audit", "query", "decisions", "--limit", "0").code == 2
    assert swamp("audit", "query", "decisions", "--where", "nonsense").code == 2


def test_times(swamp: Swamp) -> None:
    for text, when in (("old", "2020-01-01"), ("new", "2020-01-03")):
        assert swamp("audit", "append", "t", "--text", text, "--time", when).code == 0
    done = swamp("audit", "query", "t", "--since", "2020-01-01", "--until", "2020-01-02", "--json")
    assert [one["record"] for one in done.document["records"]] == ["old"]
    assert swamp("audit", "query", "t", "--since", "soon").code == 2
    twice = ["audit", "append", "t", "--text", "once", "--id", "x", "--time", "2020-02-01T00:00Z"]
    assert (swamp(*twice).code, swamp(*twice).code) == (0, 0)
    assert len(swamp("audit", "query", "t", "--json").document["records"]) == 3
    assert swamp("audit", "append", "t", "--text", "x", "--id", "x").code == 2


def test_bad_input_is_refused(swamp: Swamp, tmp_path: Path) -> None:
    assert swamp("audit", "append", "t", stdin=b"not json").code == 2
    assert swamp("audit", "append", "t", "--raw", stdin=b"\xff\0").code == 0
    assert swamp("audit", "query", "t", "--json").document["records"][0]["base64"] == "/wA="
    for topic in ("", "a\nb", "x" * 300):
        assert swamp("audit", "append", topic, "--text", "x").code == 2
    too_large = tmp_path / "large"
    too_large.write_bytes(b"x" * 300_000)
    done = swamp("audit", "append", "t", too_large, "--raw", "--json")
    assert (done.code, done.error["code"]) == (2, "too-large")
    assert swamp("audit", "append", "t", "--lines", stdin=b"\n\n").code == 2
    assert swamp("audit", "append", "t", "--text", "x", "--when-down", "never").code == 2
    assert swamp("audit", "append", "t", "--text", "x", "--raw").code == 2
    assert swamp("audit", "append", "t", "--lines", "--id", "x", "--time", "1d", stdin=b"1\n2\n").code == 2


def test_tail_and_positions(swamp: Swamp, some: list[str]) -> None:
    done = swamp("audit", "tail", "decisions", "-n", "2", "--json")
    assert [one["id"] for one in done.document["records"]] == some[1:]
    empty = swamp("audit", "tail", "decisions", "--after", "{}", "--json").out.splitlines()
    position = json.loads(empty[-1])["position"]
    assert len(empty) == 4
    swamp("audit", "append", "decisions", "--text", "late", "--time", "2020-01-01")
    lines = swamp("audit", "tail", "decisions", "--after", position, "--json").out.splitlines()
    assert [json.loads(line).get("record") for line in lines] == ["late", None]
    assert swamp("audit", "tail", "decisions", "--after", "nonsense").code == 2
    assert swamp("audit", "tail", "decisions", "-n", "0").out == ""


def test_tail_tells_where_to_go_on(swamp: Swamp, some: list[str]) -> None:
    position = swamp("audit", "tail", "decisions", "-n", "1", "--json").document["position"]
    swamp("audit", "append", "decisions", "--text", "late", "--time", "2020-01-01")
    lines = swamp("audit", "tail", "decisions", "--after", position, "--json").out.splitlines()
    assert [json.loads(line).get("record") for line in lines] == ["late", None]


@pytest.mark.parametrize("line", [("query", "t"), ("tail", "t"), ("topics",)])
def test_a_namespace_that_does_not_exist_is_an_error(swamp: Swamp, some: list[str], line: tuple[str, ...]) -> None:
    assert swamp("audit", *line).code == 0
    done = swamp("audit", *line, "--namespace", "slip", "--json")
    assert (done.code, done.error["code"]) == (1, "not-found")


def test_a_bad_line_is_named_and_nothing_is_written(swamp: Swamp, some: list[str]) -> None:
    done = swamp("audit", "append", "t", "--lines", stdin=b'{"a": 1}\n\n{bad\n')
    assert done.code == 2
    assert "line 3 is no JSON" in done.err
    done = swamp("audit", "append", "t", '{"a":1}', "--json")
    assert (done.code, done.error["code"], "--text" in done.error["hint"]) == (1, "not-found", True)
    assert "input is empty" in swamp("audit", "append", "t", stdin=b"\n").err
    assert swamp("audit", "query", "t").out == ""


def test_compaction_tells_what_it_archived(swamp: Swamp) -> None:
    swamp("audit", "append", "t", "--lines", stdin=b"1\n" * 600)
    assert "archived 600 audit records in 1 file" in swamp("datastore", "compact").out
    assert "nothing to do" in swamp("datastore", "compact").out


def test_without_pyarrow_it_is_said_before_and_where_it_is_needed(
    swamp: Swamp, some: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (audit_parquet, audit_export, archive_sort):
        monkeypatch.setattr(module, "available", lambda: False)
    done = swamp("audit", "export", tmp_path / "x.parquet", "--json")
    assert (done.code, done.error["error"]) == (1, "writing a Parquet file needs pyarrow")
    done = swamp("audit", "format", "parquet")
    assert (done.code, done.out) == (0, "parquet\n")
    assert "pyarrow is not installed here" in done.err
    swamp("audit", "append", "t", "--lines", stdin=b"1\n" * 600)
    assert "has no pyarrow: they wait to be sorted" in swamp("datastore", "compact").out


def test_topics_and_export(swamp: Swamp, some: list[str], tmp_path: Path) -> None:
    swamp("audit", "append", "other", "--text", "x")
    found = swamp("audit", "topics", "--json").document["topics"]
    assert [(one["topic"], one["records"]) for one in found] == [("decisions", 3), ("other", 1)]
    assert "decisions" in swamp("audit", "topics").out
    target = tmp_path / "all.csv"
    assert swamp("audit", "export", target, "--json").document["records"] == 4
    assert len(target.read_text().splitlines()) == 5
    assert swamp("audit", "export", "-", "--topic", "other").out.count("\n") == 1
    swamp("datastore", "compact")
    assert swamp("audit", "export", tmp_path / "all.parquet", "--json").document["records"] == 4


def test_sql_and_format(swamp: Swamp, some: list[str]) -> None:
    assert swamp("audit", "format").out == "blocks\n"
    assert swamp("audit", "format", "parquet").code == 0
    swamp("datastore", "compact")
    swamp("audit", "append", "decisions", "--text", "not archived yet")
    query = "select record->>'$.provider' as p, count(*) as n from audit group by p order by p"
    done = swamp("audit", "sql", query, "--json")
    assert done.document["rows"] == [{"p": "a", "n": 2}, {"p": "b", "n": 1}, {"p": None, "n": 1}]
    assert "p  n" in swamp("audit", "sql", query).out
    assert swamp("audit", "sql", query, "--format", "csv").out.splitlines()[0] == "p,n"
    assert swamp("audit", "sql", "select ts from audit limit 1", "--format", "jsonl").code == 0
    refused = swamp("audit", "sql", "selekt")
    assert refused.code == 2
    assert "\\n" not in refused.err
    assert swamp("audit", "sql", " ", "--json").error["code"] == "misuse"
    assert swamp("audit", "format", "csv").code == 2
    assert "parquet" in swamp("datastore", "status", "--namespace", "default").out


def test_a_store_that_does_not_answer(swamp: Swamp, monkeypatch: pytest.MonkeyPatch) -> None:
    assert swamp("audit", "append", "t", "--text", "first").code == 0

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no route")

    with monkeypatch.context() as cut:
        cut.setattr(audit_delivery.Delivery, "_append", away)
        done = swamp("audit", "append", "t", "--text", "second", "--json")
        assert (done.code, done.document["spooled"], done.document["durable"]) == (76, True, True)
        assert "waits on this machine" in swamp("audit", "append", "t", "--text", "third").out
        several = swamp("audit", "append", "many", "--lines", stdin=b"1\n2\n").out
        assert several == "2 records wait on this machine for the store\n"
        named = ("--id", "a-1", "--time", "2026-11-01T00:00Z")
        failed = swamp("audit", "append", "t", "--text", "x", "--when-down", "fail", "--json", *named).error
        told = {name: failed.get(name) for name in ("code", "ids", "times")}
        assert told == {"code": "not-delivered", "ids": ["a-1"], "times": [1_793_491_200_000]}
        cut.setattr(audit_delivery.Spools, "close", away)
    shown = swamp("audit", "drain", "--show", "--json").document["spools"]
    assert shown == [] or shown[0]["spool"]["records"] == 4
    swamp("audit", "drain")
    assert [one["record"] for one in swamp("audit", "query", "t", "--json").document["records"]] == [
        "first",
        "second",
        "third",
    ]
    assert swamp("audit", "drain").out == "nothing waits on this machine\n"


def test_status_and_doctor_say_what_waits(swamp: Swamp, monkeypatch: pytest.MonkeyPatch) -> None:
    swamp("object", "put", "k", stdin=b"v")

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no route")

    async def no_probe(*_: Any) -> bool:
        return False

    monkeypatch.setattr(audit_delivery.Delivery, "_append", away)
    monkeypatch.setattr(audit_delivery.Spools, "probe", no_probe)
    assert swamp("audit", "append", "t", "--text", "x").code == 76
    assert "1 audit record in 1 write" in swamp("datastore", "status").out
    assert swamp("datastore", "status", "--json").document["namespaces"][0]["spool"]["records"] == 1
    assert "spool-waiting" in swamp("datastore", "doctor").out
    assert "wait on this machine" in swamp("audit", "drain", "--show").out
