"""The blocking environment: nothing suspends, so a coroutine is finished by one ``send(None)``."""

from __future__ import annotations

import contextvars
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from swampstore.env.group import Q, ThreadGroup
from swampstore.env.phases import leave

T = TypeVar("T")

# CLOCK_BOOTTIME counts suspended time (Linux); macOS's monotonic clock is the nearest there is.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Finish ``work``, which must never suspend, and return what it returns."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        work.close()
    raise RuntimeError("a coroutine suspended in the blocking driver: an asyncio store or env was mixed in")


def each(source: AsyncIterator[T]) -> Iterator[T]:
    """Drive an asynchronous iterator that never suspends."""

    async def step() -> T:
        return await anext(source)

    while True:
        try:
            yield run(step())
        except StopAsyncIteration:
            return


class BlockingEvent:
    """An :class:`~swampstore.env.base.Event` of one lock, which is held until the event is set.

    That of ``threading`` would stay locked for ever when the handler of a signal raises in the middle of its ``set``.
    """

    __slots__ = ("_lock", "_set")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._set = False

    def set(self) -> None:
        self._set = True
        try:  # noqa: SIM105 (nothing between a signal and the call)
            self._lock.release()
        except RuntimeError:
            pass  # it was set before

    def is_set(self) -> bool:
        return self._set

    async def wait(self, seconds: float | None = None) -> bool:
        if not self._set:
            try:
                self._lock.acquire(True, -1 if seconds is None else min(max(seconds, 0.0), threading.TIMEOUT_MAX))
            finally:
                if self._set:
                    self.set()  # for the next who waits
        return self._set


class _Beat:
    """A daemon thread that runs core code now and then."""

    def __init__(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._loop, args=(seconds, work), daemon=True, name="swampstore-beat")
        self._thread.start()

    def _loop(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while not self._stop.wait(seconds):
            try:
                run(work())
            except BaseException as error:  # noqa: BLE001 (kept: stop() raises it)
                self._error = error
                return

    async def stop(self) -> None:
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        if self._error is not None:
            raise self._error


class _Errand(Generic[T]):
    """Work in a thread of its own, which may outlive whoever waits for it."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def start(self) -> bool:
        """Whether there is a thread; at the end of the interpreter there are no more."""
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._run,), daemon=True, name="swampstore-errand")
        try:
            thread.start()
        except RuntimeError:
            return False
        return True

    def _run(self) -> None:
        leave()  # it may outlive the operation that it was begun in
        try:
            self._result.append(run(self._work))
        except BaseException as error:  # noqa: BLE001 (kept: whoever waits raises it)
            self._error = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> T:
        if not self._done.wait(seconds):
            raise TimeoutError(f"not done within {seconds:g} s")
        if self._error is not None:
            raise self._error
        return self._result[0]


class SystemClocks:
    """Clocks, dice and identity of this machine; shared by the blocking and the asyncio environment."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    # Three readings an append: a call into C, and none of Python's around it.
    boot = staticmethod(partial(time.clock_gettime, _BOOT_CLOCK))

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def random(self) -> float:
        return random.random()

    def identity(self) -> tuple[str, int]:
        return os.uname().nodename, os.getpid()

    def process_token(self) -> int:
        return os.getpid()

    def check_caller(self) -> None:
        """Anybody may call."""


class BlockingEnv(SystemClocks):
    """See :class:`swampstore.env.base.Env`. Safe to share between threads."""

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def event(self) -> BlockingEvent:
        return BlockingEvent()

    async def detached(self, work: Coroutine[Any, Any, T]) -> T:
        return await work

    async def within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        errand = _Errand(work)
        if not errand.start():
            return await work
        return errand.wait(seconds)

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> _Beat:
        return _Beat(seconds, work)

    def group(self, write: Callable[[Sequence[Q]], None]) -> ThreadGroup[Q]:
        """Group commit of threads for writes that never suspend."""
        return ThreadGroup(write)
