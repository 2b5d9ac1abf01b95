"""Deleting orphans: objects that nothing names and that are too old to be named any more.

A crash between an upload and the CAS or the append that would have named it leaves one.

Invariants:
- Order: list the objects, list the log, read the root. What was named meanwhile is seen.
- Older than 24 hours by the store's time only: no content or shard is named first when it is older than 12 or 6 hours.
- What a saved snapshot may name is no orphan.
- Before a run is deleted the root is replaced: a process that was stopped between its last check and its CAS holds an
  older root and loses.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from swampstore.errors import StaleWrite
from swampstore.limits import LIST_PAGES, ORPHAN_AGE_MS, ROOT_CAS_TRIES, STORE_TIME_GRAIN_MS
from swampstore.protocols.pins import Held, list_held
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.values.names import UniqueKind
from swampstore.values.root import Root
from swampstore.workers.archive_catalog import archive_names
from swampstore.workers.leadership import Leadership
from swampstore.workers.report import SweepReport
from swampstore.workers.uses import find_uses, list_then_root

CANDIDATES = 500_000
_RUNS: tuple[UniqueKind, ...] = ("l0", "shard", "eph", "audit")
_CONTENTS: tuple[UniqueKind, ...] = ("blob", "pack")

Sizes: TypeAlias = dict[str, int]
"""Name (``<kind>/<unique>``) to stored bytes."""


class OrphanSweep:
    """One look for orphans. Costs a listing of all objects, and a read of the manifest when old contents are unknown."""

    def __init__(self, place: Place, register: Register, leadership: Leadership, *, stay: bool, insist: bool) -> None:
        self._place = place
        self._register = register
        self._leadership = leadership
        self._stay = stay
        self._insist = insist

    async def run(self, *, dry_run: bool = False) -> SweepReport:
        """Delete the orphans there are now; ``orphans`` and ``bytes`` of the report count them."""
        old = {kind: await self._old(kind) for kind in (*_RUNS, *_CONTENTS, "pin")}
        report = SweepReport()
        saved = await self._saved() if any(old[kind] for kind in (*_RUNS, *_CONTENTS)) else []
        # A pin that was not renewed for a day holds nothing: live() decides that, not this.
        await self._delete(old["pin"], report, dry_run)
        runs = {name: size for kind in _RUNS for name, size in old[kind].items()}
        contents = old["blob"] | old["pack"]
        if contents:
            contents = await self._unnamed_contents(contents)
        if runs:
            _, seen = await list_then_root(self._place, self._register)
            runs = await self._unlisted(seen.root, runs) if dry_run else await self._fence_off(seen, runs)
        found = {name: size for name, size in (runs | contents).items() if not any(one.may_name(name) for one in saved)}
        await self._delete(found, report, dry_run)
        return report

    async def _saved(self) -> list[Held]:
        """The saved snapshots: what they name is known as garbage, unless the root was lost and made again."""
        return [one for one in await list_held(self._place) if one.runs is not None or not one.version]

    async def _delete(self, found: Sizes, report: SweepReport, dry_run: bool) -> None:
        if not dry_run:
            await self._place.store.delete([self._place.full(name) for name in found])
        report.orphans += len(found)
        report.bytes += sum(found.values())

    async def _old(self, kind: UniqueKind) -> Sizes:
        """Objects of ``kind`` that are old enough to be orphans."""
        place, folder, after = self._place, self._place.names.folder(kind), ""
        found: Sizes = {}
        for _ in range(LIST_PAGES):
            page = await place.store.list(folder, start_after=after)
            for item in page.items:
                parsed = place.names.parse_unique(item.name)
                age = page.time - item.modified
                if parsed is not None and age >= ORPHAN_AGE_MS + 2 * STORE_TIME_GRAIN_MS:
                    found[f"{kind}/{parsed[1]}"] = item.size
            if not page.more or len(found) >= CANDIDATES:
                break
            after = page.items[-1].name
        return found

    async def _unnamed_contents(self, found: Sizes) -> Sizes:
        known = (self._register.last or await self._register.read()).root.packs
        asked = [name for name in found if name.removeprefix("pack/") not in known]
        uses = await find_uses(self._place, self._register, asked) if asked else None
        if uses is None:
            return {}
        listed = _listed(uses.seen.root)
        return {name: found[name] for name in asked if uses.free(name) and name not in listed}

    async def _unlisted(self, root: Root, found: Sizes) -> Sizes:
        """Those of the runs ``found`` that ``root`` does not name, itself or through the catalog of archives."""
        listed = _listed(root)
        if any(name.startswith("audit/") for name in found):
            listed |= await archive_names(self._place, root)
        return {name: size for name, size in found.items() if name not in listed}

    async def _fence_off(self, seen: Seen, found: Sizes) -> Sizes:
        """Those of ``found`` that no root names or will name: the root has been replaced since they were looked at."""
        began = seen
        for _ in range(ROOT_CAS_TRIES):
            orphans = await self._unlisted(seen.root, found)
            may = self._leadership.may_publish(seen, began, one_shot=not self._stay, insist=self._insist)
            if not orphans or not may or not seen.root.version:
                return {}
            try:
                new = self._leadership.sign(seen.root, msgspec.structs.replace(seen.root), stay=self._stay)
                await self._register.publish(seen, new)
            except StaleWrite:
                seen = await self._register.read()
                continue
            return orphans
        return {}


def _listed(root: Root) -> frozenset[str]:
    """What the root itself names, in use or as garbage."""
    runs = (ref.name for ref in root.runs)
    return frozenset((*runs, *(item.name for item in root.garbage), *(f"pack/{part}" for part in root.packs)))
