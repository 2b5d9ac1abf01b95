"""What a legacy store holds, from the store itself: its namespaces, and its files where there is no usable index.

Invariant: other namespaces are stepped over, not paged through; the cost follows what belongs to the place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from swampstore.errors import NotFound, SwampError
from swampstore.limits import LIST_PAGE
from swampstore.stores.base import Get, Got, Head, Outcome, Store
from swampstore.values.frame import MAGIC
from swampstore.values.names import Names
from swampstore.workers.legacy.entries import LegacyEntry
from swampstore.workers.legacy.limits import NAMESPACE_LIST_PAGE
from swampstore.workers.legacy.rules import LAYOUT_FOLDERS, NAMESPACE_MARK, Place

_LAST = "\U0010ffff"
"""Sorts after every name that goes on from where it is put."""


async def namespaces(store: Store, place: Place) -> frozenset[str]:
    """The namespaces at the prefix of ``place`` (its own too): folders directly below it that hold the mark of a legacy
    one, or the root of one of this library.

    One listing step and two small reads per folder. Raises what the store raises.
    """
    tops = [folder async for folder in folders(store, place.prefix)]
    marks = await store.many([Head(f"{place.prefix}{folder}/{NAMESPACE_MARK}") for folder in tops])
    roots = await store.many([Get(Names(f"{place.prefix}{folder}").root, span=(0, len(MAGIC))) for folder in tops])
    pairs = zip(tops, marks, roots, strict=True)
    return frozenset(folder for folder, mark, root in pairs if _is_there(mark) or _is_root(root))


async def holds_a_namespace(store: Store, place: Place) -> bool:
    """Whether the root of a namespace of this library lies in ``place`` itself."""
    if not place.base:
        return False
    (answer,) = await store.many([Get(Names(place.base.removesuffix("/")).root, span=(0, len(MAGIC)))])
    return _is_root(answer)


def _is_there(answer: Outcome) -> bool:
    if isinstance(answer, SwampError) and not isinstance(answer, NotFound):
        raise answer
    return not isinstance(answer, NotFound)


def _is_root(answer: Outcome) -> bool:
    return _is_there(answer) and isinstance(answer, Got) and answer.body == MAGIC


async def folders(store: Store, prefix: str) -> AsyncIterator[str]:
    """The folders directly below ``prefix``, one listing step for each."""
    after, folder = "", None
    while True:
        page = await store.list(prefix, start_after=after, limit=NAMESPACE_LIST_PAGE)
        for info in page.items:
            top, slash, _ = info.name[len(prefix) :].partition("/")
            if slash and top and top != folder:
                folder = top
                yield folder
        if not page.more:
            return
        last = page.items[-1].name
        end = f"{prefix}{folder}/{_LAST}"
        after = max(last, end) if folder is not None and last.startswith(f"{prefix}{folder}/") else last


async def listed(store: Store, place: Place, others: Iterable[str] = ()) -> AsyncIterator[list[LegacyEntry]]:
    """Every object of ``place`` outside the namespaces ``others``, a page at a time, in order, without hashes.

    What is not data is among them: classify each. Raises what the store raises.
    """
    foreign = () if place.namespace else tuple(f"{place.base}{name}/" for name in set(others) - LAYOUT_FOLDERS)
    base, after = place.base, ""
    while True:
        page = await store.list(base, start_after=after, limit=LIST_PAGE)
        own = [info for info in page.items if not info.name.startswith(foreign)]
        if own:
            yield [LegacyEntry(info.name[len(base) :], info.size, max(info.modified, 0)) for info in own]
        if not page.more:
            return
        after = page.items[-1].name
        inside = [name for name in foreign if after.startswith(name)]
        if inside:
            after = max(after, inside[0] + _LAST)
