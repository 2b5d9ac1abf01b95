"""A slip in ``.swamp.yaml`` must never send data to another store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swampstore.errors import BadConfig
from swampstore_cli.config import Flags, parse_section, settle


@pytest.mark.parametrize("text", ["datastor:\n  type: filesystem\n", "Datastore:\n  path: x\n", "data-store: {}\n"])
def test_a_section_that_is_all_but_called_datastore_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match="there is no such section"):
        parse_section(text, Path("/r/.swamp.yaml"))


def test_an_empty_section_is_refused() -> None:
    with pytest.raises(BadConfig, match="it is empty"):
        parse_section("datastore:\n", Path("/r/.swamp.yaml"))


def test_sections_of_others_are_left_alone() -> None:
    assert parse_section("telemetry:\n  on: false\n", Path("/r/.swamp.yaml")) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("datastore:\n  type: filesystem\n  path: a\n  path: b\n", "path is given twice, in lines 3 and 4"),
        ("datastore: {type: filesystem, path: a, 'path': b}", "path is given twice"),
        ("datastore: {type: s3, config: {bucket: one-b, bucket: two-b}}", "bucket is given twice"),
        ("datastore: {path: a, type: filesystem}\nx: 1\ndatastore: {path: b, type: filesystem}\n", "two such sections"),
    ],
)
def test_of_two_values_for_one_key_none_wins(text: str, says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        parse_section(text, Path("/r/.swamp.yaml"))


def test_others_may_write_their_sections_as_they_like() -> None:
    text = "base: &base {path: a}\nother: {a: 1, a: 2}\ndatastore: {<<: *base, type: filesystem, path: b}\n"
    found = parse_section(text, Path("/r/.swamp.yaml"))
    assert found is not None
    assert found.store == "filesystem:/r/b"


@pytest.mark.parametrize("kind", ["dangling link", "loop", "pipe", "link to a pipe", "folder"])
def test_what_is_no_file_is_refused_at_once_and_never_passed_over(user: Path, repo: Path, kind: str) -> None:
    file, pipe, below = repo / ".swamp.yaml", user / "pipe", repo / "below"
    below.mkdir()
    (user / ".swamp.yaml").write_text("datastore: {type: filesystem, path: /further/up}")
    os.mkfifo(pipe)
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to({"dangling link": "nowhere", "loop": ".swamp.yaml"}.get(kind, str(pipe)))
    for folder in (repo, below):
        with pytest.raises(BadConfig) as caught:
            settle(Flags(), {}, folder)
        assert str(file) in str(caught.value)
