"""Pushing: files and tombstones in batches, each one atomic append; contents go up side by side, small ones packed.

Invariants:
- Every put names its base (:data:`FROM_NOTHING`, for a path that this tree never had), so the fold keeps a put it had not seen.
- A file that changed while it was read is left for next time; what was appended is what was hashed.
- Rows are written after the acknowledgement, all rows of an append in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from swampstore.limits import INLINE_CONTENT_BYTES, MIB, PART_BYTES
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.writer import Ack
from swampstore.values.deltas import Delete, Delta, Put
from swampstore.values.version import VERSION_BYTES, just_above
from swampstore.workers.sync.decide import Action
from swampstore.workers.sync.labels import decode_labels
from swampstore.workers.sync.mirror import Mirror
from swampstore.workers.sync.options import SyncOptions
from swampstore.workers.sync.plan import Item
from swampstore.workers.sync.report import Progress, SyncReport
from swampstore.workers.sync.state import Row, State
from swampstore.workers.sync.tree import Found, Left, Tree

FROM_NOTHING = bytes(VERSION_BYTES)
"""The base of a put that descends from no version: below every version there is."""

_BATCH_BYTES = 64 * MIB
_BATCH_RECORD_BYTES = 6 * MIB
_RECORD_OVERHEAD = 400


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


class Removal(msgspec.Struct, frozen=True):
    """A conflict entry to take out of the namespace because its contents lie beside the path now."""

    key: str
    version: bytes


class Upload(msgspec.Struct, frozen=True):
    """A file to push and the version it was made from (``FROM_NOTHING``: none). ``settles`` goes into the same append."""

    key: str
    found: Found
    base: bytes
    row: Row | None = None
    settles: Removal | None = None


class Deletion(msgspec.Struct, frozen=True):
    """An entry to delete: just the version that this tree had."""

    key: str
    version: bytes


Step = Upload | Deletion


def steps_of(items: Sequence[Item]) -> Iterator[Step]:
    """What the push items of a plan come to."""
    for item in items:
        if item.action is Action.DELETE_REMOTE:
            assert item.row is not None
            yield Deletion(item.key, item.row.version)
        else:
            assert item.found is not None
            yield Upload(item.key, item.found, item.row.version if item.row else FROM_NOTHING, item.row)


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
        self.steps: list[Step | Removal] = []
        self.hashes: list[bytes | TreeSource] = []

    def add(self, delta: Delta, step: Step | Removal, sha256: bytes | TreeSource = b"") -> None:
        self.deltas.append(delta)
        self.steps.append(step)
        self.hashes.append(sha256)


class Pusher:
    """Appends to the namespace what the tree has."""

    def __init__(
        self, namespace: Namespace, mirror: Mirror, tree: Tree, state: State, options: SyncOptions, report: SyncReport
    ) -> None:
        self._namespace = namespace
        self._env = namespace.place.env
        self._mirror = mirror
        self._tree = tree
        self._state = state
        self._options = options
        self._report = report

    async def push(self, steps: Sequence[Step], progress: Progress) -> None:
        """Carry out the steps in as few appends as fit. Raises what :meth:`Namespace.append` raises."""
        batches = list(_batches(steps))
        done = 0
        for number, part in enumerate(batches):
            batch = self._read(part)
            done += len(part)
            if batch.deltas:
                await self._append(batch, last=number == len(batches) - 1)
            progress("push", done, len(steps), self._report.bytes_up)

    def _read(self, steps: Sequence[Step]) -> _Batch:
        """Read the files of a batch. Those that cannot be read are reported."""
        batch = _Batch()
        for step in steps:
            if isinstance(step, Deletion):
                batch.add(Delete(key=step.key, base=step.version), step)
                continue
            try:
                self._read_file(step, batch)
            except Left as reason:
                self._report.skip(step.key, str(reason))
        return batch

    def _read_file(self, step: Upload, batch: _Batch) -> None:
        found = step.found
        data: bytes | TreeSource
        sha256: bytes | TreeSource
        if found.size > PART_BYTES:
            data = sha256 = TreeSource(self._tree, step.key, found)
        else:
            data = self._tree.read(step.key, found)
            sha256 = hashlib.sha256(data).digest()
        labels = decode_labels(step.row.labels if step.row else None)
        put = Put(
            key=step.key,
            data=data,
            content_type=labels.content_type,
            tags=labels.tags,
            modified=found.modified,
            mode=found.mode,
            base=step.base,
        )
        batch.add(put, step, sha256)
        if step.settles is not None:
            batch.add(Delete(key=step.settles.key, base=step.settles.version), step.settles)

    async def _append(self, batch: _Batch, *, last: bool) -> None:
        try:
            ack = await self._namespace.append(batch.deltas, last=last)
        except Left as reason:
            # Only a streamed file can fail so late, and it has an append of its own.
            self._report.skip(batch.deltas[0].key, str(reason))
            return
        self._report.appends += 1
        if self._options.durable:
            self._tree.settle([step.key for step in batch.steps if isinstance(step, Upload)])
        source = f"{ack.lane}/{ack.slot}"
        with self._state.transaction():
            for step, sha256, version in zip(batch.steps, batch.hashes, ack.versions, strict=True):
                if isinstance(step, Upload):
                    self._pushed(step, sha256.sha256 if isinstance(sha256, TreeSource) else sha256, version, source)
                elif isinstance(step, Deletion):
                    self._state.gone(step.key, step.version, just_above(step.version))
                    self._state.unset_loose([step.key])
                    self._report.deleted_remote += 1
                else:
                    self._state.note_kept([(step.key, just_above(step.version), True)])
            self._state.raise_newest(max(ack.versions))
            if ack.shared_by == 1:
                self._mirror.appended(ack.lane, ack.slot)

    def _pushed(self, step: Upload, sha256: bytes, version: bytes, source: str) -> None:
        found = step.found
        row = Row(
            version=version,
            size=found.size,
            mtime_ns=found.mtime_ns,
            inode=found.inode,
            sha256=sha256,
            at_ms=self._env.wall_ms(),
            expires=0,
            labels=step.row.labels if step.row else None,
        )
        self._state.synced(step.key, row)
        self._state.set_loose([(step.key, source)])
        self._report.pushed += 1
        self._report.bytes_up += found.size


def _batches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """As many steps as one append holds; a file that is streamed has an append of its own."""
    batch: list[Step] = []
    size = records = 0
    for step in steps:
        contents = step.found.size if isinstance(step, Upload) else 0
        record = len(step.key) + _RECORD_OVERHEAD + (contents if contents <= INLINE_CONTENT_BYTES else 0)
        if contents > PART_BYTES:
            yield [step]
            continue
        if batch and (size + contents > _BATCH_BYTES or records + record > _BATCH_RECORD_BYTES):
            yield batch
            batch, size, records = [], 0, 0
        batch.append(step)
        size += contents
        records += record
    if batch:
        yield batch
