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
from swampstore.values.entry import OPAQUE, Record
from swampstore.values.root import Root
from swampstore.values.summary import concerned, joined, summary_of
from swampstore.workers.gc.report import GcReport
from swampstore.workers.gc.run import collect_garbage

SETTING = "retention"
EVERY_MS = 3_600_000
FRUITLESS_MS = 24 * EVERY_MS
LOOK_MS = 60_000
_AUTO, _LAST = "auto", "last"


class Retention(msgspec.Struct, frozen=True):
    """``auto``: the compactor applies lifetimes and retention. ``last`` is when it did (store's time, ms; 0 = never)."""

    auto: bool = False
    last: int = 0


def retention_of(root: Root) -> Retention:
    """The setting; what cannot be read counts as off."""
    return _retention(root.settings)


def _retention(settings: Settings) -> Retention:
    held: Any = settings.get(SETTING)
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
    """Whether the summaries of the runs, or the records in the root, say that a gc has something to look at.

    Each level counts by its own: what is too much only together comes due with the next merge.
    """
    if any(0 < ref.expires <= now_ms for ref in (*root.level0, *root.shards)):
        return True
    inline = [record for record in root.inline if not record.gone]
    if any(0 < record.expires <= now_ms and not record.flags & OPAQUE for record in inline):
        return True
    levels = [joined(ref.summary for ref in root.shards), *(ref.summary for ref in root.level0), summary_of(inline)]
    return any(concerned([level], now_ms).numbers for level in levels)


def _ready(last: int, now: int) -> bool:
    """Whether an hour has passed; a time far ahead is that of a clock that was wrong."""
    return now - last >= EVERY_MS or last - now > EVERY_MS


def _runs(root: Root) -> frozenset[str]:
    return frozenset(ref.name for ref in (*root.level0, *root.shards))


class AutomaticGc:
    """One compactor's part in it."""

    def __init__(self, place: Place, register: Register) -> None:
        self._place = place
        self._register = register
        self._writer: Writer | None = None
        self._looked = (0, 0)
        """Root version and time at which nothing was due."""
        self._fruitless: tuple[frozenset[str], int] = (frozenset(), 0)
        """The runs in which a gc found nothing, and until when they are not looked into again: what they show as due
        lies under tombstones that the merge has not brought down yet."""

    async def run(self) -> GcReport | None:
        """A gc if it is on and due; ``None`` when there was none."""
        last = self._register.last
        if last is None or not retention_of(last.root).auto:
            return None
        root, now = last.root, self._place.clock.now_ms()
        if not _ready(retention_of(root).last, now) or not self._due(root, now) or not await self._claim(now):
            return None
        reader = SnapshotReader(self._place, self._register)
        report = await collect_garbage(self._place, reader, self._append, dry_run=False)
        if not report.entries:
            self._fruitless = (_runs(root), now + FRUITLESS_MS)
        return report

    def _due(self, root: Root, now: int) -> bool:
        version, at = self._looked
        if version == root.version and now - at < LOOK_MS:
            return False
        names, until = self._fruitless
        if (names == _runs(root) and now < until) or not something_due(root, now):
            self._looked = (root.version, now)
            return False
        return True

    async def _append(self, records: Sequence[Record]) -> object:
        if self._writer is None:
            self._writer = Writer(self._place)
        return await self._writer.append(records)

    async def _claim(self, now: int) -> bool:
        """Say that this one runs it. False when another one was first, or it was turned off."""
        mine = False

        def change(settings: Settings) -> Settings:
            nonlocal mine
            held = _retention(settings)
            mine = held.auto and _ready(held.last, now)
            return {**settings, SETTING: {**settings[SETTING], _LAST: now}} if mine else settings

        await change_settings(self._place, self._register, change)
        return mine
