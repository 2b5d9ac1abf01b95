"""What the entry of a version's contents says: from the ``metadata.yaml`` beside it, or as it was said before.

Invariants:
- A location is carried from an entry only when that entry was read for this very purpose.
- What was said is kept where the tree does not hold the ``metadata.yaml`` that the namespace has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.values.data import METADATA, RAW, version_folder
from swampstore.values.deltas import Relabel
from swampstore.values.entry import Entry
from swampstore.values.version import FROM_NOTHING
from swampstore.workers.facts import Facts, NotAVersion
from swampstore.workers.sync.report import SyncReport
from swampstore.workers.sync.state import State
from swampstore.workers.sync.steps import Deletion, Step, Told, Upload, Words
from swampstore.workers.sync.versions import Folders


class _Open(Protocol):
    @property
    def place(self) -> Place: ...

    @property
    def reader(self) -> SnapshotReader: ...


class Wording:
    """Reads the entries whose words are to change or to stay."""

    def __init__(self, namespace: _Open, state: State, folders: Folders, report: SyncReport) -> None:
        self._namespace = namespace
        self._state = state
        self._folders = folders
        self._report = report

    def wanted(self, steps: Sequence[Step]) -> list[Step]:
        """For each ``metadata.yaml`` among ``steps`` whose contents are not: what makes their entry follow."""
        keys = {step.key for step in steps}
        raws: list[str] = []
        for step in steps:
            folder = version_folder(step.key) if isinstance(step, Upload) and step.key.endswith(METADATA) else None
            if folder is not None and f"{folder}/{RAW}" not in keys:
                raws.append(f"{folder}/{RAW}")
        known = self._state.known(raws)
        return [Words(key, version) for key, (version, gone, _) in known.items() if not gone]

    async def read(self, told: Sequence[Told], steps: frozenset[str]) -> dict[str, Relabel | Facts]:
        """For each :class:`Words` the delta (or none, when there is nothing new to say), for each upload of contents whose
        metadata is not in the tree what its entry says; by key. ``steps`` are the keys of all deletions of this push.
        """
        words = {step.key: (step, facts) for step, facts in told if isinstance(step, Words)}
        kept = [step.key for step, facts in told if facts is None and self._keeps(step, steps)]
        if not words and not kept:
            return {}
        read = self._namespace.place.clock.steady()
        entries = await (await self._namespace.reader.open()).get_many([*words, *kept])
        found: dict[str, Relabel | Facts] = {}
        for key, (step, facts) in words.items():
            entry = entries[key]
            if entry is None or entry.version != step.version:
                self._report.skip(key, "it changed in the namespace meanwhile: its tags follow with the next change")
            elif facts is not None:
                delta = self._delta(entry, facts, read)
                if delta is not None:
                    found[key] = delta
        for key in kept:
            entry = entries[key]
            if entry is not None and entry.meta.data is not None:
                found[key] = _said(entry)
        return found

    def _keeps(self, step: Step, deleted: frozenset[str]) -> bool:
        if not isinstance(step, Upload) or step.base == FROM_NOTHING or not step.key.endswith(f"/{RAW}"):
            return False
        folder = version_folder(step.key)
        key = f"{folder}/{METADATA}"
        return (
            folder is not None and key not in deleted and not self._folders.holds(folder) and self._state.is_live(key)
        )

    def _delta(self, entry: Entry, facts: Facts, read: float) -> Relabel | None:
        meta = entry.meta
        try:
            facts.check(meta.size, meta.sha256)
        except NotAVersion as reason:
            self._folders.trouble(entry.key.rpartition("/")[0], str(reason))
            return None
        new = msgspec.structs.replace(
            meta,
            data=facts.data,
            content_type=facts.content_type,
            tags=facts.tags,
            lifetime=facts.lifetime,
            created=facts.created,
        )
        if new == meta and entry.expires == facts.expires:
            return None
        new = msgspec.structs.replace(new, base=entry.version)
        return Relabel(key=entry.key, meta=new, read=read, expires=facts.expires)


def deleted(steps: Sequence[Step]) -> frozenset[str]:
    """The keys that ``steps`` delete."""
    return frozenset(step.key for step in steps if isinstance(step, Deletion))


def _said(entry: Entry) -> Facts:
    meta = entry.meta
    assert meta.data is not None
    return Facts(meta.data, meta.content_type, meta.tags, meta.lifetime, meta.created, entry.expires)
