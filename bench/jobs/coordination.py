"""How jobs of updates, queues and streams open a store: through the public face, counted where requests matter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from bench.jobs.counting import Counting, open_counted
from swampstore.client.blocking import Datastore, Namespace

_START_S = 240.0
"""How long a crowd may take to start up; on a busy machine a hundred processes take minutes."""


def counted(url: str, namespace: str) -> tuple[Datastore, Namespace, Counting]:
    """An open store, one namespace of it, and what counts their requests."""
    core, _, counts = open_counted(url, namespace)
    store = Datastore(core)
    return store, store.namespace(namespace), counts


def one_more(current: bytes | None) -> bytes:
    """An increment."""
    return b"%d" % (int(current or b"0") + 1)


class Crowd:
    """Threads that are released together and of which none may fail unseen."""

    def __init__(self, count: int, work: Callable[[int], Any]) -> None:
        self._work = work
        self._barrier = threading.Barrier(count + 1)
        self.results: list[Any] = [None] * count
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        self._barrier.wait(_START_S)
        try:
            self.results[number] = self._work(number)
        except BaseException as error:
            self._failed.append(error)
            raise

    def go(self) -> list[Any]:
        """Release them and wait; their results. Raises the first error of any."""
        self._barrier.wait(_START_S)
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]
        return self.results
