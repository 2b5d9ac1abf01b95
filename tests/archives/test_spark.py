"""The recipe for Spark, where Spark and a Java are installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import swampstore

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]


def test_spark_reads_archives_in_place(tmp_path: Path) -> None:
    sql = pytest.importorskip("pyspark.sql", reason="Spark is not installed: make spark")
    if shutil.which("java") is None:
        pytest.skip("there is no Java")
    with swampstore.open(str(tmp_path / "team"), create=True) as store:
        ns = store.namespace("ops")
        ns.set_audit_format("parquet")
        for topic in ("decisions", "a/b ü"):
            ns.audit(topic).write_many({"provider": "ab"[n % 2], "cost": n, "why": "y" * 50} for n in range(300))
        ns.compact()
    folder = f"{tmp_path}/team/ops/audit/parquet"
    spark = (
        sql.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "1")
        .getOrCreate()
    )
    try:
        frame = (
            spark.read.option("basePath", folder)
            .parquet(f"{folder}/audit_topic=decisions")
            .dropDuplicates(["topic", "ts", "id"])
        )
        rows = (
            frame.selectExpr("get_json_object(record, '$.provider') as provider").groupBy("provider").count().collect()
        )
        assert sorted((row["provider"], row["count"]) for row in rows) == [("a", 150), ("b", 150)]
        whole = spark.read.parquet(folder)
        assert whole.count() == 600
        assert {row["topic"] for row in whole.select("topic").distinct().collect()} == {"decisions", "a/b ü"}
        assert dict(whole.dtypes)["ts"] == "timestamp"
    finally:
        spark.stop()
