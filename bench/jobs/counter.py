"""Increments of one counter, by processes and by threads."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

COUNTER = "bench/counter"


def begin(url: str, namespace: str) -> Generator[None, None, None]:
    """A namespace whose preconditions are proved, with a counter at 0."""
    import swampstore

    yield
    with swampstore.open(url, create=True) as store:
        store.namespace(namespace).put(COUNTER, b"0")
        store.namespace(namespace).compact()


def value(url: str, namespace: str) -> Generator[None, None, int]:
    """What the counter stands at."""
    import swampstore

    yield
    with swampstore.open(url) as store:
        return int(store.namespace(namespace).read(COUNTER))


def increment(url: str, namespace: str, threads: int) -> Generator[None, None, dict[str, Any]]:
    """One increment from each of ``threads`` threads of one client; when, and how each went."""
    import swampstore
    from bench.jobs.coordination import Crowd, one_more

    store = swampstore.open(url)
    space = store.namespace(namespace)
    space.update(COUNTER, lambda _: swampstore.SKIP)

    def work(_: int) -> dict[str, Any]:
        began = time.monotonic()
        try:
            done = space.update(COUNTER, one_more)
        except swampstore.SwampError as error:
            return {"failed": f"{error.code}: {error}"}
        ms = (time.monotonic() - began) * 1000
        return {"ms": ms, "how": done.how, "attempts": done.attempts, "ticket": done.ticket, "slot": done.slot}

    crowd = Crowd(threads, work)
    yield
    began = time.monotonic()
    done = crowd.go()
    ended = time.monotonic()
    store.close()
    return {"began": began, "ended": ended, "done": done}
