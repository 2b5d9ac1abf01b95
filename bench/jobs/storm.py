"""A storm of signals into many streams, and what has arrived of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

RETRIES = 100


def signal(
    url: str, namespace: str, number: int, streams: int, iterations: int, threads: int
) -> Generator[None, None, dict[str, Any]]:
    """One signal: a record into every stream, in every iteration; every other one by a fenced update.

    The streams of one iteration are served side by side, the iterations one after the other.
    """
    import swampstore

    store = swampstore.open(url)
    space = store.namespace(namespace)
    opened = [space.stream(f"run/{at}") for at in range(streams)]
    opened[0].tail()

    def send(stream: Any, iteration: int) -> tuple[float, str]:
        data = [b"%d-%d" % (number, iteration)]
        began = time.perf_counter()
        try:
            if iteration % 2:
                stream.update(lambda _: data, retries=RETRIES)
            else:
                stream.append(data)
        except swampstore.SwampError as error:
            return 0.0, f"{error.code}: {error}"
        return (time.perf_counter() - began) * 1000, ""

    pool = ThreadPoolExecutor(threads)
    yield
    began = time.monotonic()
    sent: dict[str, list[tuple[float, str]]] = {"blind": [], "fenced": []}
    for iteration in range(iterations):
        kind = "fenced" if iteration % 2 else "blind"
        # Every signal begins at another stream, as callers that know nothing of each other would.
        order = [*opened[number * 7 % streams :], *opened[: number * 7 % streams]]
        sent[kind] += pool.map(lambda stream, iteration=iteration: send(stream, iteration), order)
    ended = time.monotonic()
    pool.shutdown()
    store.close()
    refused = [why for kind in sent.values() for _, why in kind if why]
    return {
        "began": began,
        "ended": ended,
        "refused": refused,
        **{kind: [ms for ms, why in each if not why] for kind, each in sent.items()},
    }


def begin(url: str, namespace: str) -> Generator[None, None, None]:
    """A namespace whose preconditions are proved."""
    import swampstore

    yield
    with swampstore.open(url, create=True) as store:
        store.namespace(namespace).stream("first").append([b""])


def check(url: str, namespace: str, signals: int, streams: int, iterations: int) -> Generator[None, None, int]:
    """How many records are lost, doubled or out of their signal's order."""
    import swampstore

    yield
    wrong = 0
    wanted = Counter(b"%d-%d" % (number, turn) for number in range(signals) for turn in range(iterations))
    with swampstore.open(url) as store:
        for at in range(streams):
            found = [record.data for record in store.namespace(namespace).stream(f"run/{at}").read()]
            held = Counter(found)
            wrong += ((wanted - held) + (held - wanted)).total()
            for number in range(signals):
                mine = [int(data.split(b"-")[1]) for data in found if data.startswith(b"%d-" % number)]
                wrong += sum(after < before for before, after in pairwise(mine))
    return wrong
