"""The FIFO queue: one primitive, a lock at capacity 1, an admission at capacity N.

A local store's queues are locked files (the kernel releases what a dead process held); every other store's are objects.
Both grant in ticket order, give a number that fences, and show who holds.
"""

from __future__ import annotations

from typing import TypeAlias

from swampstore.protocols.place import Place
from swampstore.protocols.queue_grant import Grant
from swampstore.protocols.queue_local import LocalQueue
from swampstore.protocols.queue_register import Waiting
from swampstore.protocols.queue_remote import RemoteQueue
from swampstore.stores.base import Store
from swampstore.stores.local import LocalStore

__all__ = ["FairQueue", "Grant", "Waiting", "fair_queue"]

FairQueue: TypeAlias = LocalQueue | RemoteQueue


def fair_queue(place: Place, name: str, *, capacity: int | None = None) -> FairQueue:
    """The queue ``name`` of a namespace. Raises ``BadName``, ``Misuse`` (an absurd capacity)."""
    root = _local_root(place.store)
    if root is not None:
        return LocalQueue(place, name, root, capacity=capacity)
    return RemoteQueue(place, name, capacity=capacity)


def _local_root(store: Store) -> str | None:
    """The directory of a local store, through any wrappers round it."""
    held: object = store
    while held is not None:
        if isinstance(held, LocalStore):
            return held.root
        held = getattr(held, "inner", None)
    return None
