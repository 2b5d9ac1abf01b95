"""Sizes of the objects of a namespace, by one listing."""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.limits import LIST_PAGES
from swampstore.protocols.place import Place
from swampstore.values.names import UniqueKind


async def list_sizes(place: Place, kinds: Sequence[UniqueKind]) -> dict[str, int]:
    """``<kind>/<unique>`` to stored bytes, for every object of these kinds: one request for a thousand of them."""
    found: dict[str, int] = {}
    for kind in kinds:
        folder, after = place.names.folder(kind), ""
        for _ in range(LIST_PAGES):
            page = await place.store.list(folder, start_after=after)
            for item in page.items:
                parsed = place.names.parse_unique(item.name)
                if parsed is not None:
                    found[f"{kind}/{parsed[1]}"] = item.size
            if not page.more:
                break
            after = page.items[-1].name
    return found
