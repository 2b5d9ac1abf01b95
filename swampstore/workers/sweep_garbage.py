"""Deleting what a published root calls garbage: runs after an hour, contents after a day.

The steps, each of which a crash may follow: (1) contents are looked for once more, and those that something names leave
the list; (2) one CAS raises the sweep floor; (3) pins are listed; (4) the objects are deleted; (5) one CAS takes them off
the list. Deleting comes before taking off the list, so that nothing is forgotten; it is idempotent, so a sweep that
crashed is simply done again.

Invariants:
- The grace counts from the publish of the root that first called the item garbage, by the store's time.
- A content goes only if, after its grace, neither a record, nor an unfolded, nor a quarantined segment names it. Nothing
  can name it later: a location may be carried for an hour after it was read, and a content that was dropped again
  begins its grace again.
- A pin written before the pins are listed is seen; one written later finds the floor above its version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from swampstore.errors import StaleWrite
from swampstore.limits import CONTENT_GRACE_MS, ROOT_CAS_TRIES, SHARD_GRACE_MS, STORE_TIME_GRAIN_MS
from swampstore.protocols.pins import Held, list_held
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen, garbage_since_ms
from swampstore.values.root import Garbage, Root, garbage_list
from swampstore.workers.leadership import Leadership
from swampstore.workers.report import SweepReport
from swampstore.workers.uses import find_uses

ITEMS_PER_SWEEP = 20_000

Item: TypeAlias = tuple[str, int]
"""``(name, since)``: an item that was dropped again is another one."""


def is_run(item: Garbage) -> bool:
    return item.name.startswith(("l0/", "shard/", "eph/", "audit/"))


def ripe_garbage(seen: Seen) -> list[Garbage]:
    """The items whose grace has passed, oldest first."""
    ripe = []
    for item in seen.root.garbage:
        grace = SHARD_GRACE_MS if is_run(item) else CONTENT_GRACE_MS
        if seen.time - garbage_since_ms(item, seen) >= grace + 2 * STORE_TIME_GRAIN_MS:
            ripe.append(item)
    return sorted(ripe, key=lambda item: item.since)


class GarbageSweep:
    """One sweep of a namespace's garbage list. ``may`` says whether this process may publish on top of a root."""

    def __init__(self, place: Place, register: Register, leadership: Leadership, *, stay: bool, insist: bool) -> None:
        self._place = place
        self._register = register
        self._leadership = leadership
        self._stay = stay
        self._insist = insist
        self.deleted: list[str] = []
        """What the last run deleted (``<kind>/<unique>``)."""

    async def preview(self) -> list[str]:
        """What a run would delete now (``<kind>/<unique>``)."""
        seen = await self._register.read()
        ripe = ripe_garbage(seen)
        if ripe:
            ripe = unheld(ripe, await list_held(self._place))
        return [item.name for item in (await self._settle_contents(ripe))[0]]

    async def run(self, *, contents: bool = True) -> SweepReport:
        """Sweep once; ``contents=False`` leaves contents alone (looking for their uses reads the whole manifest)."""
        seen = await self._register.read()
        report = SweepReport(waiting=len(seen.root.garbage))
        ripe = [item for item in ripe_garbage(seen) if contents or is_run(item)]
        if ripe:
            ripe = unheld(ripe, await list_held(self._place))[:ITEMS_PER_SWEEP]
        if not ripe or not self._may(seen, seen):
            return report
        gone, used = await self._settle_contents(ripe)
        going = await self._raise_floor(seen, gone, used)
        if going:
            going = unheld(going, await list_held(self._place))
            await self._place.store.delete([self._place.full(item.name) for item in going])
            self.deleted = [item.name for item in going]
            await self._change(seen, lambda root: without(root, items(going)))
        report.runs = sum(map(is_run, going))
        report.contents = len(going) - report.runs
        report.waiting = len(self._register.last.root.garbage) if self._register.last else report.waiting
        return report

    async def _settle_contents(self, ripe: Sequence[Garbage]) -> tuple[list[Garbage], set[Item]]:
        """``(what may be deleted, what is in use after all)``."""
        asked = [item.name for item in ripe if not is_run(item)]
        if not asked:
            return list(ripe), set()
        uses = await find_uses(self._place, self._register, asked)
        free = [item for item in ripe if is_run(item) or uses.free(item.name)]
        return free, items(item for item in ripe if item.name in uses.named)

    async def _raise_floor(self, began: Seen, gone: Sequence[Garbage], used: set[Item]) -> list[Garbage]:
        """Publish the sweep floor, take what is in use off the list; the items that are garbage still."""
        floor = max((item.since for item in gone), default=0)

        def change(root: Root) -> Root:
            new = without(root, used)
            return msgspec.structs.replace(new, sweep_floor=max(root.sweep_floor, floor))

        seen = await self._change(began, change)
        if seen is None:
            return []
        listed = items(seen.root.garbage)
        return [item for item in gone if (item.name, item.since) in listed]

    async def _change(self, began: Seen, change: Callable[[Root], Root]) -> Seen | None:
        """Publish ``change`` of the root, on top of whatever it is by then; ``None`` when that is not for us to do."""
        seen = self._register.last or began
        for _ in range(ROOT_CAS_TRIES):
            if not self._may(seen, began):
                return None
            new = change(seen.root)
            if new == seen.root:
                return seen
            try:
                return await self._register.publish(seen, self._leadership.sign(seen.root, new, stay=self._stay))
            except StaleWrite:
                seen = await self._register.read()
        return None

    def _may(self, seen: Seen, began: Seen) -> bool:
        return self._leadership.may_publish(seen, began, one_shot=not self._stay, insist=self._insist)


def unheld(garbage: Iterable[Garbage], held: Sequence[Held]) -> list[Garbage]:
    """Those items that no pinned or saved root can name: garbage at or before its version, or not of its making."""
    return [item for item in garbage if not any(one.holds(item) for one in held)]


def items(garbage: Iterable[Garbage]) -> set[Item]:
    return {(item.name, item.since) for item in garbage}


def without(root: Root, gone: set[Item]) -> Root:
    """``root`` with these items off its garbage list."""
    if not gone:
        return root
    rest = [item for item in root.garbage if (item.name, item.since) not in gone]
    return msgspec.structs.replace(root, garbage_raw=garbage_list(rest))
