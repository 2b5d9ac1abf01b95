"""The root: is it there, can it be read, and does it tell a sane time?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from swampstore.errors import NotFound, SwampError
from swampstore.limits import CLOCK_OFF_MS
from swampstore.stores.base import Get, Got
from swampstore.values.root import Root, decode_root
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight

_SAVED_AT_ONCE = 4
_BACKUP = (
    "stop every writer, restore the newest earlier version of this object (bucket versioning, a backup); without one:"
    " swamp datastore doctor --repair"
)


async def check_root(sight: Sight) -> list[Finding]:
    """A root that is lost, damaged or of a newer program. Its own invariants are checked where it is decoded."""
    name = sight.place.names.root
    if sight.newer:
        return [Finding("newer-format", "error", name, sight.problem, "upgrade swampstore on this machine")]
    if sight.problem:
        return [Finding("root-damaged", "error", name, f"the root cannot be read: {sight.problem}", _BACKUP, True)]
    if sight.lost:
        text = "the root is missing, but runs or the log show that there was one: it has been lost"
        return [Finding("root-lost", "error", name, text, _BACKUP, True)]
    if not sight.root.version:
        if sight.listing.names or sight.objects["l0"]:
            return [Finding("no-root-yet", "note", name, "nothing has been folded yet: the log is all there is")]
        return [Finding("empty", "note", sight.place.names.prefix, "the namespace holds nothing")]
    ahead = (sight.root.hlc >> 16) - sight.time
    if ahead > CLOCK_OFF_MS:
        text = f"the newest version folded lies {ahead / 1000:.0f} s in the future: a writer's clock was wrong"
        hint = "later writes are stamped above it, so nothing is lost; times shown for entries may be wrong"
        return [Finding("future-version", "warning", name, text, hint)]
    return []


async def check_saved(sight: Sight) -> list[Finding]:
    """Saved snapshots that cannot be read, or that name runs which are gone. One read of each."""
    found: list[Finding] = []
    hint = "delete it when it is not needed: one that cannot be read holds everything back from the sweep"
    async for name, root, problem in read_saved(sight):
        if root is None:
            found.append(Finding("saved-damaged", "warning", name, f"a saved snapshot cannot be read: {problem}", hint))
            continue
        gone = [ref.name for ref in root.runs if ref.name not in sight.objects.get(ref.name.partition("/")[0], {})]
        if gone:
            text = f"a saved snapshot has lost {len(gone)} of its runs, the first: {gone[0]}"
            found.append(Finding("saved-damaged", "warning", name, text, "it can be restored only in part: delete it"))
    return found


async def read_saved(sight: Sight) -> AsyncIterator[tuple[str, Root | None, str]]:
    """``(name, root, problem)`` of every saved snapshot there is; a few in memory at a time."""
    names = [info.name for info in sight.saved]
    for start in range(0, len(names), _SAVED_AT_ONCE):
        part = names[start : start + _SAVED_AT_ONCE]
        for name, answer in zip(part, await sight.place.store.many([Get(one) for one in part]), strict=True):
            if isinstance(answer, NotFound):
                continue
            if isinstance(answer, SwampError):
                raise answer
            assert isinstance(answer, Got)
            try:
                root, problem = decode_root(answer.body, name), ""
            except SwampError as error:
                root, problem = None, str(error)
            yield name, root, problem
