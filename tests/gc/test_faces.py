"""Gc as users meet it: through the clients, on data that was put by them; what has expired is gone for all at once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import swampstore
from swampstore.errors import BadConfig, Misuse

MODEL = swampstore.Model(type="aws/ec2", id="7c1e4f0a")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_versions_that_are_given_up(tmp_path: Path) -> None:
    with swampstore.open(str(tmp_path / "s"), create=True) as store:
        ns = store.namespace("ops")
        item = ns.data(MODEL, "report")
        acks = [item.put(f"version {number}", keep=2) for number in range(5)]
        ns.compact()
        assert ns.gc().superseded == 3
        assert len(item.versions()) == 5
        done = ns.gc(dry_run=False)
        assert (done.superseded, done.entries, done.segments) == (3, 9, 1)
        assert [version.ordinal for version in item.versions()] == [5, 4]
        assert item.read() == b"version 4"
        assert item.get(acks[0].id) is None
        assert item.get(acks[4].id) is not None
        ns.compact()
        assert [version.ordinal for version in item.versions()] == [5, 4]
        item.put("version 5", keep=2)
        ns.compact()
        assert item.versions()[0].ordinal == 6
        assert [shown.ordinal for shown in ns.gc().shown] == [4]


def test_expired_is_gone_for_every_reader_before_any_gc(tmp_path: Path) -> None:
    with swampstore.open(str(tmp_path / "s"), create=True) as store:
        ns = store.namespace("ops")
        past = round(time.time() * 1000) - 5000
        ns.put("plain", "x", expires=past)
        ns.put("stays", "x")
        for level in ("log", "inline", "shard"):
            assert ns.get("plain") is None, level
            assert [entry.key for entry in ns.list()] == ["stays"]
            assert [entry.key for entry in ns.scan()] == ["stays"]
            assert ns.get_many(["plain", "stays"])["plain"] is None
            with pytest.raises(swampstore.NotFound):
                ns.read("plain")
            ns.compact(full=level == "inline")
        assert ns.gc(dry_run=False).expired == 1
        assert ns.gc().removed == 0


def test_arguments_are_checked(tmp_path: Path) -> None:
    with swampstore.open(str(tmp_path / "s"), create=True) as store:
        ns = store.namespace("ops")
        with pytest.raises(BadConfig):
            ns.gc_runs(outputs="soon")
        with pytest.raises(Misuse):
            ns.set_retention(auto="yes")  # type: ignore[arg-type]
        assert not ns.retention().auto
        assert ns.set_retention(auto=True).auto
        assert ns.prune().removed == 0
        assert ns.gc_runs().removed == 0


def test_the_asyncio_face() -> None:
    async def work() -> None:
        async with await swampstore.open_async("memory://gc-face") as store:
            ns = store.namespace("ops")
            item = ns.data(MODEL, "report")
            for number in range(3):
                await item.put(f"version {number}", keep=1)
            await ns.compact()
            assert (await ns.gc()).superseded == 2
            assert (await ns.gc(dry_run=False)).superseded == 2
            assert (await ns.prune(dry_run=False)).leftovers == 0
            assert (await ns.set_retention(auto=True)).auto
            assert (await ns.retention()).auto
            assert (await ns.gc_runs()).removed == 0

    asyncio.run(work())


def test_a_namespace_of_streams_alone_has_no_clock_that_could_be_off() -> None:
    """Versions of stream records are positions: read as times, they would be of 1970."""
    with swampstore.open("memory://streams-alone") as store:
        namespace = store.namespace("ops")
        namespace.stream("run").append([b"1", b"2"])
        namespace.compact()
        assert namespace.gc().expired == 0
