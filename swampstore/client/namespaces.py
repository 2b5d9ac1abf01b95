"""The namespaces of a store: find them, delete one.

Invariants: only objects whose names this library forms are ever deleted (other files below the same prefix stay); the
root goes last, so a deletion that was interrupted can be run again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from swampstore.errors import BadName, NotFound, SwampError
from swampstore.protocols.place import Place
from swampstore.stores.base import Head, Info, List, Page, Store
from swampstore.values.keys import check_namespace
from swampstore.values.names import Names

_JUST_BEHIND_SLASH = "0"


class Removal(msgspec.Struct, frozen=True):
    """What a deletion removed, or with a dry run would remove. ``kept`` counts foreign objects below the prefix."""

    namespace: str
    objects: int
    bytes: int
    kept: int
    dry_run: bool


async def find_namespaces(store: Store) -> list[str]:
    """Names of all namespaces in the store, in order. Costs four requests per top-level name."""
    found: list[str] = []
    after = ""
    while True:
        page = await store.list("", start_after=after, limit=1)
        if not page.items:
            return sorted(found)  # a listing has a-b/ before a/
        top, slash, _ = page.items[0].name.partition("/")
        after = top + _JUST_BEHIND_SLASH if slash else page.items[0].name
        try:
            names = Names(check_namespace(top)) if slash else None
        except BadName:
            names = None
        if names is not None and await _exists(store, names):
            found.append(names.namespace)


async def _exists(store: Store, names: Names) -> bool:
    head, log, shard = await store.many(
        [Head(names.root), List(names.log, limit=1), List(names.folder("shard"), limit=1)]
    )
    for answer in (head, log, shard):
        if isinstance(answer, SwampError) and not isinstance(answer, NotFound):
            raise answer
    has_log = isinstance(log, Page) and any(
        names.parse_segment(item.name) or names.parse_lane_file(item.name) for item in log.items
    )
    # Shards without a root: it was lost. Such a namespace is there, and says so when it is read.
    lost = isinstance(shard, Page) and any(names.parse_unique(item.name) for item in shard.items)
    return has_log or lost or not isinstance(head, SwampError)


async def remove_namespace(place: Place, *, dry_run: bool) -> Removal:
    """Delete every object of the namespace. Stop its writers first: a writer that goes on leaves a damaged log behind."""
    objects = size = kept = 0
    last: Info | None = None
    async for batch in _batches(place):
        mine = [item for item in batch if place.names.is_ours(item.name)]
        kept += len(batch) - len(mine)
        objects += len(mine)
        size += sum(item.size for item in mine)
        last = next((item for item in mine if item.name == place.names.root), last)
        if not dry_run:
            await place.store.delete([item.name for item in mine if item.name != place.names.root])
    if last is not None and not dry_run:
        await place.store.delete([last.name])
    return Removal(place.names.namespace, objects, size, kept, dry_run)


async def _batches(place: Place) -> AsyncIterator[tuple[Info, ...]]:
    after = ""
    while True:
        page = await place.store.list(place.names.prefix, start_after=after)
        if page.items:
            yield page.items
            after = page.items[-1].name
        if not page.more:
            return
