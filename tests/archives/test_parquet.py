"""Parquet archives: they give back what went in, bear hostile names, and are read in place by other programs."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.env.blocking import run
from swampstore.errors import BadConfig, BadName, CorruptObject, MissingExtra, Misuse
from swampstore.stores.names import check_name
from swampstore.values import audit_parquet
from swampstore.values.audit import AuditRecord, audit_record, check_topic, key_parts, shown, stamped
from swampstore.values.audit_parquet import (
    decode_group,
    decode_tail,
    decode_whole,
    encode_parquet,
    file_part,
    tail_at,
    topic_folder,
)
from swampstore.values.names import Names
from swampstore.values.version import make_version
from swampstore.workers import archive, archive_sort

HOSTILE = [
    "a/b",
    "..",
    ".",
    "a=b",
    "day=1",
    "%2F",
    "A",
    "a",
    "é ü",
    "日本" * 30,
    "x" * 256,
    "~",
    "a b c",
    "-",
    "'\"\\",
]
VALUES: list[Any] = [
    {"n": 1, "s": "é", "l": [1, 2.5, None, True]},
    b"\0raw\xff",
    b"",
    "text",
    5,
    -(2**63),
    2**64 - 1,
    1.5,
    math.inf,
    None,
    [],
    {"deep": {"b": b"bytes", "t": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}},
    {"z": 1, "a": 2},
]


def records(count: int = 1, topic: str = "t") -> list[Any]:
    made = []
    for number in range(count):
        for at, value in enumerate(VALUES):
            record = AuditRecord(topic=topic, id=f"{at:03d}", ts=1_800_000_000_000 + number, data=value)
            made.append(stamped(audit_record(record, make_version(at + 1, bytes(12), number)), 7, "s01", number + 1))
    return sorted(made, key=lambda record: record.key)


def test_a_file_gives_back_exactly_what_went_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_parquet, "GROUP_ROWS", 5)
    made = records(3)
    ref, data = encode_parquet("audit/x.parquet", made)
    again, index, groups = decode_whole(data, "audit/x.parquet", "x")
    assert again == ref
    assert [record for group in groups for record in group] == made
    assert len(index) == math.ceil(len(made) / 5)
    tail = decode_tail(data[tail_at(data) :], len(data), "x")
    for info in tail:
        group = decode_group(tail, info, data[info.offset : info.offset + info.size], len(data), "x")
        assert (group[0].key, group[-1].key, len(group)) == (info.first, info.last, info.count)
    assert [shown(record).data for record in made if key_parts(record.key)[2] == "001"] == [b"\0raw\xff"] * 3


def test_groups_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_parquet, "GROUP_BYTES", 300)
    _, data = encode_parquet("audit/x.parquet", records(2))
    assert len(decode_whole(data, "audit/x.parquet", "x")[1]) > 3


def test_damage_is_found_and_named() -> None:
    _, data = encode_parquet("audit/x.parquet", records(4))
    bad = 0
    for at in range(0, len(data), 41):
        broken = bytearray(data)
        broken[at] ^= 0x55
        try:
            found = decode_whole(bytes(broken), "audit/x.parquet", "the-name")[2]
        except CorruptObject as error:
            bad += error.name == "the-name"
        else:
            assert [record for group in found for record in group] == records(4), at
    assert bad > 20
    for junk in (b"", b"PAR1", b"PAR1" * 10, data[:50], data[50:], b"\0" * 100 + b"\xff\xff\xff\x7fPAR1"):
        with pytest.raises(CorruptObject):
            decode_whole(junk, "x", "x")


@pytest.mark.parametrize("topic", HOSTILE)
def test_hostile_topics_become_names_that_every_store_and_engine_takes(topic: str) -> None:
    names = Names("ns")
    unique = "0" * 32
    part = file_part(check_topic(topic), "2026-11-21", unique)
    name = names.unique("audit", part)
    assert names.parse_unique(name) == ("audit", part)
    check_name(name)
    assert part.count("/") == 3
    assert all(len(one) < 200 for one in part.split("/"))
    assert "=" not in topic_folder(topic)


def test_topics_keep_apart() -> None:
    assert len({topic_folder(topic) for topic in [*HOSTILE, "x" * 255, "x" * 254 + "y"]}) == len(HOSTILE) + 2
    for bad in ("", "a\0b", "a\nb", "x" * 257, 5, None, "\ud800"):
        with pytest.raises(BadName):
            check_topic(bad)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local store whose archives are Parquet files, with records in the log as well."""
    folder = tmp_path_factory.mktemp("parquet") / "team"
    with swampstore.open(str(folder), create=True) as store:
        ns = store.namespace("ops")
        ns.set_audit_format("parquet")
        start = 1_795_000_000_000
        for day in range(3):
            for topic in ("decisions", "a/b ü"):
                audit = ns.audit(topic)
                audit.write_many(
                    audit.record(
                        {"n": n, "provider": "ab"[n % 2]}, ts=start + day * 86_400_000 + n, record_id=f"{n:04d}"
                    )
                    for n in range(100)
                )
            ns.compact()
        audit = ns.audit("decisions")
        audit.write_many([audit.record({"n": 100, "provider": "late"}, ts=start, record_id="late"), b"bytes"])
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.glob("ops/audit/parquet/audit_topic=*/audit_day=*/*.parquet"))


