"""Which driver speaks to a bucket: the fast one wherever it does what is configured, else botocore's client.

The choice is made at the first call, when credentials and settings are read anyway, and never changes.

Invariants:
- ``driver=fast`` and ``driver=botocore`` are obeyed or refused, never replaced; only ``auto`` chooses.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from swampstore.errors import BadConfig, Misuse
from swampstore.stores.base import Body, Got, Headed, NotModified, Outcome, Page, Request, Store, Stored, When
from swampstore.stores.s3_options import S3Options
from swampstore.stores.s3_plan import Plan, Unfit, make_plan


class S3Store:
    """See :class:`swampstore.stores.base.Store`. ``driver`` names the driver in use (empty before the first call),
    ``reason`` says why it is not the fast one."""

    def __init__(self, options: S3Options, *, asynchronous: bool) -> None:
        self._options = options
        self._asynchronous = asynchronous
        self._inner: Store | None = None
        self._lock = threading.Lock()
        self._task_lock: Any = None
        self._closed = False
        self.driver = ""
        self.reason = ""

    @property
    def url(self) -> str:
        return self._options.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        return await (self._inner or await self._choose()).get(name, span=span, if_none_match=if_none_match)

    async def put(self, name: str, body: Body, when: When) -> Stored:
        return await (self._inner or await self._choose()).put(name, body, when)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        return await (self._inner or await self._choose()).list(prefix, start_after=start_after, limit=limit)

    async def head(self, name: str) -> Headed:
        return await (self._inner or await self._choose()).head(name)

    async def delete(self, names: Sequence[str]) -> None:
        await (self._inner or await self._choose()).delete(names)

    async def now(self) -> int:
        return await (self._inner or await self._choose()).now()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return await (self._inner or await self._choose()).many(requests)

    async def close(self) -> None:
        self._closed = True
        if self._inner is not None:
            await self._inner.close()

    async def _choose(self) -> Store:
        if self._asynchronous:
            return await self._choose_in_loop()
        with self._lock:
            if self._inner is None:
                self._inner = self._made(self._plan())
            return self._inner

    async def _choose_in_loop(self) -> Store:
        """The same, while the loop goes on: credentials may be fetched over the network."""
        import asyncio

        if self._task_lock is None:
            self._task_lock = asyncio.Lock()
        async with self._task_lock:
            if self._inner is None:
                self._inner = self._made(await asyncio.to_thread(self._plan))
            return self._inner

    def _plan(self) -> Plan | None:
        """The plan of the fast driver; ``None`` when it is not to be used."""
        if self._closed:
            raise Misuse(f"the store {self.url} is closed")
        if self._options.driver == "botocore":
            self.reason = "driver=botocore"
            return None
        try:
            return make_plan(self._options)
        except Unfit as unfit:
            if self._options.driver == "fast":
                raise BadConfig(
                    f"{self.url}: the fast driver cannot be used: {unfit}", hint="leave out driver=fast"
                ) from unfit
            self.reason = str(unfit)
            return None

    def _made(self, plan: Plan | None) -> Store:
        self.driver = "fast" if plan is not None else "botocore"
        if self._asynchronous:
            if plan is not None:
                from swampstore.stores.s3_fast_aio import AioFastStore

                return AioFastStore(self._options, plan)
            from swampstore.stores.s3_aioboto import AioBotoStore

            return AioBotoStore(self._options)
        if plan is not None:
            from swampstore.stores.s3_fast import FastStore

            return FastStore(self._options, plan)
        from swampstore.stores.s3_boto import BotoStore

        return BotoStore(self._options)
