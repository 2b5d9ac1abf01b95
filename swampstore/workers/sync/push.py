"""Pushing: files and tombstones in batches, each one atomic append; contents go up side by side, small ones packed.

Invariants:
- Every put names its base (``FROM_NOTHING``, for a path that this tree never had), so the fold keeps a put it had not
  seen.
- A file that changed while it was read is left for next time; what was appended is what was hashed.
- The entry of a data version's contents says what its ``metadata.yaml`` says; both live equally long, and what is past
  its lifetime is not pushed.
- Rows are written after the acknowledgement, all rows of an append in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Protocol

import msgspec

from swampstore.limits import MIB, PART_BYTES
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.writer import Ack
from swampstore.values.data import METADATA, RAW, version_folder
from swampstore.values.deltas import Delete, Delta, Put, Relabel
from swampstore.values.version import just_above
from swampstore.workers.facts import Facts, NotAVersion
from swampstore.workers.sync.labels import Labels, decode_labels, encode_labels, labels_of
from swampstore.workers.sync.mirror import Mirror
from swampstore.workers.sync.options import SyncOptions
from swampstore.workers.sync.report import Progress, SyncReport
from swampstore.workers.sync.state import Row, State
from swampstore.workers.sync.steps import Deletion, Removal, Step, Told, Upload, Words, batches
from swampstore.workers.sync.tree import Found, Left, Tree
from swampstore.workers.sync.versions import Folders
from swampstore.workers.sync.wording import Wording, deleted


class Namespace(Protocol):
    """What sync needs of an open namespace."""

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> Place: ...

    @property
    def register(self) -> Register: ...

    @property
    def reader(self) -> SnapshotReader: ...

    async def append(self, deltas: Sequence[Delta], *, last: bool = True) -> Ack:
        """One atomic batch, contents uploaded first; ``last=False`` when more follow from a one-shot process."""
        ...


class TreeSource:
    """A large file of the tree as contents to upload; hashes what is read."""

    def __init__(self, tree: Tree, key: str, found: Found) -> None:
        self._tree = tree
        self._key = key
        self._found = found
        self.size = found.size
        self.sha256 = b""

    def chunks(self, chunk_bytes: int = MIB) -> Iterator[bytes]:
        """See :class:`swampstore.stores.base.Source`. Raises ``Left`` when the file is not the one looked at."""
        digest = hashlib.sha256()
        for chunk in self._tree.chunks(self._key, self._found, chunk_bytes):
            digest.update(chunk)
            yield chunk
        self.sha256 = digest.digest()


class _Batch:
    """The deltas of one append and, in the same order, what each stands for."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.steps: list[Step] = []
        self.hashes: list[bytes | TreeSource] = []

    def add(self, delta: Delta, step: Step, sha256: bytes | TreeSource = b"") -> None:
        self.deltas.append(delta)
        self.steps.append(step)
        self.hashes.append(sha256)

    def make_plain(self, key: str) -> None:
        """Take the lifetime off the put of ``key``, if it is among the last few."""
        start = max(len(self.deltas) - 3, 0)
        for number, delta in enumerate(self.deltas[start:], start):
            if isinstance(delta, Put) and delta.key == key:
                self.deltas[number] = msgspec.structs.replace(delta, expires=0)


