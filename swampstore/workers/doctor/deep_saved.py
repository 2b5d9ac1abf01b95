"""Saved snapshots: every content that one of them names is there with its size, so that a restore finds what it needs.

Looked for by heads side by side, an object once for all snapshots; only what lies in the manifest itself is hashed (which
costs nothing). A restore with ``full`` reads the others.

Invariants: bounded memory; nothing is said of a snapshot that was deleted or replaced meanwhile.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from swampstore.errors import Damaged, NotFound, SwampError
from swampstore.protocols.place import Place
from swampstore.protocols.register import Seen
from swampstore.protocols.saved import SavedSnapshot, load_saved
from swampstore.stores.base import Head, Headed
from swampstore.values.entry import EPHEMERAL, OPAQUE, PENDING, Blob, Entry, External, Inline, Packed, Record, entry_of
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight
from swampstore.workers.target import Progress

_AT_ONCE = 256
_REMEMBERED = 200_000
"""Objects that are known to be good."""
_HINT = "a restore needs it: bring it back from a backup of the store, restore other keys with a prefix, or delete the snapshot"


class Need(NamedTuple):
    """What a snapshot needs of an object: ``size`` bytes, no more if it is ``whole``."""

    size: int
    whole: bool
    key: str


async def check_saved_contents(sight: Sight, counts: dict[str, int], progress: Progress) -> list[Finding]:
    """A finding for every saved snapshot with contents that are gone or damaged."""
    good: dict[str, int] = {}
    found: list[Finding] = []
    for number, info in enumerate(sight.saved):
        progress("saved snapshots", number, len(sight.saved))
        try:
            seen = await load_saved(sight.place, info.name.removeprefix(sight.place.names.saved("")))
        except (NotFound, Damaged):
            continue  # deleted, or told by the check of its root
        if any(ref.name not in sight.objects.get(ref.name.partition("/")[0], {}) for ref in seen.root.runs):
            continue  # told there too
        found += await _Saved(sight.place, info.name, seen, good).check()
        if len(good) > _REMEMBERED:
            good.clear()
    counts["checked_saved"] = len(sight.saved)
    return found


class _Saved:
    """The look at one saved snapshot. ``good`` holds the sizes of objects that were found."""

    def __init__(self, place: Place, name: str, seen: Seen, good: dict[str, int]) -> None:
        self._place = place
        self._name = name
        self._seen = seen
        self._good = good
        self._needs: dict[str, Need] = {}
        self._bad = 0
        self._first = ""

    async def check(self) -> list[Finding]:
        name = self._name.removeprefix(self._place.names.saved(""))
        try:
            async for records in SavedSnapshot(self._place, self._seen, name).records(internal=True):
                for record in records:
                    self._feed(record)
                if len(self._needs) >= _AT_ONCE:
                    await self._find()
            await self._find()
        except Damaged as error:
            self._tell(str(error))
        if not self._bad or not await self._still(name):
            return []
        text = f"a saved snapshot has lost {self._bad:,} of its contents, the first: {self._first}"
        return [Finding("saved-damaged", "error", self._name, text, _HINT)]

    async def _still(self, name: str) -> bool:
        try:
            return (await load_saved(self._place, name)).etag == self._seen.etag
        except NotFound:
            return False

    def _feed(self, record: Record) -> None:
        if record.gone or record.flags & EPHEMERAL or record.flags & (OPAQUE | PENDING) == OPAQUE:
            return
        if record.expires and record.expires <= self._place.clock.now_ms():
            return
        try:
            entry = entry_of(record)
        except Damaged as error:
            self._tell(str(error))
            return
        match entry.meta.at:
            case Inline(data):
                self._judge(entry, data)
            case Blob(part):
                self._need(self._place.names.unique("blob", part), Need(entry.size, True, entry.key))
            case Packed(part, offset, length):
                self._need(self._place.names.unique("pack", part), Need(offset + length, False, entry.key))
            case External(name, ""):
                self._need(name, Need(entry.size, True, entry.key))

    def _judge(self, entry: Entry, body: bytes) -> None:
        meta = entry.meta
        if len(body) != meta.size or (meta.sha256 is not None and hashlib.sha256(body).digest() != meta.sha256):
            self._tell(f"the contents of {entry.key!r} are not what was written")

    def _need(self, name: str, need: Need) -> None:
        held = self._needs.get(name)
        if held is None or held.size < need.size:
            self._needs[name] = need

    async def _find(self) -> None:
        needs, self._needs = self._needs, {}
        asked = [name for name in needs if name not in self._good]
        answers = await self._place.store.many([Head(name) for name in asked])
        for name, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Headed):
                self._good[name] = answer.info.size
            elif not isinstance(answer, NotFound):
                assert isinstance(answer, SwampError)
                raise answer
        for name, need in needs.items():
            size = self._good.get(name, -1)
            if size < 0:
                self._tell(f"{name}, the contents of {need.key!r}, is gone")
            elif size < need.size or (need.whole and size != need.size):
                self._tell(f"{name}, the contents of {need.key!r}, has {size:,} bytes and not {need.size:,}")

    def _tell(self, text: str) -> None:
        self._bad += 1
        self._first = self._first or text
