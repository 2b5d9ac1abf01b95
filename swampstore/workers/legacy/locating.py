"""Where the contents of each legacy entry lie: found by one listing of the place, not by a request an entry."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from swampstore.errors import NotFound, SwampError
from swampstore.stores.base import Head, Headed
from swampstore.workers.legacy.entries import LegacyEntry
from swampstore.workers.legacy.index import Flavour, detect, load
from swampstore.workers.legacy.origin import Origin
from swampstore.workers.legacy.report import ImportReport
from swampstore.workers.legacy.rules import locations

_AT_ONCE = 256


class Located(msgspec.Struct, frozen=True, gc=False):
    """A rel with the object that holds its contents. ``name`` is the object's name in the source store; ``version`` says
    that it is a file of a version of data."""

    key: str
    name: str
    size: int
    modified: int
    sha256: bytes | None
    unverified: bool = False
    version: bool = False


class Finder:
    """Finds the objects of ``found``. Whatever was judged is either located or reported (size, absence)."""

    def __init__(self, origin: Origin, found: dict[str, LegacyEntry], report: ImportReport) -> None:
        self._origin = origin
        self._found = found
        self._report = report
        self._judged: set[str] = set()
        self.located: dict[str, Located] = {}

    def trust(self) -> None:
        """Believe that everything is where the index says."""
        base = self._origin.place.base
        for rel, entry in self._found.items():
            self.located[rel] = Located(
                rel, base + rel, entry.size, entry.last_modified_ms, entry.sha256, unverified=True
            )

    def listed(self, rel: str, size: int) -> bool:
        """An object of the place; whether the index knows it."""
        if rel not in self._found:
            return False
        self._judge(rel, self._origin.place.base + rel, size)
        return True

    async def fall_back(self) -> None:
        """Look for what was not listed where older clients wrote it: at the prefix, if an index there lists it."""
        missing = [rel for rel in self._found if rel not in self._judged]
        at_root = await self._listed_at_root() if missing else {}
        for start in range(0, len(missing), _AT_ONCE):
            await self._look(missing[start : start + _AT_ONCE], at_root)

    async def _listed_at_root(self) -> dict[str, LegacyEntry]:
        if not self._origin.place.namespace:
            return {}
        index = await detect(self._origin.store, self._origin.place.root)
        if index.flavour is Flavour.NONE:
            return {}
        bad: dict[str, str] = {}  # of other places, mostly: what is missed here dangles
        return await load(self._origin.store, index, partial=True, bad=bad.__setitem__)

    async def _look(self, rels: Sequence[str], at_root: dict[str, LegacyEntry]) -> None:
        place = self._origin.place
        asked = [(rel, name) for rel in rels for name in locations(place, rel, root_lists=rel in at_root)[1:]]
        answers = await self._origin.store.many([Head(name) for _, name in asked])
        for (rel, name), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Headed):
                self._judge(rel, name, answer.info.size)
            elif not isinstance(answer, NotFound):
                assert isinstance(answer, SwampError)
                raise answer
        for rel in rels:
            if rel not in self._judged:
                self._report.dangle(rel)

    def _judge(self, rel: str, name: str, size: int) -> None:
        entry = self._found[rel]
        self._judged.add(rel)
        if size == entry.size:
            self.located[rel] = Located(rel, name, entry.size, entry.last_modified_ms, entry.sha256)
        else:
            self._report.damage(rel, f"{size} bytes, the index says {entry.size}")
