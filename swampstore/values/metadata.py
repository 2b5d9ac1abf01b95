"""The ``metadata.yaml`` of a version, both ways.

Invariants:
- Scalars are read as text, so that a name such as ``207333`` or ``no`` stays what it is.
- Unknown fields are kept in ``extra`` and written back; a known field of the wrong form is ``CorruptObject``, never a
  default.
- The same entry gives the same bytes, whoever writes them.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from swampstore.errors import CorruptObject
from swampstore.limits import DATA_METADATA_BYTES
from swampstore.values import plainyaml
from swampstore.values.data import DELETED, DataPath, Datum
from swampstore.values.entry import Meta
from swampstore.values.lifetimes import Keep, Lifetime, format_time, parse_keep, parse_lifetime, parse_time

METADATA_TYPE = "application/yaml"
DEFAULT_TYPE = "resource"
"""The tag ``type`` of a version that was given none: the layout asks for one."""


class Metadata(msgspec.Struct, frozen=True):
    """What a version says of itself. Times in ms since the epoch, ``sha256`` 32 bytes; ``None`` is not said."""

    name: str
    id: str
    version: int
    tags: dict[str, str]
    content_type: str
    lifetime: Lifetime
    lifetime_text: str
    keep: Keep | None
    keep_text: str
    streaming: bool
    owner: dict[str, Any]
    created_ms: int | None
    size: int | None
    sha256: bytes | None
    deleted: bool
    renamed_to: str | None
    extra: dict[str, Any]


def parse_metadata(body: bytes, name: str, *, version: int) -> Metadata:
    """The decoded ``metadata.yaml`` of version ``version``; ``name`` is the object's, for errors.

    Raises ``CorruptObject`` if it cannot be read, lacks a required field, or speaks of another version.
    """
    try:
        found = _build(_load(body))
    except (ValueError, OverflowError) as error:
        raise CorruptObject(f"{name} cannot be read: {error}", name=name) from error
    if found.version != version:
        raise CorruptObject(f"{name} says version {found.version} in the folder of version {version}", name=name)
    return found


def datum_of(found: Metadata, path: DataPath) -> Datum:
    """The fields of the version at ``path`` whose ``metadata.yaml`` was read as ``found``."""
    return Datum(
        model_type=path.model_type,
        model_id=path.model_id,
        name=path.name,
        ordinal=found.version,
        keep=found.keep_text,
        owner=found.owner,
        streaming=found.streaming,
        lifecycle=DELETED if found.deleted else "",
        renamed_to=found.renamed_to or "",
        data_id=found.id,
        extra=found.extra,
    )


def render_metadata(meta: Meta) -> bytes:
    """The ``metadata.yaml`` that says what ``meta`` (of a version: ``meta.data`` is set) says."""
    datum = meta.data
    assert datum is not None
    fields: dict[str, Any] = {
        "name": datum.name,
        "id": datum.data_id or item_uuid(datum.item),
        "version": datum.ordinal,
        "contentType": meta.content_type or "application/octet-stream",
        "lifetime": meta.lifetime or "infinite",
        "garbageCollection": int(datum.keep) if datum.keep.isdigit() else datum.keep,
        "streaming": datum.streaming,
        "tags": {"type": DEFAULT_TYPE} | meta.tags,
        "ownerDefinition": datum.owner,
        "createdAt": format_time(meta.created),
        "size": meta.size,
        "checksum": meta.sha256.hex() if meta.sha256 else "",
        "lifecycle": datum.lifecycle or "active",
        "renamedTo": datum.renamed_to,
    }
    said = {name: value for name, value in fields.items() if value not in ("", {})}
    return plainyaml.dump(said | {name: value for name, value in datum.extra.items() if name not in fields}).encode()


def item_uuid(item: str) -> str:
    """The id of a datum that was given none: the same for all its versions, on every machine (RFC 9562, version 8)."""
    digest = hashlib.sha256(item.encode()).digest()
    number = int.from_bytes(digest[:16]) & ~(0xF << 76) & ~(0x3 << 62) | (0x8 << 76) | (0x2 << 62)
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _load(body: bytes) -> dict[str, Any]:
    if len(body) > DATA_METADATA_BYTES:
        raise ValueError(f"it is {len(body)} bytes, more than {DATA_METADATA_BYTES}")
    held = plainyaml.load(body.decode("utf-8"))
    if not isinstance(held, dict):
        raise ValueError("it is not a map of fields")
    return held


def _build(held: dict[str, Any]) -> Metadata:
    tags = held.pop("tags", None)
    if not isinstance(tags, dict) or not all(isinstance(part, str) for pair in tags.items() for part in pair):
        raise ValueError("tags must be a map of texts")
    if "type" not in tags:
        raise ValueError("tags must hold type")
    owner = held.pop("ownerDefinition", {})
    if not isinstance(owner, dict):
        raise ValueError("ownerDefinition must be a map")
    keep, created, size = _text(held, "garbageCollection"), _text(held, "createdAt"), _text(held, "size")
    lifecycle = _one_of(held, "lifecycle", "active", DELETED)
    lifetime = _text(held, "lifetime") or "infinite"
    return Metadata(
        name=_required(held, "name"),
        id=_required(held, "id"),
        version=_count(_required(held, "version")),
        tags=tags,
        content_type=_text(held, "contentType") or "application/octet-stream",
        lifetime=parse_lifetime(lifetime),
        lifetime_text=lifetime,
        keep=parse_keep(keep) if keep is not None else None,
        keep_text=keep or "",
        streaming=_one_of(held, "streaming", "false", "true") == "true",
        owner=owner,
        created_ms=parse_time(created) if created is not None else None,
        size=_count(size) if size is not None else None,
        sha256=_digest(_text(held, "checksum")),
        deleted=lifecycle == DELETED,
        renamed_to=_text(held, "renamedTo"),
        extra=held,
    )


def _text(held: dict[str, Any], field: str) -> str | None:
    """Takes ``field`` out of ``held``; an empty or ``null`` one is not said."""
    value = held.pop(field, None)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{field} must be a text or a number")
    return None if value in (None, "", "null", "~") else value


def _required(held: dict[str, Any], field: str) -> str:
    value = held.pop(field, None)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} is missing")
    return value


def _one_of(held: dict[str, Any], field: str, default: str, other: str) -> str:
    value = _text(held, field) or default
    if value not in (default, other):
        raise ValueError(f"{field} must be {default} or {other}, not {value[:50]!r}")
    return value


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"{text[:50]!r} is not a count")
    return int(text)


def _digest(text: str | None) -> bytes | None:
    if text is None:
        return None
    found = bytes.fromhex(text.removeprefix("sha256:"))
    if len(found) != 32:
        raise ValueError("checksum is not a sha256")
    return found
