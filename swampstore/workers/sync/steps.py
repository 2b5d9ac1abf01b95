"""What a push consists of, and which steps go into one append.

Invariants: a file that is streamed has an append of its own; no append holds more than a segment can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from swampstore.limits import INLINE_CONTENT_BYTES, MIB, PART_BYTES
from swampstore.values.version import FROM_NOTHING
from swampstore.workers.facts import Facts
from swampstore.workers.sync.decide import Action
from swampstore.workers.sync.plan import Item
from swampstore.workers.sync.state import Row, State
from swampstore.workers.sync.tree import Found

_BATCH_BYTES = 64 * MIB
_BATCH_RECORD_BYTES = 6 * MIB
_RECORD_OVERHEAD = 400
_weigh = msgspec.msgpack.Encoder().encode


class Removal(msgspec.Struct, frozen=True):
    """A conflict entry to take out of the namespace because its contents lie beside the path now, or are derived."""

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
    """An entry to delete: just the version that this tree had. One that is ``derived`` is no change of the user's."""

    key: str
    version: bytes
    derived: bool = False


class Words(msgspec.Struct, frozen=True):
    """The entry of a version's contents is to say what ``metadata.yaml`` says now; ``version`` is the one known here."""

    key: str
    version: bytes


Step = Upload | Deletion | Words | Removal
Told = tuple[Step, Facts | None]
"""A step and what is to be said of the version that its file belongs to."""


def steps_of(items: Sequence[Item], state: State) -> Iterator[Step]:
    """What the push items of a plan come to. A file made where one was deleted follows the deletion."""
    new = [item.key for item in items if item.row is None]
    deleted = {key: version for key, (version, gone, _) in state.known(new).items() if gone}
    for item in items:
        if item.action is Action.DELETE_REMOTE:
            assert item.row is not None
            yield Deletion(item.key, item.row.version)
        else:
            assert item.found is not None
            base = item.row.version if item.row else deleted.get(item.key, FROM_NOTHING)
            yield Upload(item.key, item.found, base, item.row)


def batches(told: Iterable[Told]) -> Iterator[list[Told]]:
    """As many steps as one append holds; a file that is streamed has an append of its own."""
    batch: list[Told] = []
    size = records = 0
    for step, facts in told:
        contents = step.found.size if isinstance(step, Upload) else 0
        record = len(step.key) + _RECORD_OVERHEAD + (contents if contents <= INLINE_CONTENT_BYTES else 0)
        record += len(_weigh(facts)) if facts is not None else 0
        if contents > PART_BYTES:
            yield [(step, facts)]
            continue
        if batch and (size + contents > _BATCH_BYTES or records + record > _BATCH_RECORD_BYTES):
            yield batch
            batch, size, records = [], 0, 0
        batch.append((step, facts))
        size += contents
        records += record
    if batch:
        yield batch
