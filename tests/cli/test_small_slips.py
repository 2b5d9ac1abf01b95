"""Slips that are told as what they are: what would be lost, hidden or misnamed without a word."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from swampstore.errors import BadConfig
from swampstore.protocols import versions
from swampstore.stores.disk import translate
from swampstore.values.lifetimes import check_lifetime, check_new_lifetime
from swampstore_cli import lazy, output, whole_file
from tests.cli.conftest import Swamp

WEB = "aws/ec2:web"


@pytest.mark.parametrize("span", ["0d", "0m", "00w"])
def test_a_lifetime_that_is_over_at_once(swamp: Swamp, store: Path, span: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = swamp("data", "put", WEB, "state", "--lifetime", span, stdin=b"1")
    assert done.code == 2
    assert f"error: a lifetime of {span} is over at once" in done.err
    assert "hint: at least 1m" in done.err
    with pytest.raises(BadConfig):
        check_new_lifetime(span)
    assert check_lifetime(span) == span  # what an import brings is taken as it is
    monkeypatch.setattr(versions, "check_new_lifetime", check_lifetime)
    assert swamp("data", "put", WEB, "state", "--lifetime", span, stdin=b"1").code == 0
    assert swamp("data", "get", WEB, "state").code == 1


@pytest.mark.parametrize(
    "line",
    [
        ("data", "put", WEB, "state", "--tag", "a=1", "--tag", "a=2"),
        ("data", "put", WEB, "state", "--owner", "a=1", "--owner", "a=2"),
        ("object", "put", "x", "--tag", "a=1", "--tag", "a=2"),
        ("data", "search", "--tag", "a=1", "--tag", "a=2"),
    ],
)
def test_a_name_given_twice(swamp: Swamp, store: Path, line: tuple[str, ...]) -> None:
    done = swamp(*line, stdin=b"1")
    assert done.code == 2
    assert "'a' is given twice" in done.err
    assert not any(store.iterdir())


def test_renaming_what_is_not_there(swamp: Swamp, store: Path) -> None:
    done = swamp("data", "rename", WEB, "nope", "other")
    assert done.code == 1
    assert "error: no data 'nope' of model aws/ec2:web\n" in done.err
    swamp("data", "put", WEB, "a", stdin=b"1")
    swamp("data", "put", WEB, "b", stdin=b"1")
    assert "there is data 'b' of model aws/ec2:web already" in swamp("data", "rename", WEB, "a", "b").err


@pytest.mark.parametrize("filled", [False, True])
def test_a_sample_below_nothing(swamp: Swamp, store: Path, filled: bool) -> None:
    if filled:
        swamp("object", "put", "x", stdin=b"1")
    done = swamp("datastore", "doctor", "--deep", "--sample", "-1")
    assert (done.code, done.out) == (2, "")
    assert "--sample -1 makes no sense" in done.err


def test_an_output_in_no_folder(swamp: Swamp, store: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swamp("object", "put", "x", stdin=b"1")
    done = swamp("object", "get", "x", "-o", user / "no" / "x")
    assert (done.code, done.err) == (1, f"error: {user / 'no'}: No such file or directory\n")
    monkeypatch.setattr(whole_file, "_new", lambda temp, _: open(temp, "xb"))  # noqa: SIM115
    assert ".part" in swamp("object", "get", "x", "-o", user / "no" / "x").err


def test_a_folder_that_may_not_be_read_is_named() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/data/store/ops")
    told = translate(error, "", "file:///data/store")
    assert str(told) == "ops in file:///data/store: Permission denied"
    assert "writable" not in told.hint
    assert "the mode" in told.hint
    assert "read-only" in translate(OSError(errno.EROFS, "Read-only file system"), "ops/x", "file:///data/store").hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_namespace_that_may_not_be_read(swamp: Swamp, store: Path) -> None:
    swamp("object", "put", "x", stdin=b"1")
    (store / "default").chmod(0)
    try:
        assert "error: default/ in file://" in swamp("datastore", "namespace", "list").err
    finally:
        (store / "default").chmod(0o700)


@pytest.mark.parametrize("line", [("object", "list"), ("object", "put", "x")])
def test_a_file_is_no_store(swamp: Swamp, user: Path, line: tuple[str, ...]) -> None:
    (user / "file").write_bytes(b"")
    done = swamp(*line, "--store", user / "file")
    assert done.code == 2
    assert (
        done.err
        == f"error: {user / 'file'} is a file, not a directory\nhint: name the directory that holds the store\n"
    )
    assert swamp("datastore", "setup", "filesystem", user / "file").code == 2


def test_long_names_are_cut_on_a_terminal_alone(swamp: Swamp, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "n" * 61
    swamp("data", "put", WEB, name, stdin=b"1")
    assert name in swamp("data", "list", WEB).out
    monkeypatch.setattr(output, "_is_terminal", lambda: True)
    shown = swamp("data", "list", WEB).out
    assert name not in shown
    assert "n" * 59 + "\u2026" in shown
    assert output.cell("n" * 60) == "n" * 60


@pytest.mark.parametrize("text", ["", "\n", "# later\n", "---\n"])
def test_an_empty_settings_file_is_told(swamp: Swamp, repo: Path, user: Path, text: str) -> None:
    (repo / ".swamp.yaml").write_text(text)
    done = swamp("object", "put", "x", stdin=b"1")
    assert done.code == 2
    assert f"{repo / '.swamp.yaml'} is empty" in done.err
    assert "setup" in done.err
    assert swamp("object", "put", "x", "--store", user / "store", stdin=b"1").code == 0
    (repo / ".swamp.yaml").write_text("other: {}\n")
    assert swamp("object", "put", "x", stdin=b"1").code == 0
    (repo / ".swamp.yaml").write_text(text)
    assert swamp("datastore", "setup", "filesystem", user / "store").code == 0
    assert swamp("object", "put", "x", stdin=b"1").code == 0


EARLY = """
    import runpy, sys

    class Interrupt:
        def find_spec(self, name, path=None, target=None):
            if name == {name!r}:
                raise KeyboardInterrupt

    sys.meta_path.insert(0, Interrupt())
    {call}
