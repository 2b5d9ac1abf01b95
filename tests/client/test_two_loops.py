"""An async store belongs to one event loop; another is refused before anything is written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.client.aio import AsyncDatastore, AsyncNamespace

CALLS: dict[str, Callable[[AsyncNamespace], Coroutine[Any, Any, Any]]] = {
    "put": lambda ns: ns.put("k", b"x"),
    "put with labels": lambda ns: ns.put("k", b"x", tags={"a": "b"}),
    "put_many": lambda ns: ns.put_many({"k": b"x"}),
    "delete": lambda ns: ns.delete("warm"),
    "update": lambda ns: ns.update("k", lambda _: b"x"),
    "get": lambda ns: ns.get("warm"),
    "read": lambda ns: ns.read("warm"),
    "snapshot": lambda ns: ns.snapshot(),
}


@pytest.mark.parametrize("lanes", ["on", "off"])
def test_another_loop_is_refused_before_anything_is_written(lanes: str, tmp_path: Path) -> None:
    url = f"file://{tmp_path}?lanes={lanes}"
    refused: dict[str, swampstore.Misuse] = {}

    async def opened() -> AsyncDatastore:
        store = await swampstore.open_async(url)
        await store.namespace("n").put("warm", b"w")
        return store

    async def elsewhere(store: AsyncDatastore, ns: AsyncNamespace, stream: Any) -> None:
        for name, call in {**CALLS, "append": lambda _: stream.append([b"x"])}.items():
            try:
                await call(ns)
            except swampstore.Misuse as error:
                refused[name] = error

    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(opened())
    ns = store.namespace("n")  # outside of any loop nothing can be awaited
    thread = threading.Thread(target=lambda: asyncio.run(elsewhere(store, ns, ns.stream("s"))))
    thread.start()
    thread.join()
    assert sorted(refused) == sorted([*CALLS, "append"])
    assert "each loop" in refused["put"].hint
    loop.run_until_complete(ns.put("own", b"o"))
    loop.run_until_complete(store.close())
    loop.close()
    with swampstore.open(url) as again:
        assert [entry.key for entry in again.namespace("n").list()] == ["own", "warm"]
        assert again.namespace("n").stream("s").tail() == swampstore.EMPTY
