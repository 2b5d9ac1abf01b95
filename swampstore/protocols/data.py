"""Reading the data model from one snapshot.

Pending versions live in what the snapshot holds above the runs (no root holds one), so the newest version costs point
look-ups; only questions about all versions of a datum read its range.

Invariants:
- Every answer is of one snapshot. A version is seen once: as pending or as numbered, whichever is later.
- A version that was removed by its id is gone at once, before the fold has removed its entries.
"""

from __future__ import annotations

import msgspec

from swampstore.errors import BelowHorizon
from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import Snapshot
from swampstore.values.data import decode_ordinal, head_key, id_key, id_prefix, raw_of, raw_path
from swampstore.values.data_version import DataVersion, Item, version_of
from swampstore.values.entry import OPAQUE, PENDING, VERSIONED, Record
from swampstore.values.keys import LAST_SUFFIX
from swampstore.values.lifetimes import format_time


class Found(msgspec.Struct, frozen=True):
    """All versions of a datum, newest first, and the highest ordinal it ever gave."""

    versions: list[DataVersion]
    last: int


class DataView:
    """The data model as ``snapshot`` holds it. Items are paths made by :func:`swampstore.values.data.item_path`."""

    def __init__(self, place: Place, snapshot: Snapshot) -> None:
        self._place = place
        self._snapshot = snapshot

    # --- all versions -------------------------------------------------------------------------------------------

    async def find(self, item: str) -> Found:
        """Every version of ``item``: two ranges of keys, its own ones and those of its paths."""
        held = Item(item, self._place.clock.now_ms())
        last = 0
        key = head_key(item)
        async for records in self._snapshot.records(key, internal=True):
            for record in records:
                if record.key == key:
                    last = decode_ordinal(record.value, key)
                else:
                    held.add(record)
        async for records in self._snapshot.records(item + "/"):
            for record in records:
                held.add(record)
        return Found(held.versions(), last)

    async def as_of(self, item: str, ms: int) -> DataVersion | None:
        """The newest version that was there at ``ms`` (since the epoch).

        Raises ``BelowHorizon`` when versions older than all those that are kept were removed, and ``ms`` is of their time.
        """
        found = await self.find(item)
        for version in found.versions:
            if version.created <= ms:
                return version
        numbered = [version for version in found.versions if not version.pending]
        oldest = numbered[-1] if numbered else None
        if found.last and (oldest is None or (oldest.ordinal or 0) > 1):
            since = format_time(oldest.created) if oldest else ""
            raise BelowHorizon(
                f"{item!r} at {format_time(ms)}: the versions of that time were removed",
                hint=f"the oldest version that is kept is {oldest.ordinal}, of {since}"
                if oldest
                else "no numbered version is kept",
            )
        return None

    # --- one version --------------------------------------------------------------------------------------------

    async def latest(self, item: str) -> DataVersion | None:
        """The newest version."""
        ids = [record.key for record in self._recent(id_prefix(item)) if record.flags & PENDING]
        head = head_key(item)
        held = await self._snapshot.winners([head, *ids])
        pending = [self._live(held[key]) for key in sorted(ids, reverse=True)]
        newest = next((version for version in pending if version is not None and version.pending), None)
        if newest is not None:
            return newest
        last = max(_last(held[head]), *(self._given(item)), 0)
        found = await self.by_ordinal(item, last) if last else None
        if found is None and held[head] is not None:  # removed, expired or never there
            found = next(iter((await self.find(item)).versions), None)
        return found

    async def by_ordinal(self, item: str, ordinal: int) -> DataVersion | None:
        return self._live(await self._snapshot.record(raw_path(item, ordinal)))

    async def by_id(self, item: str, id_: str) -> DataVersion | None:
        """The version with a stable id, pending or numbered."""
        version = bytes.fromhex(id_)
        record = await self._snapshot.record(id_key(item, version))
        if record is None:  # numbered by others: its id is the version of its entry
            return next((found for found in (await self.find(item)).versions if found.id == id_), None)
        if record.gone or record.flags & PENDING:
            return self._live(record)
        found = await self.by_ordinal(item, decode_ordinal(record.value, record.key))
        return found if found is not None and found.id == id_ else None

    async def number_of(self, item: str, version: bytes) -> int | None:
        """The ordinal that a version was given, also when it was removed since; ``None`` while it is pending."""
        record = await self._snapshot.record(id_key(item, version))
        return decode_ordinal(record.value, record.key) if record is not None and record.flags == OPAQUE else None

    def _given(self, item: str) -> list[int]:
        """The ordinals of versions that no fold has raised the head for."""
        recent = self._recent(item + "/")
        return [found[1] for record in recent if record.flags & VERSIONED and (found := raw_of(record.key))]

    def _recent(self, prefix: str) -> list[Record]:
        return self._snapshot.recent(prefix, prefix + LAST_SUFFIX)

    def _live(self, record: Record | None) -> DataVersion | None:
        """``record`` as a version, if it is one that can be seen."""
        if record is None or record.gone or not record.flags & (PENDING | VERSIONED):
            return None
        if record.expires and record.expires <= self._place.clock.now_ms():
            return None
        version = version_of(record)
        if version is None:
            return None
        removal = self._snapshot.overlay.get(id_key(version.item, record.version))
        return None if removal is not None and removal.gone else version


def _last(head: Record | None) -> int:
    return decode_ordinal(head.value, head.key) if head is not None else 0