class Pusher:
    """Appends to the namespace what the tree has."""

    def __init__(
        self,
        namespace: Namespace,
        mirror: Mirror,
        tree: Tree,
        state: State,
        options: SyncOptions,
        report: SyncReport,
        folders: Folders,
    ) -> None:
        self._namespace = namespace
        self._env = namespace.place.env
        self._mirror = mirror
        self._tree = tree
        self._state = state
        self._options = options
        self._report = report
        self._folders = folders
        self._wording = Wording(namespace, state, folders, report)
        self.expired: list[str] = []
        """Keys that were to be pushed and are past their lifetime."""

    async def push(self, steps: Sequence[Step], progress: Progress) -> None:
        """Carry out the steps in as few appends as fit. Raises what :meth:`Namespace.append` raises."""
        steps = sorted((*steps, *self._wording.wanted(steps)), key=lambda step: step.key)
        gone, done = deleted(steps), 0
        parts = batches((step, self._facts(step)) for step in steps)
        part = next(parts, None)
        while part is not None:
            batch = await self._read(part, gone)
            after = next(parts, None)
            done += len(part)
            if batch.deltas:
                await self._append(batch, last=after is None)
            progress("push", done, len(steps), self._report.bytes_up)
            part = after

    def _facts(self, step: Step) -> Facts | None:
        folder = version_folder(step.key) if isinstance(step, Upload | Words) else None
        if folder is None and isinstance(step, Upload):
            self._folders.note_plain(step.key)
        return self._folders.facts(folder) if folder is not None else None

    async def _read(self, part: Sequence[Told], gone: frozenset[str]) -> _Batch:
        """Read the files of a batch. Those that cannot be read are reported."""
        said = await self._wording.read(part, gone)
        batch = _Batch()
        for step, facts in part:
            if isinstance(step, Deletion | Removal):
                batch.add(Delete(key=step.key, base=step.version), step)
                continue
            if facts is not None and 0 < facts.expires <= self._namespace.place.clock.now_ms():
                if isinstance(step, Upload):
                    self._report.expired += 1
                    self.expired.append(step.key)
                continue
            words = said.get(step.key)
            if isinstance(step, Words):
                if isinstance(words, Relabel):
                    batch.add(words, step)
                continue
            try:
                self._read_file(step, facts or (words if isinstance(words, Facts) else None), batch)
            except Left as reason:
                self._report.skip(step.key, str(reason))
        return batch

    def _read_file(self, step: Upload, facts: Facts | None, batch: _Batch) -> None:
        found = step.found
        data: bytes | TreeSource
        sha256: bytes | TreeSource
        if found.size > PART_BYTES:
            data = sha256 = TreeSource(self._tree, step.key, found)
        else:
            data = self._tree.read(step.key, found)
            sha256 = hashlib.sha256(data).digest()
        put = Put(key=step.key, data=data, modified=found.modified, mode=found.mode, base=step.base)
        if facts is None or step.key.endswith(f"/{METADATA}"):
            labels = decode_labels(step.row.labels if step.row else None)
            expires = facts.expires if facts is not None else 0
            put = msgspec.structs.replace(put, content_type=labels.content_type, tags=labels.tags, expires=expires)
        else:
            put = self._worded(put, facts, found, sha256 if isinstance(sha256, bytes) else None, batch)
        batch.add(put, step, sha256)
        if step.settles is not None:
            batch.add(Delete(key=step.settles.key, base=step.settles.version), step.settles)

    def _worded(self, put: Put, facts: Facts, found: Found, sha256: bytes | None, batch: _Batch) -> Put:
        """The put of a version's contents, saying ``facts``; plain, when they do not fit the contents."""
        try:
            if sha256 is None and facts.sha256 is not None:
                sha256 = self._tree.sha256(put.key, found)  # once more: what it says must be known before it goes up
            facts.check(found.size, sha256)
        except NotAVersion as reason:
            folder = put.key.removesuffix(f"/{RAW}")
            self._folders.trouble(folder, str(reason))
            batch.make_plain(f"{folder}/{METADATA}")
            return put
        return msgspec.structs.replace(
            put,
            content_type=facts.content_type,
            tags=facts.tags,
            expires=facts.expires,
            datum=facts.data,
            lifetime=facts.lifetime,
            created=facts.created,
        )

    async def _append(self, batch: _Batch, *, last: bool) -> None:
        files = [step.key for step in batch.steps if isinstance(step, Upload)] if self._options.durable else []
        try:
            # A row must not outlive its file: what is read again after a power cut would look like a deletion.
            with self._tree.settling(files) if files else nullcontext():
                ack = await self._namespace.append(batch.deltas, last=last)
        except Left as reason:
            # Only a streamed file can fail so late, and it has an append of its own.
            self._report.skip(batch.deltas[0].key, str(reason))
            return
        self._report.appends += 1
        source = f"{ack.lane}/{ack.slot}"
        with self._state.transaction():
            for step, delta, sha256, version in zip(batch.steps, batch.deltas, batch.hashes, ack.versions, strict=True):
                if isinstance(step, Upload):
                    assert isinstance(delta, Put)
                    known = sha256.sha256 if isinstance(sha256, TreeSource) else sha256
                    self._pushed(step, delta, known, version, source)
                elif isinstance(step, Words):
                    assert isinstance(delta, Relabel)
                    self._worded_anew(delta, version, source)
                elif isinstance(step, Deletion):
                    self._state.gone(step.key, step.version, just_above(step.version))
                    if not self._state.is_live(step.key):  # or another sync of this tree has put it back
                        self._state.unset_loose([step.key])
                    self._report.deleted_remote += not step.derived
                else:
                    self._state.note_kept([(step.key, just_above(step.version), True)])
            self._state.raise_newest(max(ack.versions))
            if ack.shared_by == 1:
                self._mirror.appended(ack.lane, ack.slot)

    def _pushed(self, step: Upload, put: Put, sha256: bytes, version: bytes, source: str) -> None:
        found = step.found
        row = Row(
            version=version,
            size=found.size,
            mtime_ns=found.mtime_ns,
            inode=found.inode,
            sha256=sha256,
            at_ms=self._env.wall_ms(),
            expires=put.expires,
            labels=encode_labels(Labels(put.content_type, put.tags)),
        )
        self._state.synced(step.key, row)
        self._state.set_loose([(step.key, source)])
        self._report.pushed += 1
        self._report.bytes_up += found.size

    def _worded_anew(self, delta: Relabel, version: bytes, source: str) -> None:
        """The contents here stay what both sides hold; where they are not here, the newest record is another one."""
        meta = delta.meta
        row = self._state.synced_rows([delta.key]).get(delta.key)
        if row is not None:
            row = msgspec.structs.replace(row, version=version, expires=delta.expires, labels=labels_of(meta))
            self._state.synced(delta.key, row)
        else:
            modified = meta.modified or meta.created
            columns = (delta.key, version, False, meta.size, meta.sha256, modified, delta.expires, labels_of(meta))
            self._state.note([columns])
        self._state.set_loose([(delta.key, source)])
