"""Two machines made the same version number: the one that the namespace has keeps it, the other gets a folder of its own.

``metadata.yaml`` is rewritten in one place only, the number; both files move, and the move is reported as a conflict.

Invariants:
- The new folder is whole in the tree before the old one is touched; a crash in between moves nothing twice.
- A machine that settles what another one settles at the same time, knowing the same, makes the same folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from swampstore.errors import SwampError
from swampstore.limits import DATA_METADATA_BYTES, DATA_ORDINAL, MIB
from swampstore.protocols.contents import read_content
from swampstore.protocols.place import Place
from swampstore.values.data import METADATA, RAW, parse_ordinal, version_folder
from swampstore.values.entry import Entry, Record, entry_of
from swampstore.values.join import conflict_of
from swampstore.values.metadata import parse_metadata
from swampstore.values.version import FROM_NOTHING, split_version
from swampstore.workers.sync.latest import is_empty, ordinals
from swampstore.workers.sync.mirror import Mirror
from swampstore.workers.sync.pull import Puller
from swampstore.workers.sync.report import Conflict, SyncReport
from swampstore.workers.sync.state import State
from swampstore.workers.sync.steps import Removal, Upload
from swampstore.workers.sync.tree import Found, Left, Tree, reason_of
from swampstore.workers.sync.units import Clash

_VERSION_LINE = re.compile(rb"^(version:[ \t]*['\"]?)([0-9]+)(?=['\"]?[ \t]*(#[^\n]*)?\r?$)", re.MULTILINE)
Kept = tuple[str, bytes]
"""A conflict entry of the namespace: key and version."""


def renumbered(body: bytes, old: int, new: int) -> bytes | None:
    """A ``metadata.yaml`` of version ``old`` as that of version ``new``; ``None`` when that cannot be done for sure."""
    if len(body) > DATA_METADATA_BYTES or len(_VERSION_LINE.findall(body)) != 1:
        return None
    other = _VERSION_LINE.sub(rb"\g<1>%d" % new, body)
    try:
        before = parse_metadata(body, METADATA, version=old)
        after = parse_metadata(other, METADATA, version=new)
    except SwampError:
        return None
    return other if msgspec.structs.replace(before, version=new) == after else None


class Clashes:
    """Settles clashes in the tree; what is to be pushed goes into ``uploads``."""

    def __init__(
        self,
        place: Place,
        mirror: Mirror,
        tree: Tree,
        state: State,
        puller: Puller,
        report: SyncReport,
        uploads: dict[str, Upload],
    ) -> None:
        self._place = place
        self._mirror = mirror
        self._tree = tree
        self._state = state
        self._puller = puller
        self._report = report
        self._uploads = uploads

    def movable(self, folder: str) -> bool:
        """Whether the version in ``folder`` is whole and can be given another number."""
        number, key = _number(folder), f"{folder}/{METADATA}"
        try:
            found = self._tree.look(key)
            if found is None or found.size > DATA_METADATA_BYTES or self._tree.look(f"{folder}/{RAW}") is None:
                return False
            return renumbered(self._tree.read(key, found), number, number + 1) is not None
        except Left:
            return False

    # --- what this tree and the namespace made ------------------------------------------------------------------

    async def settle(self, clashes: Sequence[Clash]) -> list[str]:
        """Give the versions of the tree folders of their own, and take those of the namespace. Returns the new ones."""
        moved: list[str] = []
        for clash in clashes:
            try:
                moved.append(await self._settle(clash))
            except Left as reason:
                self._report.skip(clash.folder, f"it was made on both sides and cannot be settled: {reason}")
        return moved

    async def _settle(self, clash: Clash) -> str:
        folder = clash.folder
        raw, meta = f"{folder}/{RAW}", f"{folder}/{METADATA}"
        records = await self._mirror.records([item.key for item in clash.items])
        looked = {key: self._tree.look(key) for key in (raw, meta)}
        found, there = looked[raw], looked[meta]
        if found is None or there is None or there.size > DATA_METADATA_BYTES:
            raise Left("it changed meanwhile")
        said = self._tree.read(meta, there)
        beside = self._same(folder, self._tree.sha256(raw, found), found.size, said)
        if beside is None:
            beside = self._free(folder)
            body = renumbered(said, _number(folder), _number(beside))
            if body is None:
                raise Left("its metadata.yaml changed meanwhile")
            self._copy(raw, found, f"{beside}/{RAW}")
            self._write(f"{beside}/{METADATA}", body)
        self._plan(beside, {})
        rows = []
        for item in clash.items:
            record, here = records[item.key], looked[item.key]
            if record is not None and not record.gone:
                self._puller.announce([(item, entry_of(record))])
                rows.append((item, await self._puller.write(item.key, entry_of(record), here)))
            elif here is not None:
                self._tree.remove(item.key, here)
        self._puller.record(rows)
        self._report.conflicts.append(Conflict(folder, beside, "remote"))
        return beside

    # --- what other machines made -------------------------------------------------------------------------------

    async def keep(self, kept: Sequence[Kept]) -> tuple[list[Kept], list[str]]:
        """Give versions that lost their number in a fold folders of their own: ``(those that are none, new folders)``."""
        records = await self._mirror.records([key for key, _ in kept])
        rest: list[Kept] = []
        folders: dict[str, dict[str, list[tuple[Kept, Entry]]]] = {}
        for one in kept:
            path, record = conflict_of(one[0]), records[one[0]]
            folder = version_folder(path) if path is not None else None
            if folder is None or record is None or record.gone or not _is_new(record):
                rest.append(one)
                continue
            if record.expires and record.expires <= self._place.clock.now_ms():
                continue
            leaf = (path or "").rpartition("/")[2]
            folders.setdefault(folder, {RAW: [], METADATA: []})[leaf].append((one, entry_of(record)))
        made: list[str] = []
        for folder, files in folders.items():
            left, new = await self._keep_folder(folder, files[RAW], files[METADATA])
            rest += left
            made += new
        return rest, made

    async def _keep_folder(
        self, folder: str, raws: list[tuple[Kept, Entry]], metas: list[tuple[Kept, Entry]]
    ) -> tuple[list[Kept], list[str]]:
        """Pair contents with the metadata that the same machine wrote; what has no partner goes with what lies there."""
        rest: list[Kept] = []
        made: list[str] = []
        pairs: list[tuple[tuple[Kept, Entry] | None, tuple[Kept, Entry] | None]] = []
        for raw in raws:
            meta = next((one for one in metas if _writer(one[0][1]) == _writer(raw[0][1])), None)
            if meta is not None:
                metas.remove(meta)
            pairs.append((raw, meta))
        pairs += [(None, meta) for meta in metas]
        for raw_one, meta_one in pairs:
            settles = {RAW: raw_one, METADATA: meta_one}
            try:
                new = await self._keep_pair(folder, raw_one, meta_one)
            except (Left, SwampError) as reason:
                self._report.skip(folder, f"a kept version cannot be given a number of its own: {reason}")
                continue
            if new is None:
                rest += [one[0] for one in (raw_one, meta_one) if one is not None]
                continue
            self._plan(new, {leaf: Removal(*one[0]) for leaf, one in settles.items() if one is not None})
            self._report.conflicts.append(Conflict(folder, new, "other-writer"))
            made.append(new)
        return rest, made

    async def _keep_pair(
        self, folder: str, raw: tuple[Kept, Entry] | None, meta: tuple[Kept, Entry] | None
    ) -> str | None:
        """Write one kept version into a folder of its own; ``None`` when it cannot be a version."""
        here, number = f"{folder}/{RAW}", _number(folder)
        found = self._tree.look(here) if raw is None else None
        said = await self._said(folder, meta[1] if meta is not None else None)
        if said is None or renumbered(said, number, number + 1) is None or (raw is None and found is None):
            return None
        if raw is not None:
            sha256, size = await self._hash(raw[1]), raw[1].size
        else:
            assert found is not None
            sha256, size = self._tree.sha256(here, found), found.size
        beside = self._same(folder, sha256, size, said)
        if beside is not None:
            return beside
        beside = self._free(folder)
        body = renumbered(said, number, _number(beside))
        if body is None:
            return None
        if raw is not None:
            await self._puller.write(f"{beside}/{RAW}", raw[1], None)
        else:
            assert found is not None
            self._copy(here, found, f"{beside}/{RAW}")
        self._write(f"{beside}/{METADATA}", body)
        return beside

    async def _said(self, folder: str, meta: Entry | None) -> bytes | None:
        """The ``metadata.yaml`` of a kept version: its own, or the one in the tree, which is equal then."""
        if meta is not None:
            return await read_content(self._place, meta) if meta.size <= DATA_METADATA_BYTES else None
        key = f"{folder}/{METADATA}"
        found = self._tree.look(key)
        if found is None or found.size > DATA_METADATA_BYTES:
            return None
        return self._tree.read(key, found)

    async def _hash(self, entry: Entry) -> bytes:
        return entry.meta.sha256 or hashlib.sha256(await read_content(self._place, entry)).digest()

    # --- folders ------------------------------------------------------------------------------------------------

    def _same(self, folder: str, sha256: bytes, size: int, said: bytes) -> str | None:
        """A higher version of the tree that says the same but for its number: an earlier attempt made it.

        One that was killed may have left the contents alone: they get their metadata now.
        """
        item, old = folder.rpartition("/")[0], _number(folder)
        for other in ordinals(self._tree, item):
            wanted = renumbered(said, old, other) if other > old else None
            if wanted is None:
                continue
            raw, meta = f"{item}/{other}/{RAW}", f"{item}/{other}/{METADATA}"
            found, there = self._tree.look(raw), self._tree.look(meta)
            if found is None or found.size != size or (there is not None and there.size != len(wanted)):
                continue
            if there is not None and self._tree.read(meta, there) != wanted:
                continue
            if self._tree.sha256(raw, found) == sha256:
                if there is None:
                    self._write(meta, wanted)
                return f"{item}/{other}"
        return None

    def _free(self, folder: str) -> str:
        """The folder of the next number that nobody has, as far as is known here."""
        item = folder.rpartition("/")[0]
        known = [parse_ordinal(key[len(item) + 1 :].partition("/")[0]) for key in self._known(item)]
        there = (number for number in ordinals(self._tree, item) if not is_empty(self._tree, f"{item}/{number}"))
        taken = [*there, *(number for number in known if number is not None)]
        number = max((one for one in taken if one <= DATA_ORDINAL), default=0) + 1
        if number > DATA_ORDINAL:
            raise Left("there is no higher number")
        return f"{item}/{number}"

    def _known(self, item: str) -> list[str]:
        return self._state.known_below(f"{item}/0", f"{item}/:")

    def _copy(self, key: str, found: Found, beside: str) -> None:
        """Write the contents at ``key`` once more."""
        try:
            with self._tree.temporary(beside, found.mode) as temp:
                for chunk in self._tree.chunks(key, found, MIB):
                    temp.write(chunk)
                temp.finish(found.modified)
                temp.place(None)
        except OSError as error:
            raise Left(reason_of(error)) from error

    def _write(self, key: str, body: bytes) -> None:
        try:
            with self._tree.temporary(key, 0) as temp:
                temp.write(body)
                temp.finish(0)
                temp.place(None)
        except OSError as error:
            raise Left(reason_of(error)) from error

    def _plan(self, folder: str, settles: dict[str, Removal]) -> None:
        for leaf in (METADATA, RAW):
            key = f"{folder}/{leaf}"
            found = self._tree.look(key)
            if found is None:
                raise Left("it vanished meanwhile")
            self._uploads[key] = Upload(key, found, FROM_NOTHING, None, settles.get(leaf))


def _number(folder: str) -> int:
    return int(folder.rpartition("/")[2])


def _writer(version: bytes) -> bytes:
    return split_version(version)[1]


def _is_new(record: Record) -> bool:
    """Whether a kept loser was new, and not an edit of what was there."""
    return entry_of(record).meta.base == FROM_NOTHING
