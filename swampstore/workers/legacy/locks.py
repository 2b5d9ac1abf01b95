"""Who holds a lock on a legacy store right now; an import waits for nobody but is refused while somebody does.

Invariants:
- A lock is live while its object's own modification time is within its ``ttlMs`` by the store's clock; no other
  machine's clock is believed.
- A lock that cannot be read counts as live for an hour: refusing is safe, and an import can be forced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from swampstore.errors import NotFound, SwampError
from swampstore.limits import LIST_PAGE, STORE_TIME_GRAIN_MS
from swampstore.stores.base import Get, Got, Outcome, Store
from swampstore.workers.legacy.limits import ASSUMED_LOCK_TTL_MS, LOCK_BYTES, LOCK_TTL_MAX_MS, PARTITIONS_AT_ONCE
from swampstore.workers.legacy.rules import Place, lock_names


class LiveLock(msgspec.Struct, frozen=True):
    """A live lock: its object's name, what it says of its holder (for people to read), and for how long it lives."""

    name: str
    holder: str
    age_ms: int
    left_ms: int

    def describe(self) -> str:
        """One line for people."""
        return f"{self.name}: {self.holder}, {self.age_ms / 1000:.0f} s old, live for {self.left_ms / 1000:.0f} s more"


async def live_locks(store: Store, place: Place, *, found: Iterable[str] | None = None) -> list[LiveLock]:
    """The live locks that guard ``place``, by name.

    ``found`` are the names of ``.lock`` objects below ``P/data/`` if the caller has listed it; else it is listed here
    (one request per thousand objects). Raises what the store raises.
    """
    inner = list(found) if found is not None else await data_locks(store, place)
    names = sorted({*lock_names(place), *inner})
    live: list[LiveLock] = []
    for start in range(0, len(names), PARTITIONS_AT_ONCE):
        group = names[start : start + PARTITIONS_AT_ONCE]
        answers = await store.many([Get(name, span=(0, LOCK_BYTES)) for name in group])
        live += [lock for name, answer in zip(group, answers, strict=True) if (lock := _judge(name, answer))]
    return live


async def data_locks(store: Store, place: Place) -> list[str]:
    """The names of all ``.lock`` objects below ``P/data/``, by listing it."""
    names: list[str] = []
    after = ""
    while True:
        page = await store.list(f"{place.base}data/", start_after=after, limit=LIST_PAGE)
        names += [info.name for info in page.items if info.name.endswith("/.lock")]
        if not page.more:
            return names
        after = page.items[-1].name


def _judge(name: str, answer: Outcome) -> LiveLock | None:
    if isinstance(answer, NotFound):
        return None
    if isinstance(answer, SwampError):
        raise answer
    if not isinstance(answer, Got):
        raise TypeError(f"a read was answered with {type(answer).__name__}")
    holder, ttl_ms = read_lock(answer.body)
    age_ms = max(0, answer.time - answer.modified)
    left_ms = ttl_ms + STORE_TIME_GRAIN_MS - age_ms
    return LiveLock(name, holder, age_ms, left_ms) if left_ms > 0 else None


def read_lock(body: bytes) -> tuple[str, int]:
    """Who a lock says holds it, and its time to live in ms; an unreadable one is somebody's for an hour."""
    try:
        said: Any = msgspec.json.decode(body)
        ttl = said["ttlMs"]
        if type(ttl) not in (int, float):
            raise TypeError("ttlMs is not a number")
        parts = [str(said[field])[:200] for field in ("holder", "hostname", "pid") if said.get(field) is not None]
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError, AttributeError, RecursionError):
        return "an unreadable lock", ASSUMED_LOCK_TTL_MS
    return " ".join(parts) or "nobody named", int(min(max(ttl, 0), LOCK_TTL_MAX_MS))
