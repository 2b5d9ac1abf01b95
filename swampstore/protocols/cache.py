"""A cache bounded in bytes, least recently used out first. Holds immutable things only; safe between threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteCache(Generic[K, V]):
    """``put`` names the weight in bytes; an item heavier than a quarter of the bound is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._lock = threading.Lock()
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        return self._bytes

    def get(self, key: K) -> V | None:
        with self._lock:
            found = self._items.get(key)
            if found is None:
                return None
            self._items.move_to_end(key)
            return found[0]

    def pop(self, key: K) -> None:
        """Forget an item that is not needed any more."""
        with self._lock:
            found = self._items.pop(key, None)
            self._bytes -= found[1] if found else 0

    def clear(self) -> None:
        with self._lock:
            self._items.clear()
            self._bytes = 0

    def put(self, key: K, value: V, weight: int) -> None:
        if weight > self._max // 4:
            return
        with self._lock:
            held = self._items.pop(key, None)
            self._bytes += weight - (held[1] if held else 0)
            self._items[key] = (value, weight)
            while self._bytes > self._max:
                _, (_, out) = self._items.popitem(last=False)
                self._bytes -= out
