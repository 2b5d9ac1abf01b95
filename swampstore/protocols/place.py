"""A place: one namespace of one store as this process sees it. Every protocol takes one and nothing more."""

from __future__ import annotations

from dataclasses import dataclass, field

from swampstore.env.base import Env
from swampstore.env.clock import StoreClock
from swampstore.limits import BLOCK_CACHE_BYTES, CACHE_IDLE_S, INDEX_CACHE_BYTES, SEGMENT_CACHE_BYTES
from swampstore.protocols.cache import ByteCache
from swampstore.protocols.slots import Stretch, Tails
from swampstore.stores.base import Store
from swampstore.values.block import Block
from swampstore.values.names import Names, UniqueKind, unique
from swampstore.values.run import BlockInfo
from swampstore.values.segment import Segment


@dataclass(slots=True)
class Caches:
    """Decoded immutable objects, bounded in bytes and in the time nobody used them; shared by all namespaces of an open
    store."""

    segments: ByteCache[str, Segment]
    indexes: ByteCache[str, list[BlockInfo]]
    blocks: ByteCache[tuple[str, int], Block]
    tails: dict[str, Tails] = field(default_factory=dict)
    """By the folder of a log: what was seen of the lane files that its last listing showed."""
    fresh: dict[str, dict[str, Stretch]] = field(default_factory=dict)
    """By the same: what that listing has read of them and nobody has fetched yet. It may be more than ``segments`` holds."""

    @classmethod
    def of(cls, env: Env) -> Caches:
        """Empty ones, whose time is that of ``env``."""
        now, idle = env.boot, CACHE_IDLE_S
        return cls(
            ByteCache(SEGMENT_CACHE_BYTES, idle_s=idle, now=now),
            ByteCache(INDEX_CACHE_BYTES, idle_s=idle, now=now),
            ByteCache(BLOCK_CACHE_BYTES, idle_s=idle, now=now),
        )


@dataclass(slots=True)
class Place:
    """``store`` is the retrying store; ``clock`` is shared by all namespaces of it."""

    store: Store
    env: Env
    clock: StoreClock
    names: Names
    caches: Caches

    def new_unique(self) -> str:
        """A fresh unique name part (see :mod:`swampstore.values.names`)."""
        return unique(self.clock.now_ms(), self.env.random_bytes(10))

    def new_object(self, kind: UniqueKind) -> tuple[str, str]:
        """``(unique part, full name)`` of a new object of ``kind``."""
        part = self.new_unique()
        return part, self.names.unique(kind, part)

    def full(self, short: str) -> str:
        """The full name of ``<kind>/<unique>`` as kept in the root and in entries."""
        return self.names.prefix + short
