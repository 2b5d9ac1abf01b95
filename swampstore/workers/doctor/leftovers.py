"""Leftovers of the replaced system in the prefix: its index, its locks, its tree."""

from __future__ import annotations

from swampstore.errors import NotFound, SwampError
from swampstore.stores.base import Head, Headed, List, Page, Request
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight

_LIVE_MS = 10 * 60_000
_LOCK_HINT = "an old program may still write here: stop it; delete the lock when it is gone for good"
_INDEX_HINT = "nobody here reads it; delete it once no machine uses the old program"
_TREE_HINT = "entries that were imported without --copy read their contents from there: keep it"


async def check_leftovers(sight: Sight) -> list[Finding]:
    """Index files, locks and trees in the legacy layout: one head or list each."""
    ns = sight.place.names.namespace
    locks = [f"{ns}/.datastore.lock", f".locks/{ns}.lock", ".datastore.lock"]
    indexes = [f"{ns}/.datastore-index.json", f"{ns}/.namespace.json"]
    folders = [f"{ns}/_index/", f"{ns}/_control/"]
    trees = [f"{ns}/data/"]
    requests: list[Request] = [Head(name) for name in (*locks, *indexes)]
    requests += [List(name, limit=1) for name in (*folders, *trees)]
    found: list[Finding] = []
    for request, answer in zip(requests, await sight.place.store.many(requests), strict=True):
        name = request.name if isinstance(request, Head) else request.prefix  # type: ignore[union-attr]
        if isinstance(answer, NotFound) or (isinstance(answer, Page) and not answer.items):
            continue
        if isinstance(answer, SwampError):
            raise answer
        if name in locks:
            fresh = isinstance(answer, Headed) and answer.time - answer.info.modified < _LIVE_MS
            text = f"a lock of the replaced system{', written minutes ago' if fresh else ''}"
            found.append(Finding("legacy-lock", "warning" if fresh else "note", name, text, _LOCK_HINT))
        elif name in trees:
            found.append(Finding("legacy-tree", "note", name, "a tree in the legacy layout", _TREE_HINT))
        else:
            found.append(Finding("legacy-index", "note", name, "a leftover of the replaced system", _INDEX_HINT))
    return found
