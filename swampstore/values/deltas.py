"""What a caller asks of the index: the kinds of change that one atomic append may hold.

Invariants: every field is checked before anything is sent. A field that readers could not decode would make the whole
segment broken for them, the deltas of other callers that travel in it included, after it was acknowledged.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from swampstore.errors import BadConfig, CorruptObject, Misuse, TooLarge
from swampstore.limits import CONTENT_TYPE_BYTES, EPHEMERAL_TTL_MAX_MS, TAGS, TAGS_BYTES
from swampstore.values.data import Datum, check_datum
from swampstore.values.entry import Blob, Meta, Packed, check_value, put_record
from swampstore.values.lifetimes import check_lifetime
from swampstore.values.version import is_version

_MOST_INT = (1 << 63) - 1
_MOST_TTL_S = 1e10
_KEEP = "runtime state lives at most 30 days; what is to be kept longer is an indexed entry"
_NO_VERSION = b""


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """New contents for a key. ``data`` is bytes, text (stored as UTF-8) or a source for large contents.

    ``expires`` is ms since the epoch (0 = never), ``modified`` the file's own time in ms, ``mode`` its permission bits;
    ``base`` is the version this one was made from, when the caller wants a put it had not seen to be kept beside it.
    ``datum`` makes it a version of the data model, of the given ``lifetime``; ``created`` is ms since the epoch, 0 = now.

    ``ttl`` is seconds from now, instead of ``expires``. ``record_class`` ``"ephemeral"`` is runtime state: no weight in
    the index, no versions, overwritten in place, gone after its time (a day when neither is given, 30 days at most).
    """

    key: str
    data: object
    content_type: str = ""
    tags: dict[str, str] = {}
    expires: int = 0
    modified: int = 0
    mode: int = 0
    base: bytes | None = None
    datum: Datum | None = None
    lifetime: str = ""
    created: int = 0
    ttl: float = 0
    record_class: str = "indexed"


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """An entry for contents that are in the store already (import)."""

    key: str
    meta: Meta
    expires: int = 0


class Relabel(msgspec.Struct, frozen=True, kw_only=True):
    """New words about the contents that an entry of this key has: ``meta`` names the location that was read there.

    ``read`` is when that read began (steady clock, s): the location may be carried for an hour, then the sweep may take it.
    """

    key: str
    meta: Meta
    read: float
    expires: int = 0


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Remove a key; with ``base``, remove just that version: any later put wins over it.

    Of which class the key is need not be said; ``record_class="ephemeral"`` keeps the tombstone out of the index.
    """

    key: str
    base: bytes | None = None
    record_class: str = "indexed"


Delta: TypeAlias = Put | Index | Relabel | Delete


def check_delta(delta: Delta) -> None:
    """Raise ``Misuse``, ``BadConfig`` or ``TooLarge`` for fields that an index entry cannot hold. Keys are not looked at."""
    match delta:
        case Put():
            check_labels(delta.content_type, delta.tags)
            for field in ("expires", "modified", "mode", "created"):
                _check_int(field, getattr(delta, field))
            _check_base(delta.base)
            _check_class(delta)
            if delta.lifetime:
                check_lifetime(delta.lifetime)
            if delta.datum is not None:
                check_datum(delta.datum, delta.key)
        case Index() | Relabel():
            _check_int("expires", delta.expires)
            _check_meta(delta)
        case Delete():
            _check_base(delta.base)
            _check_class_name(delta.record_class)
        case _:
            raise Misuse(f"a delta of type {type(delta).__name__}", hint="pass swampstore.Put, Index or Delete")


def _check_int(field: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= _MOST_INT:
        raise Misuse(f"{field} is {value!r}", hint=f"{field} is a whole number, 0 = none; times are ms since the epoch")


def _check_class(delta: Put) -> None:
    _check_class_name(delta.record_class)
    ttl = delta.ttl
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 <= ttl <= _MOST_TTL_S:
        raise Misuse(f"ttl is {ttl!r}", hint="ttl is a number of seconds from now, 0 = none")
    if ttl and delta.expires:
        raise Misuse("both expires and ttl", hint="give one of them")
    if delta.record_class == "ephemeral":
        if delta.base is not None:
            raise Misuse("runtime state with a base", hint="an ephemeral entry is overwritten in place: leave base out")
        if ttl * 1000 > EPHEMERAL_TTL_MAX_MS:
            raise Misuse(f"runtime state with a ttl of {ttl:g} s", hint=_KEEP)


def _check_class_name(name: object) -> None:
    if name not in ("indexed", "ephemeral"):
        raise Misuse(f"{name!r} is no class of records", hint='"indexed" (the default) or "ephemeral"')


def _check_base(base: object) -> None:
    if base is not None and not is_version(base):
        raise Misuse(f"base is {base!r}, not a version", hint="pass the version of an entry that was read")


def _check_meta(delta: Index | Relabel) -> None:
    if not isinstance(delta.meta, Meta):
        raise Misuse(f"meta of type {type(delta.meta).__name__}", hint="pass swampstore.Meta")
    try:
        check_value(put_record(delta.key, _NO_VERSION, delta.meta))
    except (CorruptObject, TypeError, OverflowError, UnicodeEncodeError) as error:
        raise Misuse(f"the index entry of {delta.key!r} cannot be stored: {error}") from error
    if delta.meta.size < 0:
        raise Misuse(f"the index entry of {delta.key!r} has {delta.meta.size} bytes")
    if delta.meta.data is not None:
        check_datum(delta.meta.data, delta.key)
    if isinstance(delta, Index) and isinstance(delta.meta.at, Blob | Packed):
        # The sweep may already have called it garbage: only who has uploaded a content may name it.
        raise Misuse(
            f"the index entry of {delta.key!r} takes over the contents of another entry",
            hint="read the contents and put them under the new key",
        )
    _check_base(delta.meta.base)


def check_labels(content_type: str, tags: dict[str, str]) -> None:
    """Raise ``TooLarge`` or ``BadConfig`` for labels that an index entry may not carry."""
    if _size(content_type) > CONTENT_TYPE_BYTES:
        raise TooLarge(f"a content type of more than {CONTENT_TYPE_BYTES} bytes")
    if not tags:
        return
    if not isinstance(tags, dict) or not all(tags):
        raise BadConfig("tags are pairs of strings with a name", hint='for example tags={"type": "report"}')
    size = sum(_size(name) + _size(value) for name, value in tags.items())
    if len(tags) > TAGS or size > TAGS_BYTES:
        raise TooLarge(f"{len(tags)} tags of {size} bytes; at most {TAGS} tags and {TAGS_BYTES} bytes fit")


def _size(label: object) -> int:
    """The bytes of a label. Raises ``BadConfig`` for what is not text."""
    try:
        if isinstance(label, str):
            return len(label.encode())
    except UnicodeEncodeError:
        pass  # lone surrogates, as in file names that are not UTF-8
    raise BadConfig(f"{label!r} is not text", hint="content types and tags are strings of UTF-8 text")
