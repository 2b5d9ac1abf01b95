"""The conformance tests over the stores that need no server, and over every wrapper."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import NotFound
from swampstore.stores.base import Got, Overwrite
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.stores.retry import Retrying
from swampstore.testing.conformance import StoreConformance
from swampstore.testing.wrappers import CountingStore, FaultyStore, LatencyStore


class OverMemory(StoreConformance):
    """Raw access to a memory store is by its own verbs: there is no other way in."""

    def raw_get(self, store: Any, name: str) -> bytes | None:
        try:
            got = run(inmost(store).get(name))
        except NotFound:
            return None
        assert isinstance(got, Got)
        return got.body

    def raw_set(self, store: Any, name: str, body: bytes) -> None:
        run(inmost(store).put(name, body, Overwrite()))


class OverLocal(StoreConformance):
    """Raw access to a local store is by files."""

    def raw_get(self, store: Any, name: str) -> bytes | None:
        path = Path(inmost(store).root, name)
        return path.read_bytes() if path.is_file() else None

    def raw_set(self, store: Any, name: str, body: bytes) -> None:
        path = Path(inmost(store).root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def inmost(store: Any) -> Any:
    while hasattr(store, "inner"):
        store = store.inner
    return store


class TestMemory(OverMemory):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestLocal(OverLocal):
    """On the disk; the others lie where temporary folders do."""

    @pytest.fixture
    def store(self, disk_path: Path) -> LocalStore:
        return LocalStore(disk_path)


class TestLocalBuffered(OverLocal):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path / "new" / "root", create=True, durable=False)


class TestLocalWithoutTicks(OverLocal):
    """A file system that keeps times in whole seconds: ETags must differ all the same."""

    @pytest.fixture
    def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
        kept = os.utime

        def coarse(path: Any, *, ns: tuple[int, int]) -> None:
            kept(path, ns=(ns[0] // 10**9 * 10**9, ns[1] // 10**9 * 10**9))

        monkeypatch.setattr(os, "utime", coarse)
        return LocalStore(tmp_path)

    def test_what_others_put_is_got(self, store: Any, drive: Any) -> None:
        pytest.skip("what others put has a time of the real file system here")

    def test_contents_of_one_name_never_share_an_etag(self, store: Any, drive: Any) -> None:
        etags = [drive(store.put("a", b"%03d" % n, Overwrite())).etag for n in range(20)]
        assert len(set(etags)) == 20

    def test_every_answer_carries_the_time(self, store: Any, drive: Any) -> None:
        pytest.skip("times run ahead here when one name is written often")


class TestAsynchronousFaceOfLocal(OverLocal):
    asynchronous = True

    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path)


class TestCounting(OverMemory):
    @pytest.fixture
    def store(self) -> CountingStore:
        return CountingStore(MemoryStore())


class TestLatency(OverMemory):
    @pytest.fixture
    def store(self) -> LatencyStore:
        return LatencyStore(MemoryStore(), BlockingEnv(), 0.0002)


class TestFaulty(OverMemory):
    @pytest.fixture
    def store(self) -> FaultyStore:
        return FaultyStore(MemoryStore())


class TestRetrying(OverMemory):
    @pytest.fixture
    def store(self) -> Retrying:
        return Retrying(MemoryStore(), BlockingEnv(), deadline_s=5.0)
