"""The page on S3 servers is true: each is asked again, and the page is what was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.real.observe import KEPT, PAGE, SERVERS, absent, agrees, observe, page, running
from tests.servers import S3Server

KEPT_NOW: dict[str, Any] = json.loads(KEPT.read_text())


def test_the_page_shows_what_is_kept() -> None:
    assert set(KEPT_NOW) == set(SERVERS)
    assert PAGE.read_text("utf-8") == page(PAGE.read_text("utf-8"), KEPT_NOW), "python -m tests.real.observe --page"


@pytest.mark.server
def test_every_day(moto: S3Server, emulator: S3Server) -> None:
    assert agrees(observe(moto), KEPT_NOW["moto"]["seen"]) == []
    assert agrees(observe(emulator), KEPT_NOW["emulator"]["seen"]) == []


@pytest.mark.server
@pytest.mark.prove
@pytest.mark.parametrize("name", [name for name in SERVERS if name not in ("moto", "emulator")])
def test_the_others(name: str, tmp_path: Path) -> None:
    if why := absent(name):
        pytest.skip(why)
    with running(name, tmp_path) as (server, told):
        assert told == KEPT_NOW[name]["version"]
        assert agrees(observe(server), KEPT_NOW[name]["seen"]) == []


def test_a_difference_is_told() -> None:
    seen = KEPT_NOW["ceph"]["seen"]
    assert agrees(seen, seen) == []
    assert len(agrees(KEPT_NOW["rclone"]["seen"], seen)) > 5
    fewer = seen | {"32 replaces at once": {"one wins": True, "losers": [412]}}
    assert agrees(fewer, seen) == []
    more = seen | {"32 replaces at once": {"one wins": True, "losers": [409, 412]}}
    assert agrees(more, seen) != []
