"""What SQL does with files: it reads those of its own store alone, prints nothing, and leaves nothing behind for good."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import swampstore
from swampstore.client.blocking import Namespace

COUNT = "select count(*) from audit"


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with Parquet archives, to be moved to where a test wants it."""
    folder = tmp_path_factory.mktemp("sql") / "team"
    with swampstore.open(str(folder), create=True) as store:
        ns = store.namespace("ops")
        ns.set_audit_format("parquet")
        ns.audit("t").write_many({"n": n, "x": "y" * 100} for n in range(300))
        ns.compact()
        assert ns.audit_files("t")
    return folder


@pytest.mark.parametrize("name", ["a#b'", "a%20b", "a?b*", "a[x]b", "a\\*b"])
def test_the_path_of_a_store_is_taken_as_it_is(archived: Path, tmp_path: Path, name: str) -> None:
    for other in ("a b", "axb", "axbx", "a"):  # what the path would stand for as an address, or as a pattern
        lure = tmp_path / other / archived.name / "ops" / "audit" / "parquet"
        lure.parent.mkdir(parents=True)
        lure.symlink_to(archived / "ops" / "audit" / "parquet")
    (tmp_path / name).mkdir(exist_ok=True)
    moved = archived.rename(tmp_path / name / archived.name)
    try:
        with swampstore.open(f"filesystem:{moved}") as store:
            assert store.namespace("ops").audit_sql("select count(*) from audit_files").rows == [(300,)]
    finally:
        moved.rename(archived)


def left(prefix: str = "swampstore-sql-") -> list[str]:
    return [name for name in os.listdir(tempfile.gettempdir()) if name.startswith(prefix)]


@pytest.fixture
def ns(archived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    """With a folder for temporary files of the test's own."""
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    with swampstore.open(str(archived)) as store:
        yield store.namespace("ops")


def test_no_progress_is_printed_among_the_rows(ns: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    connect = duckdb.connect

    def with_progress(*arguments: str) -> object:
        """As where DuckDB is configured to show it, which it finds out from the terminal."""
        connection = connect(*arguments)
        connection.execute("SET enable_progress_bar = true")
        return connection

    monkeypatch.setattr(duckdb, "connect", with_progress)
    assert ns.audit_sql("select current_setting('enable_progress_bar')").rows == [(False,)]


def test_folders_of_killed_queries_go_with_the_next_one_and_no_others(ns: Namespace, tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    for name in ("swampstore-sql-killed", "swampstore-sql-running", "else-1", "precious"):
        (temp / name).mkdir()
        (temp / name / "loose-0.parquet").write_bytes(b"x")
    (temp / "swampstore-sql-link").symlink_to(temp / "precious")
    held = os.open(temp / "swampstore-sql-running", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        ns.audit_sql(COUNT)
        assert sorted(left()) == ["swampstore-sql-link", "swampstore-sql-running"]
    finally:
        os.close(held)
    ns.audit_sql(COUNT)
    assert left() == ["swampstore-sql-link"]
    assert sorted(os.listdir(temp)) == ["else-1", "precious", "swampstore-sql-link"]
    assert os.listdir(temp / "precious") == ["loose-0.parquet"]


def test_the_folder_of_a_running_query_is_taken_by_no_other(ns: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    import swampstore.client.audit_sql as module

    wrote = module._loose_file
    inner: list[object] = []

    def meanwhile(*arguments: object) -> Path:
        if not inner:
            inner.append(None)
            inner[0] = ns.audit_sql(COUNT).rows
            assert len(left()) == 1
        return wrote(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_loose_file", meanwhile)
    assert ns.audit_sql(COUNT).rows == inner[0] == [(300,)]
    assert left() == []