def test_files_lie_in_folders_by_topic_and_day(written: Path) -> None:
    with swampstore.open(str(written)) as store:
        ns = store.namespace("ops")
        named = [str(written / name) for topic in ("decisions", "a/b ü") for name in ns.audit_files(topic)]
        assert sorted(named) == files(written)
        assert len(named) == 6
        assert ns.audit_files("decisions", since=1_795_000_000_000 + 2 * 86_400_000) == ns.audit_files("decisions")[2:]
        assert len(list(ns.audit("decisions").read())) == 302
        assert [one.topic for one in ns.audit_topics()] == ["a/b ü", "decisions"]
        assert ns.status().audit_format == "parquet"
        assert ns.doctor(deep=True).healthy


def test_duckdb_reads_them_in_place(written: Path) -> None:
    import duckdb

    got = duckdb.sql(
        "select topic, record->>'$.provider' as provider, count(*), min((record->>'$.n')::int) "
        f"from read_parquet('{written}/ops/audit/parquet/**/*.parquet', hive_partitioning = true) "
        "where audit_day >= '2026-11-19' group by all order by all"
    ).fetchall()
    assert got == [
        (topic, provider, 100, "ab".index(provider)) for topic in ("a/b ü", "decisions") for provider in "ab"
    ]


def test_pandas_reads_them_in_place(written: Path) -> None:
    import pandas

    frame = pandas.read_parquet(written / "ops" / "audit" / "parquet", filters=[("audit_topic", "==", "decisions")])
    assert len(frame) == 300
    assert set(frame["topic"]) == {"decisions"}
    assert frame["ts"].dt.tz is not None


def test_polars_reads_them_in_place(written: Path) -> None:
    import polars

    frame = polars.scan_parquet(f"{written}/ops/audit/parquet/**/*.parquet", hive_partitioning=True)
    found = (
        frame.filter(polars.col("audit_topic") == "decisions")
        .with_columns(polars.col("record").str.json_path_match("$.provider").alias("provider"))
        .group_by("provider")
        .len()
        .collect()
    )
    assert sorted(found.rows()) == [("a", 150), ("b", 150)]


def test_sql_sees_everything_acknowledged_each_once(written: Path) -> None:
    with swampstore.open(str(written)) as store:
        ns = store.namespace("ops")
        answer = ns.audit_sql("select topic, count(*) from audit group by topic order by topic")
        assert answer.rows == [("a/b ü", 300), ("decisions", 302)]
        some = ns.audit_sql("select id, record->>'$.provider' from audit where record->>'$.provider' = 'late'")
        assert (some.columns[0], some.rows) == ("id", [("late", "late")])
        audit = ns.audit("decisions")
        audit.write_many([audit.record({"n": 100, "provider": "late"}, ts=1_795_000_000_000, record_id="late")])
        assert ns.audit_sql("select count(*) from audit").rows == [(602,)], "written again it is one record"
        assert ns.audit_sql("select count(*) from audit", topics=["a/b ü"]).rows == [(300,)]
        assert ns.audit_sql("select count(*) from audit", since=1_795_000_000_000 + 86_400_000).rows[0][0] < 602
        assert ns.audit_sql("select count(*) from audit", topics=["none"]).rows == [(0,)]
        first = ns.audit_sql("select ts, year(ts) from audit where topic = 'a/b ü' order by ts limit 1").rows[0]
        assert (first[0].isoformat(), first[1]) == ("2026-11-18T11:06:40", 2026)
        with pytest.raises(Misuse, match="DuckDB"):
            ns.audit_sql("select from where")


