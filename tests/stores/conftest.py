"""What tests of several stores share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.stores.s3_fast import FastStore
from swampstore.stores.s3_fast_aio import AioFastStore
from swampstore.stores.s3_options import S3Options


@pytest.fixture(params=[FastStore, AioFastStore])
def drive(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Both fast drivers: ``drive.open(**options)`` gives a store of the driver, ``drive(coroutine)`` finishes its calls."""

    class Drive:
        blocking = request.param is FastStore

        def __init__(self, finish: Callable[[Any], Any]) -> None:
            self._finish = finish
            self.opened: list[Any] = []

        def open(self, plan: Any = None, **options: Any) -> Any:
            self.opened.append(request.param(S3Options(**{"bucket": "bucket", "region": "eu-west-1", **options}), plan))
            return self.opened[-1]

        def __call__(self, work: Any) -> Any:
            return self._finish(work)

    with contextlib.ExitStack() as stack:
        drive = Drive(run if request.param is FastStore else stack.enter_context(asyncio.Runner()).run)
        yield drive
        for store in drive.opened:
            drive(store.close())
