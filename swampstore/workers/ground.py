"""What restore and migrate need of a namespace, and the two things they do to it: fold the log, append finished records.

Invariant: records are appended as they are, by ordinary appends to this process's own lane: whatever other writers do
meanwhile, the conflict rule decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

from swampstore.limits import MIB
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.writer import Ack, Writer
from swampstore.values.entry import Record
from swampstore.workers.compactor import Compactor

BATCH_RECORDS = 4_000
BATCH_RECORD_BYTES = 4 * MIB
_FOLDS = 64

Pair = tuple[str, Record | None, Record | None]


class Ground(Protocol):
    """One namespace of an open store; the client's core has this shape."""

    name: str
    place: Place
    register: Register
    reader: SnapshotReader
    writer: Writer

    async def prove(self) -> None:
        """Make sure, once per store, that it refuses broken preconditions."""
        ...


async def fold_log(ground: Ground) -> None:
    """Fold what the log holds now, however much it is."""
    await ground.prove()
    compactor = Compactor(ground.place, ground.register)
    for _ in range(_FOLDS):
        report, read = await compactor.fold_once(insist=True)
        if not report.raced and not (report.published and read.left):
            return


async def append_records(ground: Ground, records: Sequence[Record]) -> Ack:
    """Append finished records as one atomic batch."""
    await ground.prove()
    return await ground.writer.append(records)


def batched(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """``records`` in batches that one append holds."""
    start = size = 0
    for at, record in enumerate(records):
        weight = len(record.key) + len(record.value) + 64
        if at > start and (at - start >= BATCH_RECORDS or size + weight > BATCH_RECORD_BYTES):
            yield records[start:at]
            start, size = at, 0
        size += weight
    if start < len(records):
        yield records[start:]


async def paired(left: AsyncIterator[list[Record]], right: AsyncIterator[list[Record]]) -> AsyncIterator[list[Pair]]:
    """Two streams of records in key order as one: ``(key, of the left, of the right)``, in chunks."""
    ones, others = _Side(left), _Side(right)
    while True:
        await ones.fill()
        await others.fill()
        if ones.at_end and others.at_end:
            return
        found: list[Pair] = []
        while ones.ready and others.ready:
            one, other = ones.current, others.current
            if one.key == other.key:
                found.append((one.key, ones.take(), others.take()))
            elif one.key < other.key:
                found.append((one.key, ones.take(), None))
            else:
                found.append((other.key, None, others.take()))
        while others.at_end and ones.ready:
            found.append((ones.current.key, ones.take(), None))
        while ones.at_end and others.ready:
            found.append((others.current.key, None, others.take()))
        if found:
            yield found


class _Side:
    """One stream with the record that comes next."""

    def __init__(self, source: AsyncIterator[list[Record]]) -> None:
        self._source = source
        self._chunk: list[Record] = []
        self._at = 0
        self._ended = False

    @property
    def ready(self) -> bool:
        return self._at < len(self._chunk)

    @property
    def at_end(self) -> bool:
        return self._ended and not self.ready

    @property
    def current(self) -> Record:
        return self._chunk[self._at]

    def take(self) -> Record:
        self._at += 1
        return self._chunk[self._at - 1]

    async def fill(self) -> None:
        """Read on until there is a record, or the stream is at its end."""
        while not self.ready and not self._ended:
            try:
                self._chunk, self._at = await anext(self._source), 0
            except StopAsyncIteration:
                self._ended = True
