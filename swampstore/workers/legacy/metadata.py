"""The ``metadata.yaml`` of a legacy version, and the lifetimes it is written in.

Invariants:
- Scalars are read as text, so that a name such as ``207333`` or ``no`` stays what it is.
- Unknown fields are kept in ``extra``; a known field of the wrong form is ``CorruptObject``, never a default.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from swampstore.errors import CorruptObject
from swampstore.workers.legacy import plainyaml
from swampstore.workers.legacy.entries import parse_time
from swampstore.workers.legacy.limits import METADATA_BYTES

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
UNIT_MS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS, "mo": 30 * DAY_MS, "y": 365 * DAY_MS}
WORDS = frozenset({"ephemeral", "infinite", "job", "workflow"})
_DURATION = re.compile(r"([0-9]{1,9})(mo|[mhdwy])")


class Lifetime(msgspec.Struct, frozen=True):
    """How long a datum lives: a word of the layout, or ``duration`` with its milliseconds."""

    kind: str
    ms: int = 0


class Keep(msgspec.Struct, frozen=True):
    """Which old versions stay: the newest ``count``, or those younger than ``ms``. The newest always stays."""

    count: int | None = None
    ms: int | None = None


class Metadata(msgspec.Struct, frozen=True):
    """What a legacy version says of itself. Times in ms since the epoch, ``sha256`` 32 bytes; ``None`` is not said."""

    name: str
    id: str
    version: int
    tags: dict[str, str]
    content_type: str
    lifetime: Lifetime
    keep: Keep | None
    streaming: bool
    owner: dict[str, Any]
    created_ms: int | None
    size: int | None
    sha256: bytes | None
    deleted: bool
    renamed_to: str | None
    extra: dict[str, Any]


def parse_duration(text: str) -> int:
    """Milliseconds of ``<n>(m|h|d|w|mo|y)``. Raises ``ValueError``."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"{text[:50]!r} is not a duration such as 90m, 12h, 30d, 2w, 6mo or 1y")
    return int(match[1]) * UNIT_MS[match[2]]


def parse_lifetime(text: str) -> Lifetime:
    """A duration, or one of ``ephemeral``, ``infinite``, ``job``, ``workflow``. Raises ``ValueError``."""
    return Lifetime(text) if text in WORDS else Lifetime("duration", parse_duration(text))


def parse_keep(text: str) -> Keep:
    """A count of versions, or a duration. Raises ``ValueError``."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return Keep(count=int(text))
    return Keep(ms=parse_duration(text))


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


def _load(body: bytes) -> dict[str, Any]:
    if len(body) > METADATA_BYTES:
        raise ValueError(f"it is {len(body)} bytes, more than {METADATA_BYTES}")
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
    lifecycle = _one_of(held, "lifecycle", "active", "deleted")
    return Metadata(
        name=_required(held, "name"),
        id=_required(held, "id"),
        version=_count(_required(held, "version")),
        tags=tags,
        content_type=_text(held, "contentType") or "application/octet-stream",
        lifetime=parse_lifetime(_text(held, "lifetime") or "infinite"),
        keep=parse_keep(keep) if keep is not None else None,
        streaming=_one_of(held, "streaming", "false", "true") == "true",
        owner=owner,
        created_ms=parse_time(created) if created is not None else None,
        size=_count(size) if size is not None else None,
        sha256=_digest(_text(held, "checksum")),
        deleted=lifecycle == "deleted",
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