def test_mixed_formats_are_read_alike_and_small_files_become_the_new_one(tmp_path: Path) -> None:
    with swampstore.open(str(tmp_path / "s"), create=True) as store:
        ns = store.namespace("ops")
        wrote = []
        for number, form in enumerate(["blocks", "parquet", "blocks"]):
            ns.set_audit_format(form)
            # a file is taken in again while it has at most twice the records that are added
            wrote += ns.audit("t").write_many([{"n": n, "x": "y" * 200} for n in range(100 * 3**number)]).ids
            ns.compact()
            assert [record.id for record in ns.audit("t").read()] == sorted(wrote)
            assert ns.audit_sql("select count(*) from audit").rows == [(len(wrote),)]
            assert bool(ns.audit_files("t")) is (form == "parquet")


def test_a_compactor_without_pyarrow_leaves_the_records_and_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "INLINE_AUDIT_BYTES", 100)
    with swampstore.open(str(tmp_path / "s"), create=True) as store:
        ns = store.namespace("ops")
        ns.set_audit_format("parquet")
        with monkeypatch.context() as without:
            without.setattr(archive_sort, "available", lambda: False)
            most = 0
            for number in range(70):
                ns.audit("t").write({"n": number, "x": "y" * 100})
                report = ns.compact()
                most = max(most, ns.status().audit_unsorted)
            assert report.archive is not None
            assert "pyarrow" in report.archive.problem
            status = ns.status()
            assert "pyarrow" in status.audit_problem
            assert 16 <= most <= archive_sort.UNSORTED_FILES, "and the root stays small"
            assert len(list(ns.audit("t").read())) == 70
            page = ns.audit("t").changes()
            assert [record.data["n"] for record in page.records] == list(range(70))  # type: ignore[index]
        ns.compact()
        status = ns.status()
        assert (status.audit_unsorted, status.audit_problem, status.audit) == (0, "", 70)
        assert len(list(ns.audit("t").read())) == 70


def test_a_reader_without_pyarrow_is_told_what_is_missing(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with swampstore.open(str(written)) as store:
        with pytest.raises(MissingExtra, match="pyarrow") as caught:
            list(store.namespace("ops").audit("decisions").read())
        assert "swampstore[parquet]" in caught.value.hint
        with pytest.raises(MissingExtra):
            store.namespace("ops").audit_sql("select 1")


def test_a_lost_root_is_rebuilt_with_parquet_archives(tmp_path: Path) -> None:
    with swampstore.open(str(tmp_path / "s"), create=True) as store:
        ns = store.namespace("ops")
        ns.set_audit_format("parquet")
        ns.put_many({f"k/{number}": b"x" for number in range(50)})
        ids = ns.audit("t").write_many([{"n": n, "x": "y" * 300} for n in range(100)]).ids
        ns.compact()
        assert ns.audit_files("t")
    (tmp_path / "s" / "ops" / "root").unlink()
    with swampstore.open(str(tmp_path / "s")) as store:
        ns = store.namespace("ops")
        ns.repair(dry_run=False, accept_loss=True, alone=True)
        assert [record.id for record in ns.audit("t").read()] == list(ids)
        ns.compact()
        assert [record.id for record in ns.audit("t").read()] == list(ids)


def test_formats_are_checked(tmp_path: Path) -> None:
    with swampstore.open(f"memory://{tmp_path.name}") as store:
        ns = store.namespace("ops")
        for bad in ("csv", "", None):
            with pytest.raises(BadConfig):
                ns.set_audit_format(bad)  # type: ignore[arg-type]
        assert ns.set_audit_retention({"*": 3}) == {"*": 3}
        assert ns.set_audit_format("parquet") == "parquet"
        root = run(ns._core.register.read()).root
        assert root.settings["audit"] == {"retention": {"*": 3}, "format": "parquet"}
