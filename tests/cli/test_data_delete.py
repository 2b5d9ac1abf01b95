"""``swamp data delete`` and ``rename``: nothing goes before it was shown and wanted."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from swampstore_cli import confirm
from tests.cli.conftest import Swamp

WEB = "aws/ec2:web-1"


@pytest.fixture(autouse=True)
def filled(swamp: Swamp, store: Path) -> None:
    for number in range(3):
        swamp("data", "put", WEB, "state", "--ordinal", stdin=b"%d" % number * 100)
    swamp("data", "put", WEB, "tmp-a", "--ordinal", stdin=b"x")
    swamp("data", "put", WEB, "tmp-b", stdin=b"y")


def versions(swamp: Swamp, name: str) -> list[int | None]:
    done = swamp("data", "versions", WEB, name, "--json")
    return [one["version"] for one in done.document["versions"]] if done.code == 0 else []


def test_without_yes_it_only_shows(swamp: Swamp) -> None:
    done = swamp("data", "delete", WEB, "state")
    assert done.code == 0
    assert "would delete 3 versions (300 B): all of state" in done.out
    assert [line.split()[:2] for line in done.out.splitlines()[1:4]] == [
        ["state", "v3"],
        ["state", "v2"],
        ["state", "v1"],
    ]
    assert "--yes" in done.err
    shown = swamp("data", "delete", WEB, "state", "--json").document
    assert (shown["dryRun"], shown["versionsDeleted"], shown["bytesReclaimed"]) == (True, 3, 300)
    assert swamp("data", "delete", WEB, "state", "--dry-run").err == ""
    assert versions(swamp, "state") == [3, 2, 1]


def test_the_question_is_what_keeps_it(swamp: Swamp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirm, "confirmed", lambda *_, **__: True)
    swamp("data", "delete", WEB, "state")
    assert versions(swamp, "state") == []


@pytest.mark.parametrize("flag", ["--yes", "-y", "--force", "-f"])
def test_with_yes_or_the_old_names_of_it_it_deletes(swamp: Swamp, flag: str) -> None:
    done = swamp("data", "delete", WEB, "state", flag)
    assert (done.code, done.err) == (0, "")
    assert "deleted 3 versions (300 B): all of state" in done.out
    assert versions(swamp, "state") == []
    assert swamp("data", "get", WEB, "state").code == 1
    assert versions(swamp, "tmp-a") == [1]


def test_one_version(swamp: Swamp) -> None:
    assert swamp("data", "delete", WEB, "state", "--version", "2", "--yes", "--json").document["versions"] == [2]
    assert versions(swamp, "state") == [3, 1]
    assert swamp("data", "delete", WEB, "state", "--version", "latest", "--yes").code == 0
    assert versions(swamp, "state") == [1]
    assert swamp("data", "get", WEB, "state").out == "0" * 100
    done = swamp("data", "delete", WEB, "state", "--version", "9", "--yes")
    assert (done.code, "there are v1" in done.err) == (1, True)
    (pending,) = swamp("data", "versions", WEB, "tmp-b", "--json").document["versions"]
    swamp("data", "delete", WEB, "tmp-b", "--version", pending["id"], "--yes")
    assert versions(swamp, "tmp-b") == []


def test_what_is_not_there_is_said_with_what_is(swamp: Swamp) -> None:
    for _ in range(2):
        swamp("data", "put", WEB, "state", stdin=b"again")
    done = swamp("data", "delete", WEB, "state", "--version", "9", "--yes")
    assert "hint: there are pending ones, v3, v2, v1\n" in done.err  # not a word for each
    done = swamp("data", "delete", "aws/ec2:none", "--all", "--yes")
    assert "error: no data of model aws/ec2:none in" in done.err
    done = swamp("data", "delete", WEB, "--prefix", "nope", "--yes")
    assert f"error: no data 'nope...' of model {WEB} in" in done.err


def test_a_number_is_never_given_again(swamp: Swamp) -> None:
    swamp("data", "delete", WEB, "state", "--yes")
    swamp("datastore", "compact")
    assert swamp("data", "put", WEB, "state", "--ordinal", "--json", stdin=b"x").document["version"] == 4


def test_many_by_prefix_or_all(swamp: Swamp) -> None:
    shown = swamp("data", "delete", WEB, "--prefix", "tmp-", "--json").document
    assert (shown["dataNames"], shown["versionsDeleted"], shown["dryRun"]) == (["tmp-a", "tmp-b"], 2, True)
    assert "2 data of" in swamp("data", "delete", WEB, "--prefix", "tmp-", "--yes").out
    assert (versions(swamp, "tmp-a"), versions(swamp, "state")) == ([], [3, 2, 1])
    assert swamp("data", "delete", WEB, "--all", "--yes").code == 0
    assert versions(swamp, "state") == []


def test_what_is_not_there(swamp: Swamp) -> None:
    for arguments in ((WEB, "none"), (WEB, "--prefix", "none"), ("aws/ec2:none", "--all")):
        done = swamp("data", "delete", *arguments, "--yes", "--json")
        assert (done.code, done.error["code"]) == (1, "not-found")


@pytest.mark.parametrize(("answer", "left"), [(b"y\n", []), (b"n\n", [3, 2, 1]), (b"\n", [3, 2, 1])])
def test_at_a_terminal_it_asks(swamp: Swamp, answer: bytes, left: list[int]) -> None:
    parent, child = pty.openpty()
    line = [sys.executable, "-m", "swampstore_cli", "data", "delete", WEB, "state"]
    with subprocess.Popen(line, stdin=child, stdout=child, stderr=child) as running:
        os.close(child)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(parent, 4096)
        os.write(parent, answer)
        assert running.wait(30) == 0
    os.close(parent)
    assert b"would delete 3 versions (300 B)" in shown
    assert b"delete 3 versions?" in shown
    assert versions(swamp, "state") == left


def test_a_renamed_datum_is_found_under_both_names(swamp: Swamp) -> None:
    done = swamp("data", "rename", WEB, "state", "machine")
    assert done.code == 0
    assert "renamed state to machine" in done.out
    assert swamp("data", "get", WEB, "machine").out == "2" * 100
    assert swamp("data", "get", WEB, "state").out == "2" * 100
    assert swamp("data", "get", WEB, "state", "--version", "1").out == "0" * 100
    assert "renamed to machine" in swamp("data", "versions", WEB, "state").out
    told = swamp("data", "rename", WEB, "tmp-a", "tmp-c", "--json").document
    assert (told["oldName"], told["newName"], told["modelId"]) == ("tmp-a", "tmp-c", "web-1")


def test_a_name_that_is_taken_or_not_there_is_refused(swamp: Swamp) -> None:
    assert swamp("data", "rename", WEB, "state", "tmp-a").code in (1, 2, 3)
    assert swamp("data", "rename", WEB, "none", "new").code == 1
    assert swamp("data", "get", WEB, "tmp-a").out == "x"
