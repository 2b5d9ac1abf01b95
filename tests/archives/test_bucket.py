"""The recipes of the docs against a bucket: archives written by this program, read in place by others."""

from __future__ import annotations

import pytest

import swampstore
from tests.conftest import Bucket

pytestmark = [pytest.mark.prove, pytest.mark.server]


@pytest.fixture
def folder(emulator_bucket: Bucket) -> str:
    """``bucket/prefix`` of the Parquet files of namespace ``ops``."""
    with swampstore.open(emulator_bucket.url("team")) as store:
        ns = store.namespace("ops")
        ns.set_audit_format("parquet")
        for topic in ("decisions", "a/b ü"):
            ns.audit(topic).write_many({"provider": "ab"[n % 2], "cost": n, "why": "y" * 50} for n in range(300))
        ns.compact()
        assert ns.audit_files("decisions")
        assert ns.audit_sql("select count(*) from audit").rows == [(600,)]
        assert len(list(ns.audit("decisions").read())) == 300
    return f"{emulator_bucket.name}/team/ops/audit/parquet"


def test_pandas(folder: str, emulator_bucket: Bucket) -> None:
    import pandas
    from pyarrow.fs import S3FileSystem

    host = emulator_bucket.server.endpoint.removeprefix("http://")
    bucket = S3FileSystem(
        endpoint_override=host, scheme="http", access_key="test", secret_key="test-secret", region="us-east-1"
    )
    frame = pandas.read_parquet(folder, filesystem=bucket).drop_duplicates(["topic", "ts", "id"])
    assert len(frame) == 600


def test_duckdb_through_arrow(folder: str, emulator_bucket: Bucket) -> None:
    import duckdb
    import pyarrow.dataset
    from pyarrow.fs import S3FileSystem

    host = emulator_bucket.server.endpoint.removeprefix("http://")
    bucket = S3FileSystem(
        endpoint_override=host, scheme="http", access_key="test", secret_key="test-secret", region="us-east-1"
    )
    records = pyarrow.dataset.dataset(folder, filesystem=bucket, format="parquet", partitioning="hive")  # noqa: F841
    rows = duckdb.sql(
        "select record->>'$.provider', count(*) from records where audit_topic = 'decisions' group by 1 order by 1"
    ).fetchall()
    assert rows == [("a", 150), ("b", 150)]


def test_polars(folder: str, emulator_bucket: Bucket) -> None:
    import polars

    frame = polars.scan_parquet(
        f"s3://{folder}/**/*.parquet",
        hive_partitioning=True,
        storage_options={
            "aws_endpoint_url": emulator_bucket.server.endpoint,
            "aws_allow_http": "true",
            "aws_region": "us-east-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test-secret",
        },
    )
    found = frame.filter(polars.col("audit_topic") == "decisions").unique(["topic", "ts", "id"]).collect()
    assert len(found) == 300
