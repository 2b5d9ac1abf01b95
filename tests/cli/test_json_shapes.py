"""JSON has the same fields whatever there is to say, in the forms in which other commands take them."""

from __future__ import annotations

from pathlib import Path

import pytest

from swampstore.values.entry import Entry, Inline, Meta
from swampstore_cli import output
from tests.cli.conftest import Swamp


def test_an_entry_has_the_same_fields_whatever_is_known_of_it(swamp: Swamp, store: Path) -> None:
    swamp("object", "put", "bare", stdin=b"1")
    swamp("object", "put", "full", "--content-type", "text/plain", "--tag", "a=b", "--expires-in", "1h", stdin=b"1")
    bare, full = (swamp("object", "get", key, "--meta", "--json").document for key in ("bare", "full"))
    assert set(bare) == set(full) >= {"contentType", "tags", "expires"}
    assert (bare["contentType"], bare["tags"], bare["expires"]) == (None, None, None)
    assert (full["contentType"], full["tags"]) == ("text/plain", {"a": "b"})
    assert swamp("object", "list", "--json").document["entries"] == [bare, full]
    assert "None" not in swamp("object", "get", "bare", "--meta").out


def test_no_field_of_an_entry_is_forgotten() -> None:
    known = {"content_type": "text/plain", "tags": {"a": "b"}, "created": 1, "modified": 2, "lifetime": "1h"}
    found = Entry("k", bytes(24), 3, Meta(1, Inline(b"1"), **known, unverified=True), "ephemeral")
    assert list(found.describe()) == list(output.entry(found)) == list(output._UNSET)


def test_a_delete_tells_the_same_whether_anything_was_there(swamp: Swamp, store: Path) -> None:
    swamp("object", "put", "k", stdin=b"1")
    first, second = (swamp("object", "delete", "k", "--json").document for _ in range(2))
    assert set(first) == set(second)
    assert first["durable"] is True
    assert (second["lane"], second["slot"], second["durable"], second["absent"]) == (None, None, None, ["k"])


def test_the_versions_of_an_update_are_those_that_a_condition_takes(swamp: Swamp, store: Path) -> None:
    done = swamp("object", "update", "n", "--exec", "echo 1", "--json").document
    assert done["update"]["versions"] == [done["version"]]
    assert swamp("object", "put", "n", "--if-version", done["update"]["versions"][0], stdin=b"2").code == 0


@pytest.mark.parametrize(
    "line",
    [
        ("query", "t", "--format", "csv"),
        ("sql", "select 1", "--format", "csv"),
        ("export", "-", "--format", "csv"),
    ],
)
def test_one_output_has_one_form(swamp: Swamp, store: Path, line: tuple[str, ...]) -> None:
    done = swamp("audit", *line, "--json")
    assert (done.code, done.error["code"], done.out) == (2, "misuse", "")


def test_a_file_has_a_form_of_its_own(swamp: Swamp, store: Path, tmp_path: Path) -> None:
    swamp("audit", "append", "t", "--text", "x")
    assert swamp("audit", "query", "t", "--format", "csv", "--output", tmp_path / "t", "--json").code == 0
    assert (tmp_path / "t").read_text().startswith("topic,")
