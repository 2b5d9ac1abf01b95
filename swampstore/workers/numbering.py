"""Numbering: the step of a fold that gives pending versions of the data model their ordinals 1, 2, 3 ...

A put of the data model is a pending record under its own stable id. The fold that takes it in looks up, in the very root
it is about to replace, whether that id has a number and which number its item gave last, and makes in the same CAS: the
numbered entry, its ``metadata.yaml``, the record of the numbered id, and the item's new head.

Invariants:
- A root holds no pending record, so a number is given once: whoever meets the same put again (a retry of its writer, a
  zombie's fold) finds the record of its id, which is above every copy of the put.
- Ordinals of an item rise by one in fold order, and by id within one fold. The head never goes back: its version is made
  of the number it holds, so the join takes the higher of two, and puts that bring their own ordinal (import, sync) raise
  it without looking.
- An id that was removed is never numbered. A removal that comes after the number removes the numbered entries too.
- Nothing is lost by a collision: what is made descends from nothing, so that a put with the same path is kept beside it.

Cost: none but the head's records without pending ones; with them one round for block indexes and one for blocks, both
cached, however many. A run that is gone stops the fold: what cannot be looked up cannot be numbered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from swampstore.protocols.place import Place
from swampstore.protocols.runs import find_in_runs
from swampstore.values.data import (
    decode_ordinal,
    encode_ordinal,
    head_key,
    head_version,
    id_prefix,
    meta_path,
    parse_id_key,
    raw_of,
    raw_path,
)
from swampstore.values.entry import (
    OPAQUE,
    PENDING,
    TOMBSTONE,
    VERSIONED,
    Inline,
    Meta,
    Record,
    base_of,
    meta_of,
    put_record,
    tombstone,
)
from swampstore.values.join import join_counted
from swampstore.values.metadata import METADATA_TYPE, render_metadata
from swampstore.values.root import Root
from swampstore.values.version import FROM_NOTHING, just_above, put_of, refined

MADE_BY_ONE = 4
"""Records that numbering makes of one pending record."""
_CLASS = PENDING | TOMBSTONE | VERSIONED
_Records = Mapping[str, Sequence[Record]]


class Asked(msgspec.Struct):
    """What the incoming records ask of the numbering.

    ``pending`` and ``removed`` are by id key; ``given`` is the highest ordinal that puts of an item brought along.
    """

    pending: dict[str, Record] = {}
    removed: dict[str, Record] = {}
    given: dict[str, int] = {}

    def keys(self) -> list[str]:
        """What has to be looked up, sorted."""
        heads = {head_key(item_of(key)) for key in self.pending}
        return sorted(heads.union(self.pending, self.removed))


async def number(
    place: Place, root: Root, table: dict[str, Record], incoming: Sequence[Record], dropped: Sequence[Record]
) -> tuple[list[Record], list[Record]]:
    """Number what ``incoming`` brought into ``table`` (joined on top of the inline records of ``root``).

    ``dropped`` is what that join has dropped. Returns ``(dropped, made)`` of this step. Raises ``RunGone``.
    """
    asked = asked_by(table, incoming)
    known: dict[str, list[Record]] = {}
    keys = asked.keys()
    if keys:
        known = await find_in_runs(place, [*root.level0, *root.shards], keys)
        for record in dropped:
            if record.key in asked.removed:
                known[record.key].append(record)
    lost = already_settled(asked, known)
    for record in lost:
        del table[record.key]
        del asked.pending[record.key]
    made = [*numbered(table, asked, known), *swept_along(asked, known)]
    gone, kept = join_counted(table, made)
    return [*lost, *gone], [*made, *kept]


# --- pure ------------------------------------------------------------------------------------------------------------


def asked_by(table: Mapping[str, Record], incoming: Iterable[Record]) -> Asked:
    """What ``incoming``, already joined into ``table``, asks for."""
    asked = Asked()
    with_their_entries: set[str] = set()
    for record in incoming:
        flags = record.flags & _CLASS
        if not flags:
            continue
        if flags & PENDING:
            if table[record.key].flags & PENDING:
                asked.pending[record.key] = record
        elif flags & TOMBSTONE:
            _note_removal(record, asked.removed, with_their_entries)
        else:
            found = raw_of(record.key)
            if found:
                asked.given[found[0]] = max(asked.given.get(found[0], 0), found[1])
    for key in with_their_entries.intersection(asked.removed):
        del asked.removed[key]  # its maker knew the number
    return asked


def _note_removal(record: Record, removed: dict[str, Record], with_their_entries: set[str]) -> None:
    base = base_of(record)
    if base is None:
        return
    if parse_id_key(record.key):
        removed[record.key] = record
    elif found := raw_of(record.key):
        with_their_entries.add(id_prefix(found[0]) + put_of(base).hex())


def already_settled(asked: Asked, known: _Records) -> list[Record]:
    """Pending records whose id was numbered or removed before: copies that come late."""
    return [
        record
        for key, record in asked.pending.items()
        if any(held.version > record.version for held in known.get(key, ()))
    ]


def numbered(table: Mapping[str, Record], asked: Asked, known: _Records) -> list[Record]:
    """What the pending records become, and the heads that say so."""
    last: dict[str, int] = dict(asked.given)
    made: list[Record] = []
    for record in sorted(asked.pending.values(), key=lambda record: record.version):
        item = item_of(record.key)
        held = _head(item, table, known)
        ordinal = last[item] = max(last.get(item, 0), held) + 1
        made += _numbered(item, record, ordinal)
    made += [_head_record(item, ordinal) for item, ordinal in last.items()]
    return made


def _numbered(item: str, record: Record, ordinal: int) -> list[Record]:
    meta = meta_of(record)
    assert meta.data is not None
    datum = msgspec.structs.replace(meta.data, ordinal=ordinal, stamped=True)
    meta = msgspec.structs.replace(meta, data=datum, base=FROM_NOTHING)
    text = render_metadata(meta)
    beside = Meta(
        size=len(text),
        at=Inline(text),
        sha256=hashlib.sha256(text).digest(),
        content_type=METADATA_TYPE,
        created=meta.created,
        base=FROM_NOTHING,
    )
    return [
        put_record(raw_path(item, ordinal), record.version, meta, expires=record.expires),
        put_record(meta_path(item, ordinal), record.version, beside, expires=record.expires),
        Record(record.key, refined(record.version), OPAQUE, 0, encode_ordinal(ordinal)),
    ]


def _head(item: str, table: Mapping[str, Record], known: _Records) -> int:
    """The highest ordinal that the item has given, as far as its heads know."""
    key = head_key(item)
    heads = [*known.get(key, ()), *((table[key],) if key in table else ())]
    return max((decode_ordinal(record.value, key) for record in heads), default=0)


def _head_record(item: str, ordinal: int) -> Record:
    return Record(head_key(item), head_version(ordinal), OPAQUE, 0, encode_ordinal(ordinal))


def swept_along(asked: Asked, known: _Records) -> list[Record]:
    """Tombstones of the numbered entries whose id was removed by somebody who did not know the number."""
    made: list[Record] = []
    for key, removal in asked.removed.items():
        version = put_of(removal.version)
        for held in known.get(key, ()):
            if held.flags == OPAQUE and put_of(held.version) == version:
                item, ordinal = item_of(key), decode_ordinal(held.value, key)
                made += [
                    tombstone(path, just_above(version), base=version)
                    for path in (raw_path(item, ordinal), meta_path(item, ordinal))
                ]
                break
    return made


def item_of(key: str) -> str:
    """The item of an id key that was checked when it was decoded."""
    found = parse_id_key(key)
    assert found is not None
    return found[0]
