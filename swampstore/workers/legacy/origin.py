"""The source as the target sees it: how an entry refers to one of its objects, and which objects are the target's own.

Invariant: objects of this library that lie in or below the source are never taken for legacy files.
"""

from __future__ import annotations

import msgspec

from swampstore.stores.base import Store
from swampstore.stores.probe import SCRATCH
from swampstore.values.entry import External
from swampstore.values.names import Names
from swampstore.workers.legacy.rules import Place
from swampstore.workers.target import Target


class Origin(msgspec.Struct, frozen=True):
    """``place`` of ``store``. ``shift`` leads from the target's names to the source's (``None``: it cannot reach them);
    ``inner`` leads from the source's names to the target's store, when that lies below it."""

    store: Store
    place: Place
    url: str
    shift: str | None
    inner: str | None
    names: Names

    @property
    def elsewhere(self) -> bool:
        """Whether the target cannot read the source's objects where they are."""
        return self.shift is None

    def location(self, name: str) -> External:
        """How an entry refers to the object ``name`` of the source."""
        return External(name, self.url) if self.shift is None else External(self.shift + name)

    def is_ours(self, name: str) -> bool:
        """Whether the object ``name`` of the source was written by the target's store."""
        if self.inner is not None:
            return name.startswith(self.inner)
        if self.shift is None:
            return False
        inner = self.shift + name
        return self.names.is_ours(inner) or inner.startswith(f"{SCRATCH}/")


def origin_of(source: Store, place: Place, target: Target) -> Origin:
    """The relation of ``source`` to the store of ``target``, from their URLs."""
    ours, theirs = _split(target.place.store.url), _split(source.url)
    same = ours[1] == theirs[1]
    return Origin(
        source,
        place,
        source.url,
        _below(ours[0], theirs[0]) if same else None,
        (_below(theirs[0], ours[0]) or None) if same else None,
        target.place.names,
    )


def _split(url: str) -> tuple[str, str]:
    """The path of a URL without a slash at its end, and what follows it; a local path is not quoted, and all there is."""
    if url.startswith("file:"):
        return url.rstrip("/"), ""
    path, _, query = url.partition("?")
    return path.rstrip("/"), query


def _below(outer: str, path: str) -> str | None:
    """What leads from ``outer`` to ``path``: empty or with a slash at its end; ``None`` if it does not lie below."""
    if path == outer:
        return ""
    return path[len(outer) + 1 :] + "/" if path.startswith(outer + "/") else None
