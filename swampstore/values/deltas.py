"""What a caller asks of the index: the three kinds of change that one atomic append may hold.

Tags, content types and keys are checked here, before anything is sent.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from swampstore.errors import BadConfig, TooLarge
from swampstore.limits import CONTENT_TYPE_BYTES, TAGS, TAGS_BYTES
from swampstore.values.entry import Meta


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """New contents for a key. ``data`` is bytes, text (stored as UTF-8) or a source for large contents.

    ``expires`` is ms since the epoch (0 = never), ``modified`` the file's own time in ms, ``mode`` its permission bits;
    ``base`` is the version this one was made from, when the caller wants a put it had not seen to be kept beside it.
    """

    key: str
    data: object
    content_type: str = ""
    tags: dict[str, str] = {}
    expires: int = 0
    modified: int = 0
    mode: int = 0
    base: bytes | None = None


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """An entry for contents that are in the store already (import)."""

    key: str
    meta: Meta
    expires: int = 0


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Remove a key; with ``base``, remove just that version: any later put wins over it."""

    key: str
    base: bytes | None = None


Delta: TypeAlias = Put | Index | Delete


def check_labels(content_type: str, tags: dict[str, str]) -> None:
    """Raise ``TooLarge`` or ``BadConfig`` for labels that an index entry may not carry."""
    if len(content_type.encode()) > CONTENT_TYPE_BYTES:
        raise TooLarge(f"a content type of more than {CONTENT_TYPE_BYTES} bytes")
    if not tags:
        return
    if not all(isinstance(name, str) and isinstance(value, str) and name for name, value in tags.items()):
        raise BadConfig("tags are pairs of strings with a name", hint='for example tags={"type": "report"}')
    size = sum(len(name.encode()) + len(value.encode()) for name, value in tags.items())
    if len(tags) > TAGS or size > TAGS_BYTES:
        raise TooLarge(f"{len(tags)} tags of {size} bytes; at most {TAGS} tags and {TAGS_BYTES} bytes fit")
