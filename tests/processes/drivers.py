"""Which driver of S3 the processes of a round use; the core above is the blocking one in all cases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from swampstore.env.aio import AioEnv
from swampstore.env.base import Env
from swampstore.stores.base import Body, Got, Headed, NotModified, Outcome, Page, Request, Store, Stored, When
from swampstore.stores.open import open_store

T = TypeVar("T")
DRIVERS = ("fast", "fast-asyncio", "botocore", "botocore-asyncio")


def open_with(driver: str, url: str, env: Env, timeout: float) -> Store:
    """The bare store of ``url``; if it is in a bucket, over one of ``DRIVERS``."""
    if not url.startswith("s3:"):
        return open_store(url, env=env, timeout=timeout)
    kind, _, asynchronous = driver.partition("-")
    if asynchronous:
        return Across(lambda: open_store(url, env=AioEnv(), asynchronous=True, timeout=timeout, driver=kind))
    return open_store(url, env=env, timeout=timeout, driver=kind)


class Across:
    """A store for asyncio as one that blocks: its calls are carried out in a loop of another thread."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="store-loop").start()

        async def made() -> Store:
            return make()

        self._inner = self._finish(made())

    def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def url(self) -> str:
        return self._inner.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        return self._finish(self._inner.get(name, span=span, if_none_match=if_none_match))

    async def put(self, name: str, body: Body, when: When) -> Stored:
        return self._finish(self._inner.put(name, body, when))

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        return self._finish(self._inner.list(prefix, start_after=start_after, limit=limit))

    async def head(self, name: str) -> Headed:
        return self._finish(self._inner.head(name))

    async def delete(self, names: Sequence[str]) -> None:
        self._finish(self._inner.delete(names))

    async def now(self) -> int:
        return self._finish(self._inner.now())

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return self._finish(self._inner.many(requests))

    async def close(self) -> None:
        self._finish(self._inner.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
