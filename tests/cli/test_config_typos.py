"""A slip in ``.swamp.yaml`` must never send data to another store."""

from __future__ import annotations

from pathlib import Path

import pytest

from swampstore.errors import BadConfig
from swampstore_cli.config import parse_section


@pytest.mark.parametrize("text", ["datastor:\n  type: filesystem\n", "Datastore:\n  path: x\n", "data-store: {}\n"])
def test_a_section_that_is_all_but_called_datastore_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match="there is no such section"):
        parse_section(text, Path("/r/.swamp.yaml"))


def test_an_empty_section_is_refused() -> None:
    with pytest.raises(BadConfig, match="it is empty"):
        parse_section("datastore:\n", Path("/r/.swamp.yaml"))


def test_sections_of_others_are_left_alone() -> None:
    assert parse_section("telemetry:\n  on: false\n", Path("/r/.swamp.yaml")) is None
