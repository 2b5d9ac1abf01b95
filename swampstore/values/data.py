"""The data model: which versions of which datum of which model there are, as explicit fields.

A *datum* is named by model type, model id and data name; together they are its *item path*. A version with ordinal N is
the entry ``<item>/<N>/raw`` whose ``Meta.data`` is a :class:`Datum`; beside it lies ``<item>/<N>/metadata.yaml``. A put
that has no ordinal yet is a *pending* record under a key of the library's own, by the version's stable id:

    <item>\\0data                  the head: the highest ordinal ever given; written by the fold
    <item>\\0data\\0<id>             a pending version, then what the fold numbered it
    <item>/<N>/raw  .../metadata.yaml

Lifetimes and retention are read by :mod:`swampstore.values.lifetimes`, ``metadata.yaml`` by
:mod:`swampstore.values.metadata`.

Invariants:
- A stable id is the version of the put that made it, in hexadecimal: ids sort by time, and a retry has the same.
- Readers trust the fields, never the depth of a path. :func:`parse_path` is for those who *set* the fields.
- Ordinals that others give (import, sync) are bounded far below those the fold can count to: it never runs out.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from swampstore.errors import BadConfig, BadName, CorruptObject, Misuse, TooLarge
from swampstore.limits import DATA_FIELDS_BYTES, DATA_FIELDS_DEPTH, DATA_ORDINAL, KEY_BYTES
from swampstore.values.keys import key_problem
from swampstore.values.lifetimes import check_keep
from swampstore.values.version import VERSION_BYTES, WRITER_BYTES, make_version, put_of

DATA_FOLDER = "data/"
RAW = "raw"
METADATA = "metadata.yaml"
LATEST = "latest"
DELETED = "deleted"
_MARK = "\0data"
_ID_MARK = "\0data\0"
_SUFFIX_BYTES = 64
"""What keys below an item path add to it at most."""
_ID_CHARS = 2 * VERSION_BYTES
_ORDINAL = struct.Struct(">Q")
_HEX = frozenset("0123456789abcdef")
_FILES = (f"/{RAW}", f"/{METADATA}")
_FILE_DEPTH = 5
_DIGITS = 15
_NO_TEXTS = ("", "", "", "")


class Model(msgspec.Struct, frozen=True, order=True):
    """A model: its type (may hold slashes) and its id."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}:{self.id}"


