"""Automatic retention: a setting of the namespace; the compactor then runs a gc when one is due.

Invariants:
- It is off until somebody turns it on.
- At most one gc an hour for the whole namespace, however many compactors there are: who runs it first says so in the
  settings, by compare-and-swap.
- When the summaries in the root say that nothing is due, nothing is read and nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.protocols.settings import Settings, change_settings
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.writer import Writer
from swampstore.values.entry import Record
from swampstore.values.root import Root
from swampstore.values.summary import concerned, joined
from swampstore.workers.gc.report import GcReport
from swampstore.workers.gc.run import collect_garbage

SETTING = "retention"
EVERY_MS = 3_600_000
_AUTO, _LAST = "auto", "last"


class Retention(msgspec.Struct, frozen=True):
    """``auto``: the compactor applies lifetimes and retention. ``last`` is when it did (store's time, ms; 0 = never)."""

    auto: bool = False
    last: int = 0


def retention_of(root: Root) -> Retention:
    """The setting; what cannot be read counts as off."""
    held: Any = root.settings.get(SETTING)
    if not isinstance(held, dict):
        return Retention()
    last = held.get(_LAST, 0)
    return Retention(held.get(_AUTO) is True, last if isinstance(last, int) else 0)


async def set_auto(place: Place, register: Register, auto: bool) -> Retention:
    """Turn it on or off."""

    def change(settings: Settings) -> Settings:
        held = settings.get(SETTING)
        return {**settings, SETTING: {**(held if isinstance(held, dict) else {}), _AUTO: auto}}

    await change_settings(place, register, change)
    return retention_of((await register.read()).root)


def something_due(root: Root, now_ms: int) -> bool:
    """Whether the summaries of the runs say that a gc has something to look at.

    What lies in level 0 only counts by its own; the merge brings it together with the rest soon.
    """
    runs = (*root.level0, *root.shards)
    if any(0 < ref.expires <= now_ms for ref in runs):
        return True
    whole = joined(ref.summary for ref in root.shards)
    return bool(
        whole.acts(now_ms)
        or concerned([whole], now_ms).numbers
        or any(concerned([ref.summary], now_ms).numbers for ref in root.level0)
    )


class AutomaticGc:
    """One compactor's part in it."""

    def __init__(self, place: Place, register: Register) -> None:
        self._place = place
        self._register = register
        self._writer: Writer | None = None

    async def run(self) -> GcReport | None:
        """A gc if it is on and due; ``None`` when there was none."""
        last = self._register.last
        if last is None or not retention_of(last.root).auto:
            return None
        now = self._place.clock.now_ms()
        if now - retention_of(last.root).last < EVERY_MS or not something_due(last.root, now):
            return None
        if not await self._claim(now):
            return None
        reader = SnapshotReader(self._place, self._register)
        return await collect_garbage(self._place, reader, self._append, dry_run=False)

    async def _append(self, records: Sequence[Record]) -> object:
        if self._writer is None:
            self._writer = Writer(self._place)
        return await self._writer.append(records)

    async def _claim(self, now: int) -> bool:
        """Say that this one runs it. False when another one was first, or it was turned off."""
        mine = False

        def change(settings: Settings) -> Settings:
            nonlocal mine
            held = settings.get(SETTING)
            mine = isinstance(held, dict) and held.get(_AUTO) is True and now - int(held.get(_LAST, 0)) >= EVERY_MS
            return {**settings, SETTING: {**held, _LAST: now}} if mine and isinstance(held, dict) else settings

        await change_settings(self._place, self._register, change)
        return mine
