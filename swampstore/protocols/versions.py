"""Writing the data model: from what a caller asks to records, ready to be appended.

A put is one pending record (see :mod:`swampstore.values.data`); the fold numbers it. Removing a version is a tombstone of
exactly that version for everything that stands for it; renaming is a new version under the new name and, in the same
append, one under the old name that forwards to it.

Invariants: nothing is sent before every field is checked; what is removed or carried over is what one snapshot held.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from swampstore.errors import AlreadyExists, Misuse, NotFound
from swampstore.protocols.contents import upload
from swampstore.protocols.data import DataView
from swampstore.protocols.drafting import Drafted, check_deltas
from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import Snapshot
from swampstore.protocols.writer import Writer
from swampstore.stores.base import Body
from swampstore.values.data import DELETED, Datum, Model, id_key, item_path, meta_path, parse_model, raw_path
from swampstore.values.data_version import DataVersion
from swampstore.values.deltas import Put
from swampstore.values.entry import Inline, Meta, Record, pending_record, tombstone
from swampstore.values.lifetimes import check_keep, check_new_lifetime, expires_at
from swampstore.values.metadata import DEFAULT_TYPE
from swampstore.values.version import just_above, put_of


class NewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks to put. ``data`` is bytes, text or a source; ``keep`` a count or an age."""

    model: Model | str
    name: str
    data: object
    content_type: str = ""
    tags: dict[str, str] = {}
    lifetime: str = "infinite"
    keep: str | int | None = None
    owner: dict[str, Any] = {}
    streaming: bool = False
    extra: dict[str, Any] = {}


class Checked(msgspec.Struct, frozen=True):
    """A new version whose fields are fit to be stored."""

    put: Put
    datum: Datum
    body: Body


def check_version(new: NewVersion) -> Checked:
    """Raises ``BadName``, ``BadConfig``, ``TooLarge``, ``Misuse``."""
    model = parse_model(new.model)
    datum = Datum(
        model_type=model.type,
        model_id=model.id,
        name=new.name,
        keep=check_keep(new.keep),
        owner=new.owner,
        streaming=new.streaming,
        extra=new.extra,
    )
    item = item_path(model, new.name)
    put = Put(
        key=raw_path(item, 0),
        data=new.data,
        content_type=new.content_type,
        tags={"type": DEFAULT_TYPE} | new.tags if isinstance(new.tags, dict) else new.tags,
        lifetime=check_new_lifetime(new.lifetime),
        datum=datum,
    )
    (body,) = check_deltas([put]).values()
    return Checked(put, datum, body)


async def draft_version(place: Place, writer: Writer, checked: Checked) -> Drafted:
    """Upload the contents and make the pending record."""
    placed = (await upload(place, {"": checked.body}))[""]
    put, now = checked.put, place.clock.now_ms()
    meta = Meta(
        size=placed.size,
        at=placed.at,
        sha256=placed.sha256,
        content_type=put.content_type,
        tags=put.tags,
        created=now,
        lifetime=put.lifetime,
        data=checked.datum,
    )
    record = pending_record(
        checked.datum.item, writer.new_version(), meta, expires=expires_at(put.lifetime, meta.created)
    )
    return Drafted([record], uploaded=placed.boot)


# --- removing --------------------------------------------------------------------------------------------------------


async def draft_removal(snapshot: Snapshot, versions: Sequence[DataVersion]) -> list[list[Record]]:
    """The tombstones of ``versions``, one group each: what of one version must travel together."""
    beside = {version.id: meta_path(version.item, version.ordinal or 0) for version in versions if not version.pending}
    held = await snapshot.winners(beside.values()) if beside else {}
    return [_removal(version, held.get(beside.get(version.id, ""))) for version in versions]


def _removal(version: DataVersion, metadata: Record | None) -> list[Record]:
    base = version.entry.version
    records = []
    if not version.pending:
        records.append(removed(version.key, base))
        if metadata is not None and not metadata.gone:
            records.append(removed(metadata.key, metadata.version))
    if version.pending or version.stamped:
        records.append(removed(id_key(version.item, base), base))
    return records


def removed(key: str, version: bytes) -> Record:
    """The tombstone of exactly one version of a key."""
    return tombstone(key, just_above(version), base=put_of(version))


# --- renaming --------------------------------------------------------------------------------------------------------


async def draft_rename(
    place: Place, writer: Writer, snapshot: Snapshot, model: Model, name: str, new_name: str
) -> Drafted:
    """A new version under the new name with the contents of the newest, and one under ``name`` that forwards to it.

    The contents are not copied: the place where they lie is carried over. Raises ``NotFound``, ``AlreadyExists``,
    ``BadName``, ``Misuse``.
    """
    read = place.clock.steady()
    view = DataView(place, snapshot)
    item = item_path(model, name)
    newest = await view.latest(item)
    if newest is None or newest.deleted:
        moved = f": it was renamed to {newest.renamed_to!r}" if newest and newest.renamed_to else ""
        raise NotFound(f"no data {name!r} of model {model}{moved}", hint="list what there is: search_data()")
    target = item_path(newest.model, new_name)
    if target == item:
        raise Misuse("the new name is the old one", hint="choose another name")
    there = await view.latest(target)
    if there is not None and not there.deleted:
        raise AlreadyExists(
            f"there is data {new_name!r} of model {model} already", hint="delete it first, or choose another name"
        )
    meta, datum = newest.entry.meta, newest.entry.meta.data
    assert datum is not None
    now = place.clock.now_ms()
    renewed = msgspec.structs.replace(datum, name=new_name, ordinal=0, stamped=False, data_id="")
    forward = msgspec.structs.replace(datum, ordinal=0, stamped=False, lifecycle=DELETED, renamed_to=new_name)
    carried = msgspec.structs.replace(meta, created=now, base=None, data=renewed)
    marker = Meta(
        size=0, at=Inline(b""), sha256=sha256(b"").digest(), content_type=meta.content_type, tags=meta.tags, created=now,
        lifetime="infinite", data=forward,
    )  # fmt: skip
    records = [
        pending_record(target, writer.new_version(), carried, expires=expires_at(meta.lifetime, now)),
        pending_record(item, writer.new_version(), marker),
    ]
    return Drafted(records, uploaded=None, carried=read)
