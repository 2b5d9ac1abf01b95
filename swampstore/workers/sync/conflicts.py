"""Conflicts: both contents survive, one under the path and one beside it, on both sides.

Invariant: the copy beside the path is in the tree before the winner takes the path, and in the namespace in the same
append as the winner; a crash in between is settled the same way again, without a second copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from swampstore.errors import MissingObject
from swampstore.protocols.contents import stream_content
from swampstore.protocols.place import Place
from swampstore.values.entry import Entry, entry_of
from swampstore.values.join import conflict_of
from swampstore.values.keys import key_problem
from swampstore.values.version import FROM_NOTHING, put_of
from swampstore.workers.sync.copies import copy_name
from swampstore.workers.sync.decide import Action
from swampstore.workers.sync.mirror import Mirror
from swampstore.workers.sync.plan import Item
from swampstore.workers.sync.pull import Puller
from swampstore.workers.sync.report import Conflict, SyncReport
from swampstore.workers.sync.steps import Removal, Upload
from swampstore.workers.sync.tree import Left, Tree, reason_of

_NAMES = 20


class Settler:
    """Settles conflicts in the tree; what is to be pushed for them is in ``uploads``, one a key."""

    def __init__(self, place: Place, mirror: Mirror, tree: Tree, puller: Puller, report: SyncReport) -> None:
        self._place = place
        self._mirror = mirror
        self._tree = tree
        self._puller = puller
        self._report = report
        self.uploads: dict[str, Upload] = {}

    async def settle(self, items: Sequence[Item]) -> None:
        """Settle paths that both sides changed. What cannot be settled is reported and left as it is."""
        for item in items:
            try:
                await self._settle(item)
            except Left as reason:
                self._report.skip(item.key, f"it changed on both sides and cannot be settled: {reason}")

    async def _settle(self, item: Item) -> None:
        record = (await self._mirror.records([item.key]))[item.key]
        if record is None or record.gone:
            raise Left("it changed in the namespace meanwhile")
        if item.remote is not None and put_of(record.version) < put_of(item.remote.version):
            raise Left("another sync of this tree has seen a newer version")
        entry = entry_of(record)
        found = item.found
        assert found is not None
        if item.action is Action.LOCAL_WINS:
            beside = await self._write_beside(item.key, entry)
            self.uploads[item.key] = Upload(item.key, found, entry.version, item.row)
            self._report.conflicts.append(Conflict(item.key, beside, "local"))
        else:
            beside = self._link_beside(item.key, item.sha256 or self._tree.sha256(item.key, found))
            self._puller.announce([(item, entry)])
            row = await self._puller.write(item.key, entry, found)
            self._puller.record([(item, row)])
            self._report.conflicts.append(Conflict(item.key, beside, "remote"))

    async def keep(self, kept: Sequence[tuple[str, bytes]]) -> None:
        """Write conflict entries of the namespace beside their paths; they leave it once the copies are pushed."""
        records = await self._mirror.records([key for key, _ in kept])
        for key, version in kept:
            path, record = conflict_of(key), records[key]
            if path is None or record is None or record.gone or key_problem(path):
                continue
            try:
                beside = await self._write_beside(path, entry_of(record), Removal(key, version))
            except Left as reason:
                self._report.skip(path, f"a kept version cannot be written beside it: {reason}")
                continue
            self._report.conflicts.append(Conflict(path, beside, "other-writer"))

    async def _write_beside(self, path: str, entry: Entry, settles: Removal | None = None) -> str:
        """Write the contents of ``entry`` beside ``path`` unless they lie there; plan the upload."""
        sha256 = entry.meta.sha256 or await hash_entry(self._place, entry)
        for number in range(1, _NAMES):
            name = copy_name(path, sha256, number)
            there = self._tree.look(name)
            if there is None:
                await self._puller.write(name, entry, None)
                there = self._tree.look(name)
            if there is not None and self._tree.sha256(name, there) == sha256:
                self.uploads[name] = Upload(name, there, FROM_NOTHING, None, settles)
                return name
        raise Left("all names for a copy beside it are taken")

    def _link_beside(self, path: str, sha256: bytes) -> str:
        """Give the local file a second name beside ``path``; plan the upload."""
        for number in range(1, _NAMES):
            name = copy_name(path, sha256, number)
            there = self._tree.look(name)
            if there is None:
                try:
                    self._tree.link(path, name)
                except FileExistsError:
                    continue
                except OSError as error:
                    raise Left(reason_of(error)) from error
                there = self._tree.look(name)
            if there is not None and self._tree.sha256(name, there) == sha256:
                self.uploads[name] = Upload(name, there, FROM_NOTHING)
                return name
        raise Left("all names for a copy beside it are taken")


async def hash_entry(place: Place, entry: Entry) -> bytes:
    """The hash of contents that the index has none of. Raises ``Left`` if they cannot be read."""
    digest = hashlib.sha256()
    try:
        async for chunk in stream_content(place, entry):
            digest.update(chunk)
    except MissingObject as error:
        raise Left(str(error)) from error
    return digest.digest()
