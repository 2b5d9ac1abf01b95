"""What a client asks of a store that it has never used, when many of its callers come at once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from swampstore.client.core import CoreStore
from swampstore.env.aio import AioEnv
from swampstore.env.blocking import BlockingEnv, run
from swampstore.stores.memory import MemoryStore
from swampstore.testing.wrappers import CountingStore
from swampstore.values.deltas import Put

CALLERS = 40


class Unnamed(MemoryStore):
    """A memory store whose proof of preconditions is kept like that of any other."""

    @property
    def url(self) -> str:
        return "s3://bucket/cold"


def put(number: int) -> Put:
    return Put(key=f"k/{number}", data=b"x")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_cold_burst_reads_the_root_once(asynchronous: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof lies in the root: of forty callers one reads it, and their appends share a few writes."""
    store: Any = Unnamed()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    run(CoreStore(store, BlockingEnv()).namespace("ns").put(put(0)))
    run(CoreStore(store, BlockingEnv()).namespace("ns").compact())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    counting = CountingStore(store)

    async def tasks() -> None:
        space = CoreStore(counting, AioEnv()).namespace("ns")
        await asyncio.gather(*(space.put(put(number)) for number in range(CALLERS)))

    def threads() -> None:
        space = CoreStore(counting, BlockingEnv()).namespace("ns")
        many = [threading.Thread(target=lambda n=n: run(space.put(put(n)))) for n in range(CALLERS)]  # type: ignore[misc]
        for one in many:
            one.start()
        for one in many:
            one.join()

    asyncio.run(tasks()) if asynchronous else threads()
    asked = dict(counting.requests)
    creates = asked.pop("create")
    assert asked == {"get": 1}
    assert creates <= CALLERS
    assert creates <= 3 or not asynchronous
