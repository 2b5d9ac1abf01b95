"""A cache bounded in bytes, least recently used out first, and what nobody asked for in a while goes too.

Holds immutable things only; safe between threads. What a log or a manifest has left behind (folded segments, shards that
were replaced) is never asked for again: without the second rule a process that lives long would hold a cache full of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Held(NamedTuple, Generic[V]):
    value: V
    weight: int
    used: float


class ByteCache(Generic[K, V]):
    """``put`` names the weight in bytes; an item heavier than a quarter of the bound is not kept.

    ``now`` gives seconds; with it an item that was not used for ``idle_s`` is forgotten when the next one is put or got.
    """

    def __init__(self, max_bytes: int, *, idle_s: float = 0.0, now: Callable[[], float] = lambda: 0.0) -> None:
        self._max = max_bytes
        self._idle_s = idle_s
        self._now = now
        self._lock = threading.Lock()
        self._items: OrderedDict[K, _Held[V]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        return self._bytes

    def get(self, key: K) -> V | None:
        now = self._now()
        with self._lock:
            held = self._items.get(key)
            if held is not None:
                self._items[key] = _Held(held.value, held.weight, now)
                self._items.move_to_end(key)
            self._forget(now)
            return None if held is None else held.value

    def pop(self, key: K) -> None:
        """Forget an item that is not needed any more."""
        with self._lock:
            held = self._items.pop(key, None)
            self._bytes -= held.weight if held else 0

    def clear(self) -> None:
        with self._lock:
            self._items.clear()
            self._bytes = 0

    def put(self, key: K, value: V, weight: int) -> None:
        if weight > self._max // 4:
            return
        now = self._now()
        with self._lock:
            held = self._items.pop(key, None)
            self._bytes += weight - (held.weight if held else 0)
            self._items[key] = _Held(value, weight, now)
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop the items that were used longest ago, while they are too many or too old."""
        while self._items:
            oldest = next(iter(self._items.values()))
            if self._bytes <= self._max and now - oldest.used <= self._idle_s:
                return
            self._items.popitem(last=False)
            self._bytes -= oldest.weight