class Datum(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an entry knows of its place in the data model, beside what every entry knows.

    ``ordinal`` is 0 while it is not known; ``keep`` the retention as text; ``lifecycle`` empty means active;
    ``data_id`` is the ``id`` of ``metadata.yaml`` when it was given; ``stamped`` says that the fold gave the ordinal, so
    that an id record stands under :func:`id_key`; ``extra`` are fields of ``metadata.yaml`` that nobody here knows.
    """

    model_type: str = msgspec.field(name="t")
    model_id: str = msgspec.field(name="m")
    name: str = msgspec.field(name="n")
    ordinal: int = msgspec.field(name="o", default=0)
    keep: str = msgspec.field(name="k", default="")
    owner: dict[str, Any] = msgspec.field(name="w", default_factory=dict)
    streaming: bool = msgspec.field(name="s", default=False)
    lifecycle: str = msgspec.field(name="c", default="")
    renamed_to: str = msgspec.field(name="r", default="")
    data_id: str = msgspec.field(name="i", default="")
    stamped: bool = msgspec.field(name="f", default=False)
    extra: dict[str, Any] = msgspec.field(name="e", default_factory=dict)

    @property
    def model(self) -> Model:
        return Model(self.model_type, self.model_id)

    @property
    def item(self) -> str:
        """The item path."""
        return f"{DATA_FOLDER}{self.model_type}/{self.model_id}/{self.name}"

    @property
    def deleted(self) -> bool:
        """Whether this version says that the datum is gone (it may name where it went)."""
        return self.lifecycle == DELETED


# --- names -----------------------------------------------------------------------------------------------------------


def parse_model(model: Model | str) -> Model:
    """A model from itself or from ``type:id`` (split at the last colon). Raises ``BadName``."""
    if isinstance(model, str):
        type_, colon, id_ = model.rpartition(":")
        if not colon:
            raise BadName(f"bad model {model[:200]!r}", hint='type:id, for example "aws/ec2:web", or swampstore.Model')
        model = Model(type_, id_)
    if not isinstance(model, Model):
        raise BadName(f"a model of type {type(model).__name__}", hint='pass swampstore.Model or "type:id"')
    problem = key_problem(model.type) or _part_problem(model.id)
    if problem:
        raise BadName(f"bad model {str(model)[:200]!r}: {problem}", hint="a type may hold slashes, an id may not")
    return model


def item_path(model: Model, name: str) -> str:
    """Where the versions of a datum lie. Raises ``BadName``."""
    model = parse_model(model)
    problem = _part_problem(name)
    if problem:
        raise BadName(f"bad data name {str(name)[:200]!r}: {problem}", hint="a name is one part of a path")
    item = f"{DATA_FOLDER}{model.type}/{model.id}/{name}"
    if len(item.encode()) > KEY_BYTES - _SUFFIX_BYTES:
        raise BadName(f"{model} {name[:200]!r} makes a path of more than {KEY_BYTES - _SUFFIX_BYTES} bytes")
    return item


def _part_problem(part: object) -> str:
    return "it holds a slash" if isinstance(part, str) and "/" in part else key_problem(part)  # type: ignore[arg-type]


def raw_path(item: str, ordinal: int) -> str:
    return f"{item}/{ordinal}/{RAW}"


def meta_path(item: str, ordinal: int) -> str:
    return f"{item}/{ordinal}/{METADATA}"


def latest_path(item: str) -> str:
    return f"{item}/{LATEST}"


def head_key(item: str) -> str:
    return item + _MARK


def id_prefix(item: str) -> str:
    """What every key of :func:`id_key` begins with."""
    return item + _ID_MARK


def id_key(item: str, version: bytes) -> str:
    return item + _ID_MARK + put_of(version).hex()


def parse_id_key(key: str) -> tuple[str, bytes] | None:
    """``(item path, version)`` of an id key; ``None`` for any other key."""
    item, mark, id_ = key.rpartition(_ID_MARK)
    return (item, bytes.fromhex(id_)) if mark and is_id(id_) else None


def is_id(text: object) -> bool:
    """Whether ``text`` has the form of a stable id."""
    return isinstance(text, str) and len(text) == _ID_CHARS and set(text) <= _HEX


class DataPath(msgspec.Struct, frozen=True):
    """What a path of the layout stands for. ``ordinal`` is ``None`` for ``latest``; ``leaf`` is the last part."""

    model_type: str
    model_id: str
    name: str
    ordinal: int | None
    leaf: str

    @property
    def item(self) -> str:
        return f"{DATA_FOLDER}{self.model_type}/{self.model_id}/{self.name}"


def parse_path(path: str) -> DataPath | None:
    """What ``path`` stands for if it has the form of one of the three files of a datum, else ``None``.

    Read from the right: a type may hold slashes, a name may be a number. That a numeric folder *is* a version needs
    more than this: it must hold ``metadata.yaml``.
    """
    parts = path.split("/")
    if parts[0] != "data" or len(parts) < 5:
        return None
    leaf = parts[-1]
    if leaf == LATEST:
        return DataPath("/".join(parts[1:-3]), parts[-3], parts[-2], None, leaf)
    ordinal = parse_ordinal(parts[-2])
    if len(parts) < 6 or ordinal is None or leaf not in (RAW, METADATA):
        return None
    return DataPath("/".join(parts[1:-4]), parts[-4], parts[-3], ordinal, leaf)


def version_folder(path: str) -> str | None:
    """The folder of the version that ``path`` is a file of, by its form; ``None`` for any other path.

    What :func:`parse_path` says of these two leaves, at a fraction of its cost: plans and imports ask it of every file.
    """
    if not path.endswith(_FILES) or not path.startswith(DATA_FOLDER) or path.count("/") < _FILE_DEPTH:
        return None
    folder = path.rpartition("/")[0]
    return folder if parse_ordinal(folder.rpartition("/")[2]) else None


def number_problem(path: str) -> str:
    """Why the numeric folder of this ``metadata.yaml`` is no version's by its form; empty if it is, or is not numeric."""
    if not path.endswith(_FILES[1]) or not path.startswith(DATA_FOLDER) or path.count("/") < _FILE_DEPTH:
        return ""
    text = path.removesuffix(_FILES[1]).rpartition("/")[2]
    if not (text.isascii() and text.isdigit()) or parse_ordinal(text):
        return ""
    if not text.strip("0"):
        return "versions begin at 1"
    return "its number begins with 0" if text[0] == "0" else f"its number has {len(text)} digits, more than {_DIGITS}"


def parse_ordinal(text: str) -> int | None:
    """The ordinal a folder's name stands for: decimal digits without leading zeros, at most 15 of them."""
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS or (text[0] == "0" and text != "0"):
        return None
    return int(text)


def raw_of(key: str) -> tuple[str, int] | None:
    """``(item path, ordinal)`` when ``key`` has the form ``<item>/<N>/raw`` with an ordinal others may give."""
    rest, _, leaf = key.rpartition("/")
    item, _, number = rest.rpartition("/")
    if leaf != RAW or not item or not number:
        return None
    ordinal = parse_ordinal(number)
    return (item, ordinal) if ordinal is not None and ordinal <= DATA_ORDINAL else None


# --- the head and the numbers ------------------------------------------------------------------------------------------


def head_version(last: int) -> bytes:
    """The version of a head that says ``last``: made of it alone, so that of two heads the higher number wins."""
    return make_version(last, b"\0" * WRITER_BYTES, 0)


def encode_ordinal(ordinal: int) -> bytes:
    """The value of a head, and of the record of a numbered id."""
    return _ORDINAL.pack(ordinal)


def decode_ordinal(value: bytes, key: str) -> int:
    """Raises ``CorruptObject`` for what :func:`encode_ordinal` did not make."""
    try:
        ordinal: int = _ORDINAL.unpack(value)[0]
    except struct.error as error:
        raise CorruptObject(f"the number of {key!r} cannot be read", name=key) from error
    return ordinal


# --- checks ------------------------------------------------------------------------------------------------------------


def check_datum(datum: Datum, key: str) -> None:
    """Raise unless ``datum`` may stand in the entry of ``key``: ``BadName``, ``BadConfig``, ``TooLarge``, ``Misuse``."""
    if not isinstance(datum, Datum):
        raise Misuse(f"data of type {type(datum).__name__}", hint="pass a swampstore Datum")
    item = item_path(Model(datum.model_type, datum.model_id), datum.name)
    if type(datum.ordinal) is not int or not 0 <= datum.ordinal <= DATA_ORDINAL:
        raise TooLarge(f"version {datum.ordinal!r} of {item!r}", hint=f"versions are 0 to {DATA_ORDINAL}")
    if key != raw_path(item, datum.ordinal):
        raise Misuse(
            f"the fields of {str(key)[:200]!r} say version {datum.ordinal} of {item!r}",
            hint="the path and the fields of a version must agree",
        )
    check_fields(datum)


def check_fields(datum: Datum) -> None:
    """Raise ``BadConfig`` or ``TooLarge`` for fields that an entry cannot hold or that cannot be written as text."""
    texts = (datum.keep, datum.lifecycle, datum.renamed_to, datum.data_id)
    if texts == _NO_TEXTS and datum.owner == {} == datum.extra and datum.streaming is False:
        return  # nothing but a name, as an import of an index alone makes them by the hundred thousand
    check_keep(datum.keep or None)
    for field in ("owner", "extra"):
        held = getattr(datum, field)
        if not isinstance(held, dict):
            raise BadConfig(f"{field} is a {type(held).__name__}", hint=f"{field} is a map of fields")
        _check_plain(held, field, DATA_FIELDS_DEPTH)
    for field in ("lifecycle", "renamed_to", "data_id"):
        _check_plain(getattr(datum, field), field, 1, texts=True)
    if type(datum.streaming) is not bool:
        raise BadConfig(f"streaming is {datum.streaming!r}", hint="true or false")
    size = len(msgspec.msgpack.encode((datum.owner, datum.extra, datum.renamed_to, datum.data_id)))
    if size > DATA_FIELDS_BYTES:
        raise TooLarge(f"owner and other fields of {size} bytes, limit {DATA_FIELDS_BYTES}")


def _check_plain(value: object, field: str, depth: int, *, texts: bool = False) -> None:
    """Text, whole numbers, finite floats, true, false, nothing; lists and maps of them by text."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadConfig(f"{field} holds what is not text: {value[:50]!r}") from error
        return
    plain = value is None or isinstance(value, bool) or (type(value) is int and abs(value) < 1 << 63)
    if not texts and (plain or (type(value) is float and abs(value) < float("inf"))):
        return
    if texts or depth == 0 or not isinstance(value, dict | list):
        why = "it is nested too deeply" if depth == 0 else f"{str(value)[:50]!r} cannot stand there"
        raise BadConfig(f"{field}: {why}", hint="texts, numbers, true, false; lists and maps of them")
    for part in value:
        _check_plain(part, field, depth - 1, texts=isinstance(value, dict))
    if isinstance(value, dict):
        for part in value.values():
            _check_plain(part, field, depth - 1)
