"""Sync from programs: the blocking and the asyncio client do the same to a folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import swampstore
from swampstore import SyncOptions


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_blocking(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_text("contents")
    (tmp_path / "a/big").write_bytes(b"b" * 70_000)
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        ns = store.namespace("ops")
        assert ns.sync(tmp_path / "a").pushed == 2
        report = ns.sync(tmp_path / "b", SyncOptions(metadata_only=True))
        assert (report.pulled, report.not_here) == (1, 1)
        with ns.open_file(tmp_path / "b", "big") as file:
            assert len(file.read()) == 70_000
        assert ns.hydrate(str(tmp_path / "b"), ["big"]).idle


def test_asyncio(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_text("contents")
    (tmp_path / "a/big").write_bytes(b"b" * 70_000)

    async def work() -> None:
        async with await swampstore.open_async(str(tmp_path / "store"), create=True) as store:
            ns = store.namespace("ops")
            assert (await ns.sync(tmp_path / "a")).pushed == 2
            report = await ns.sync(tmp_path / "b", SyncOptions(metadata_only=True, limit_rate=10_000_000))
            assert (report.pulled, report.not_here) == (1, 1)
            with await ns.open_file(tmp_path / "b", "big") as file:
                assert len(file.read()) == 70_000
            assert (await ns.hydrate(tmp_path / "b", ["big"])).idle

    asyncio.run(work())
