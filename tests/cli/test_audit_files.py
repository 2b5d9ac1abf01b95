"""Audit records written into files: as a whole or not at all, and what stands in them."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swampstore.client.audit_blocking import AuditTopic
from swampstore_cli import whole_file
from tests.cli.conftest import Swamp

COMMANDS = {"export": ("export", "--topic", "t"), "query": ("query", "t", "-o")}


@pytest.fixture(autouse=True)
def some(swamp: Swamp, store: Path) -> None:
    assert swamp("audit", "append", "t", "--lines", stdin=b'{"a": 1}\n"text"\n').code == 0
    assert swamp("audit", "append", "t", "--raw", "--time", "2020-01-01", stdin=b"\xff\0").code == 0


def broken_by(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Every read of records ends with ``error`` behind the first."""
    real = AuditTopic.read

    def read(self: AuditTopic, **more: Any) -> Iterator[Any]:
        yield next(real(self, **more))
        raise error

    monkeypatch.setattr(AuditTopic, "read", read)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 1)], ids=["ctrl-c", "full"]
)
def test_what_does_not_end_well_leaves_the_old_file_alone(
    swamp: Swamp, repo: Path, monkeypatch: pytest.MonkeyPatch, command: str, form: str, error: BaseException, code: int
) -> None:
    target = repo / f"kept.{form}"
    target.write_bytes(b"old")
    before = sorted(os.listdir(repo))
    broken_by(monkeypatch, error)
    done = swamp("audit", *COMMANDS[command], target)
    assert done.code == code
    assert (target.read_bytes(), sorted(os.listdir(repo))) == (b"old", before)


def test_the_new_file_has_the_permissions_of_the_old_one_and_links_are_followed(swamp: Swamp, repo: Path) -> None:
    (repo / "real").write_bytes(b"old")
    (repo / "real").chmod(0o660)
    (repo / "link").symlink_to("real")
    assert swamp("audit", "export", repo / "link").code == 0
    assert (repo / "real").read_bytes().count(b"\n") == 3
    assert (stat.S_IMODE((repo / "real").stat().st_mode), (repo / "link").is_symlink()) == (0o660, True)


def test_the_file_is_synced_before_it_has_its_name(swamp: Swamp, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(whole_file.os, "fsync", lambda _fd: seen.append("sync"))
    real = os.replace
    monkeypatch.setattr(whole_file.os, "replace", lambda *names: (seen.append("name"), real(*names)))
    with whole_file.replacing(str(repo / "x")) as file:
        file.write(b"x")
    assert seen == ["sync", "name"]


def test_a_topic_that_does_not_exist_is_an_error(swamp: Swamp, repo: Path) -> None:
    done = swamp("audit", "export", repo / "x.csv", "--topic", "t", "--topic", "slip", "--json")
    assert (done.code, done.error["code"]) == (1, "not-found")
    assert "'slip'" in done.error["error"]
    assert not (repo / "x.csv").exists()


def test_bytes_have_a_column_of_their_own(swamp: Swamp, repo: Path) -> None:
    swamp("audit", "export", repo / "x.csv")
    with open(repo / "x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["record"], row["base64"]) for row in rows] == [("", "/wA="), ('{"a":1}', ""), ('"text"', "")]
