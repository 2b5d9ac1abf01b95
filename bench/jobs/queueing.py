"""Queues: holders that die, those who wait behind them, jobs that come for admission, and what it all asks of a store."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from typing import Any

_QUEUED_S = 60.0
_POLLS_S = 3.0
_FAR = 5


def hold(url: str, namespace: str, name: str) -> Generator[None, None, None]:
    """Hold a place from the start-up on, until standard input ends."""
    import swampstore

    with (
        swampstore.open(url, create=True) as store,
        store.namespace(namespace).queue(name, 1).acquire(purpose="to be killed"),
    ):
        yield
        sys.stdin.read()


def wait(url: str, namespace: str, name: str) -> Generator[None, None, dict[str, Any]]:
    """Wait for a place from the start-up on; when it was granted (the monotonic clock)."""
    import swampstore

    store = swampstore.open(url)
    queued = threading.Event()
    granted: list[float] = []

    def work() -> None:
        with store.namespace(namespace).queue(name, 1).acquire(on_wait=lambda _: queued.set()):
            granted.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    if not queued.wait(_QUEUED_S):
        raise AssertionError("the place was free")
    yield
    thread.join()
    store.close()
    return {"granted": granted[0]}


def admit(
    url: str, namespace: str, name: str, capacity: int, bound: int | None, hold_s: float, callers: int
) -> Generator[None, None, dict[str, Any]]:
    """``callers`` threads, each for one place that it holds for ``hold_s``; how each fared."""
    import swampstore
    from bench.jobs.coordination import Crowd

    store = swampstore.open(url)
    queue = store.namespace(namespace).queue(name, capacity)
    queue.status()

    def work(_: int) -> dict[str, Any]:
        positions: list[int] = []
        came = time.monotonic()
        try:
            with queue.acquire(bound=bound, on_wait=lambda waiting: positions.append(waiting.position)) as place:
                granted = time.monotonic()
                time.sleep(hold_s)
                ended = time.monotonic()
        except swampstore.QueueFull:
            return {"full": (time.monotonic() - came) * 1000}
        except swampstore.SwampError as error:
            return {"failed": f"{error.code}: {error}"}
        return {"granted": granted, "ended": ended, "ticket": place.ticket, "positions": positions}

    crowd = Crowd(callers, work)
    yield
    began = time.monotonic()
    done = crowd.go()
    store.close()
    return {"began": began, "done": done}


def costs(url: str, namespace: str) -> Generator[None, None, dict[str, Any]]:
    """Requests by verb of a place that is free, of its release, and of polls far from and next to the grant."""
    import swampstore
    from bench.jobs.coordination import counted

    store, space, counts = counted(url, namespace)
    queue = space.queue("costs", 1)
    with queue.acquire():
        pass
    yield
    counts.reset()
    with queue.acquire():
        free, rounds = Counter(counts.requests), counts.rounds
        counts.reset()
    release = Counter(counts.requests)
    with swampstore.open(url) as other:
        near = _polls(other.namespace(namespace), queue, counts, 1)
        far = _polls(other.namespace(namespace), queue, counts, _FAR)
    store.close()
    return {"free": free, "rounds": rounds, "release": release, "near": near, "far": far, "window_s": _POLLS_S}


def _polls(others: Any, queue: Any, counts: Any, position: int) -> Counter[str]:
    """What a waiter at ``position`` asks for in ``_POLLS_S`` seconds; a poll is a read of the register."""
    leave = threading.Event()
    threads = [_Behind(others.queue("costs", 1), leave).begin() for _ in range(position)]
    counts.reset()

    def work() -> None:
        with queue.acquire():
            pass

    mine = threading.Thread(target=work)
    mine.start()
    while "create" not in counts.requests:
        time.sleep(0.01)
    counts.reset()
    time.sleep(_POLLS_S)
    asked = Counter("poll" if name.endswith("/register") else verb for verb, name in list(counts.names))
    leave.set()
    for thread in (*threads, mine):
        thread.join()
    return asked


class _Behind:
    """A thread that takes a place (or queues for it) and leaves it when told to."""

    def __init__(self, queue: Any, leave: threading.Event) -> None:
        self._queue = queue
        self._leave = leave
        self._there = threading.Event()

    def begin(self) -> threading.Thread:
        thread = threading.Thread(target=self._run)
        thread.start()
        if not self._there.wait(_QUEUED_S):
            raise AssertionError("it neither got a place nor queued")
        return thread

    def _run(self) -> None:
        with self._queue.acquire(on_wait=lambda _: self._there.set()):
            self._there.set()
            self._leave.wait()
