"""Documents that users get from others: a repo's .swamp.yaml, contents that say they are JSON."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from swampstore.errors import BadConfig
from swampstore_cli.config import parse_section
from tests.cli.conftest import Swamp, store, swamp, user

__all__ = ["store", "swamp", "user"]
FILE = Path("/repo/.swamp.yaml")
LAUGHS = "\n".join(["a0: &a0 {k: v}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40))])
CONFIG = "datastore:\n  type: s3\n  config:\n    bucket: team-bucket\n    prefix: &p {x: y}\n    region: *p\n"


@pytest.mark.parametrize(
    "text", ["datastore: " + "[" * 100_000, "x: " + "{a: " * 3000, CONFIG, "datastore: &a [*a]", "a" * (1 << 21)]
)
def test_what_could_grow_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(BadConfig):
        parse_section(text, FILE)
    assert time.process_time() - began < 30


def test_other_sections_may_hold_what_they_like() -> None:
    began = time.process_time()
    found = parse_section(LAUGHS + "\ndatastore: {type: filesystem, path: /a}\n", FILE)
    assert found is not None
    assert found.store == "filesystem:/a"
    assert time.process_time() - began < 30


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 5000 + "]" * 5000, '{"a": 1' + "0" * 5000 + "}"])
def test_json_that_no_reader_takes_is_shown_as_text(swamp: Swamp, text: str) -> None:
    assert swamp("data", "put", "a:b", "c", "--content-type", "application/json", stdin=text.encode()).code == 0
    got = swamp("data", "get", "a:b", "c", "--json")
    assert got.code == 0, got.err
    assert got.document["content"] == text


@pytest.mark.usefixtures("store")
def test_setup_reads_what_it_replaces_as_carefully(swamp: Swamp, user: Path) -> None:
    (user / "repo" / ".swamp.yaml").write_text("datastore: " + "[" * 50_000)
    done = swamp("datastore", "setup", "filesystem", str(user / "store"))
    assert done.code in (0, 2)
    assert "unexpected" not in done.err
