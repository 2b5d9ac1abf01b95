"""Updates that nobody contends with: one after the other, and as many as the commit lane takes."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from bench.jobs.append import PAYLOAD
from bench.jobs.until import input_ended

_PAUSE_S = 0.1


def updates(url: str, namespace: str, count: int, meddle: bool) -> Generator[None, None, dict[str, Any]]:
    """``count`` updates of one key; ms, dependent rounds and requests of each.

    With ``meddle`` another writer puts another key before each, so that there is something new to read. The first
    update, which connects and proves the store's preconditions, belongs to the start-up.
    """
    import swampstore
    from bench.jobs.coordination import counted, one_more

    store, space, counts = counted(url, namespace)
    other = swampstore.open(url)
    for _ in range(2):
        space.update("bench/counter", one_more)
    other.namespace(namespace).put("bench/other", PAYLOAD)
    yield
    took, rounds, asked = [], [], []
    for number in range(count):
        if meddle:
            other.namespace(namespace).put(f"bench/other-{number % 50}", PAYLOAD)
        counts.reset()
        began = time.perf_counter()
        done = space.update("bench/counter", one_more)
        took.append((time.perf_counter() - began) * 1000)
        rounds.append(counts.rounds)
        asked.append(counts.total)
        if (done.how, done.attempts) != ("optimistic", 1):
            raise AssertionError(f"nobody contends, yet an update went {done}")
    store.close()
    other.close()
    return {"ms": took, "rounds": rounds, "requests": asked}


def commits(
    url: str, namespace: str, prefix: str, threads: int, seconds: float
) -> Generator[None, None, dict[str, Any]]:
    """Updates as fast as they go for ``seconds``, each thread with a key of its own."""
    import swampstore
    from bench.jobs.coordination import Crowd, one_more

    store = swampstore.open(url)
    space = store.namespace(namespace)
    space.update(f"{prefix}/0", lambda _: swampstore.SKIP)
    began = 0.0

    def work(number: int) -> list[tuple[float, int, int]]:
        done = []
        while (now := time.monotonic()) < began + seconds:
            how = space.update(f"{prefix}/{number}", one_more)
            if (how.how, how.attempts) != ("optimistic", 1):
                raise AssertionError(f"keys are distinct, yet an update went {how}")
            done.append(((time.monotonic() - now) * 1000, how.slot, how.shared_by))
        return done

    crowd = Crowd(threads, work)
    yield
    began = time.monotonic()
    each = [one for several in crowd.go() for one in several]
    ended = time.monotonic()
    store.close()
    return {
        "began": began,
        "ended": ended,
        "ms": [ms for ms, _, _ in each],
        "slots": sorted({slot for _, slot, _ in each}),
        "largest": max(shared for _, _, shared in each),
    }


def others(url: str, namespace: str, prefix: str) -> Generator[None, None, dict[str, Any]]:
    """Updates of one key, one after the other, until standard input ends; when each began, its ms and how it went."""
    import swampstore
    from bench.jobs.coordination import one_more

    store = swampstore.open(url)
    space = store.namespace(namespace)
    space.update(prefix, lambda _: swampstore.SKIP)
    yield
    ended = input_ended()
    done = []
    while not ended.is_set():
        began = time.monotonic()
        how = space.update(prefix, one_more)
        ms = (time.monotonic() - began) * 1000
        done.append({"at": began, "ms": ms, "how": how.how, "attempts": how.attempts, "neighbours": how.neighbours})
        ended.wait(_PAUSE_S)
    store.close()
    return {"done": done}