"""


@pytest.mark.parametrize("name", ["swampstore_cli.main", "signal", "typer", "swampstore_cli.tree"])
@pytest.mark.parametrize(
    "call",
    [
        "sys.modules.pop('signal', None); runpy.run_module('swampstore_cli', run_name='__main__')",
        "sys.modules.pop('signal', None); from swampstore_cli.__main__ import run; run()",
    ],
)
def test_ctrl_c_before_anything_is_loaded(name: str, call: str) -> None:
    code = textwrap.dedent(EARLY.format(name=name, call=call))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")


def test_the_installed_command_begins_there() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"swamp": "swampstore_cli.__main__:run"}


@pytest.mark.parametrize(
    "line",
    [
        ("stream", "append", "s", "--expect-tail", ""),
        ("object", "put", "k", "--if-version="),
        ("audit", "append", "t", "--id", "", "--time", "2026-11-01T10:30Z"),
        ("data", "delete", WEB, "state", "--version", "", "--force"),
        ("object", "list", "--namespace", ""),
        ("object", "put", "k", "--tag", ""),
    ],
)
def test_an_empty_value_is_no_absent_option(swamp: Swamp, store: Path, line: tuple[str, ...]) -> None:
    """A variable that was not set must not switch a fence off."""
    done = swamp(*line, stdin=b"1")
    assert done.code == 2
    assert "it is empty; leave the option out" in done.err
    assert not any(store.iterdir())


def test_without_that_rule_a_fence_was_off(swamp: Swamp, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "_said", lambda *_: False)
    assert swamp("object", "put", "k", "--if-version", "", stdin=b"1").code == 0


def test_the_empty_text_is_a_record(swamp: Swamp, store: Path) -> None:
    assert swamp("audit", "append", "t", "--text", "").code == 0
