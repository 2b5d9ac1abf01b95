"""What an entry says besides its contents (type, tags), kept in the state so that pushing an edited file keeps it."""

from __future__ import annotations

import msgspec

from swampstore.errors import CorruptObject
from swampstore.values.entry import Meta
from swampstore.values.frame import UNREADABLE


class Labels(msgspec.Struct, frozen=True, array_like=True):
    """Content type and tags of an entry."""

    content_type: str = ""
    tags: dict[str, str] = {}


NO_LABELS = Labels()
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(Labels).decode


def labels_of(meta: Meta) -> bytes | None:
    """As kept in a row of the state."""
    return encode_labels(Labels(meta.content_type, meta.tags))


def encode_labels(labels: Labels) -> bytes | None:
    """As kept in a row of the state."""
    return _encode(labels) if labels != NO_LABELS else None


def decode_labels(kept: bytes | None) -> Labels:
    """Raises ``CorruptObject`` for what :func:`encode_labels` did not make."""
    try:
        return _decode(kept) if kept else NO_LABELS
    except (*UNREADABLE, TypeError) as error:
        raise CorruptObject(
            f"labels in the sync state cannot be read: {error}",
            hint="delete the state's file: the next sync compares everything by hash and deletes nothing",
        ) from error
