"""The asyncio environment: waits suspend the task, detached work outlives a cancelled caller."""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from swampstore.env.aio_group import TaskGroup
from swampstore.env.blocking import SystemClocks
from swampstore.env.group import Q
from swampstore.env.phases import leave
from swampstore.errors import Misuse

T = TypeVar("T")


class AioEvent:
    """An :class:`~swampstore.env.base.Event` for the tasks of one loop; ``set`` may come from any thread."""

    __slots__ = ("_event", "_loop")

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def set(self) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._event.set()
        else:
            self._loop.call_soon_threadsafe(self._event.set)

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self, seconds: float | None = None) -> bool:
        if seconds is None:
            return await self._event.wait()
        try:
            async with asyncio.timeout(seconds):
                return await self._event.wait()
        except TimeoutError:
            return self._event.is_set()


class _Beat:
    """A task that runs core code now and then."""

    def __init__(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._loop(seconds, work))

    async def _loop(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        leave()  # the task has the context of its maker, but is no part of what its maker does
        while True:
            await asyncio.sleep(seconds)
            await work()

    async def stop(self) -> None:
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            if not self._task.cancelled():
                raise


async def _apart(work: Coroutine[Any, Any, T]) -> T:
    """``work`` as no part of the operation that it was begun in, which it may outlive."""
    leave()
    return await work


class AioEnv(SystemClocks):
    """See :class:`swampstore.env.base.Env`. Belongs to the event loop it is used in."""

    here = staticmethod(_get_running_loop)

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._loop = _get_running_loop()

    def check_caller(self) -> None:
        """Raise ``Misuse`` in another event loop than the first: two would write into one batch, and lose it."""
        loop = _get_running_loop()
        if loop is not self._loop and loop is not None:
            if self._loop is not None:
                raise Misuse("the store was opened in another event loop", hint="open the store once for each loop")
            self._loop = loop

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def event(self) -> AioEvent:
        return AioEvent()

    async def detached(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)  # the loop keeps only a weak reference to a task
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(_apart(work))
        self._running.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            raise TimeoutError(f"not done within {seconds:g} s")
        return task.result()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: nobody waits for it any more, or whoever does has it already

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> _Beat:
        return _Beat(seconds, work)

    def group(self, write: Callable[[Sequence[Q]], None]) -> TaskGroup[Q]:
        """Group commit of tasks for writes that never suspend."""
        return TaskGroup(write)
