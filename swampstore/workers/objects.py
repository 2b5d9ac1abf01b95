"""Sizes of the objects of a namespace, by one listing."""

from __future__ import annotations

from collections.abc import Container, Sequence

from swampstore.limits import LIST_PAGES
from swampstore.protocols.place import Place
from swampstore.values.names import UniqueKind


async def list_sizes(place: Place, kinds: Sequence[UniqueKind], wanted: Container[str]) -> dict[str, int]:
    """``<kind>/<unique>`` to stored bytes, for the objects of these kinds that are ``wanted``.

    Costs one request for a thousand objects, wanted or not; memory only for those that are.
    """
    found: dict[str, int] = {}
    for kind in kinds:
        folder, after = place.names.folder(kind), ""
        for _ in range(LIST_PAGES):
            page = await place.store.list(folder, start_after=after)
            for item in page.items:
                parsed = place.names.parse_unique(item.name)
                short = f"{kind}/{parsed[1]}" if parsed is not None else ""
                if short and short in wanted:
                    found[short] = item.size
            if not page.more:
                break
            after = page.items[-1].name
    return found
