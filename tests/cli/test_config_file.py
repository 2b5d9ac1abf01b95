"""Writing the section leaves everything else in ``.swamp.yaml`` alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from swampstore_cli import whole_file
from swampstore_cli.config_file import with_section, write_file

NEW = {"type": "filesystem", "path": "/new"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("a: 1\n", "a: 1\n"),
        ("a: 1", "a: 1\n"),
        ("datastore:\n  type: s3\n  config:\n    bucket: old\n", ""),
        ("datastore: {type: s3, config: {bucket: old}}\n", ""),
        ("# top\na: 1\ndatastore:\n  type: s3\n\n  # inside\n  path: x\n", "# top\na: 1\n"),
    ],
)
def test_the_section_comes_last_or_takes_the_old_ones_place(before: str, after: str) -> None:
    assert with_section(before, NEW) == after + "datastore:\n  type: filesystem\n  path: /new\n"


def test_what_follows_the_section_stays_byte_by_byte() -> None:
    before = "a: 1  # one\ndatastore:\n  type: s3\n  exclude:\n  - '*.tmp'\n\n# about b\nb: [1,   2]\n"
    after = with_section(before, NEW)
    assert after == "a: 1  # one\ndatastore:\n  type: filesystem\n  path: /new\n\n# about b\nb: [1,   2]\n"
    assert yaml.safe_load(after) == {"a": 1, "datastore": NEW, "b": [1, 2]}


def test_a_key_that_only_begins_alike_is_no_section() -> None:
    after = with_section("datastores: 1\nx:\n  datastore: 2\n", NEW)
    assert yaml.safe_load(after) == {"datastores": 1, "x": {"datastore": 2}, "datastore": NEW}


def test_writing_keeps_permissions_and_follows_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_file(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["link.yaml", "real.yaml"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("done", [False, True])
def test_killed_at_any_step_the_file_is_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, done: bool
) -> None:
    """And its bytes are on the disk before its name is: a loss of power leaves no empty file in place of the old one."""
    file = tmp_path / ".swamp.yaml"
    file.write_text("old")
    steps: list[str] = []

    class Killed(BaseException):
        pass

    def fused(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            steps.append(name)
            if name == step and not done:
                raise Killed
            found = real(*arguments, **named)
            if name == step:
                raise Killed
            return found

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "fsync", "replace"):
            patch.setattr(whole_file.os, name, fused(name, getattr(os, name)))
        with pytest.raises(Killed):
            write_file(file, "new")
    assert steps == ["open", "fsync", "replace"][: len(steps)]
    assert steps[-1] == step
    assert file.read_text() == ("new" if (step, done) == ("replace", True) else "old")
    write_file(file, "new")
    assert file.read_text() == "new"
