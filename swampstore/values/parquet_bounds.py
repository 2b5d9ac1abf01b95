"""What a Parquet file may make of its bytes, worked out before any of it is decoded: its writer is not believed.

Things that let a few bytes stand for very many: pages that decompress to more than the end of the file says, rows that are
only counted, long words that a dictionary or a shared beginning holds once. Pages have their true sizes and encodings in
headers of their own. The end of the file is read here too: where pyarrow tells of it, some words end the process.

Invariant: what passes decodes to at most :data:`RAW_BYTES` in pages, :data:`ROWS` rows and as many bytes of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from swampstore.limits import MIB
from swampstore.values.thrift import BadThrift, Fields, read_struct

ROWS = 65_536
RAW_BYTES = 64 * MIB
"""A row group of 8 MB of keys and values, in which every byte takes six as JSON, and some room."""
_ENCODINGS = {0, 2, 3, 8}
"""Plain, of a dictionary (two names), runs: what is written here."""
_PHYSICAL = {2: "INT64", 6: "BYTE_ARRAY"}
_KIND, _RAW, _STORED = 1, 2, 3
"""Fields of a page's header."""
_OF_WORDS = 2
"""The kind of page that holds a dictionary."""
_ENCODING = {5: 2, 7: 2, 8: 4}
"""The parts of it that name an encoding, and where: data, dictionary, data of the second form."""


class Column(msgspec.Struct, frozen=True):
    """A column of a row group: its name, what it is stored as, how many values from where to where."""

    name: str
    physical: str
    values: int
    start: int
    end: int


class Group(msgspec.Struct, frozen=True):
    """A row group: how many rows, how large it says to be decoded."""

    rows: int
    raw_bytes: int
    columns: tuple[Column, ...]


class End(msgspec.Struct, frozen=True):
    """What the end of a file says: the row groups, and the texts that its writer put there."""

    groups: tuple[Group, ...]
    texts: dict[bytes, bytes]


def read_end(data: bytes) -> End:
    """The description in the bytes between the last page and the length of it. Raises ``BadThrift``."""
    held = read_struct(data)[0]
    try:
        texts = {pair[1]: pair.get(2, b"") for pair in held.get(5, ())}
        return End(tuple(_group(one) for one in held.get(4, ())), texts)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise BadThrift(f"not the end of a Parquet file: {error!r}") from error


def _group(held: Fields) -> Group:
    return Group(_number(held, 3), _number(held, 2), tuple(_column(one[3]) for one in held[1]))


def _column(held: Fields) -> Column:
    start = min(_number(held, 9), _number(held, 11) if 11 in held else _number(held, 9))
    (name,) = held[3]
    return Column(name.decode(), _PHYSICAL.get(held[1], "other"), _number(held, 5), start, start + _number(held, 7))


def _number(held: Fields, field: int) -> int:
    found = held[field]
    if not isinstance(found, int) or found < 0:
        raise BadThrift(f"{found!r:.40} is no size")
    return found


def check_group(group: Group, columns: Sequence[tuple[str, str]], count: int, offset: int, stored: bytes) -> list[str]:
    """The columns that have dictionaries, in a row group whose bytes from ``offset`` on are ``stored``.

    ``columns`` are names and physical types, ``count`` is how many rows there should be. Raises ``BadThrift`` unless it is
    as small as it may be.
    """
    if group.rows != count or not 0 < count <= ROWS:
        raise BadThrift(f"{group.rows} rows instead of {count}")
    if [(one.name, one.physical) for one in group.columns] != list(columns):
        raise BadThrift("other columns")
    total, coded = 0, []
    for one in group.columns:
        start, end = one.start - offset, one.end - offset
        if one.values != count or not 0 <= start < end <= len(stored):
            raise BadThrift(f"{one.values} values at {start}")
        pages = read_pages(stored[start:end])
        total += sum(page[_RAW] for page in pages)
        if any(page.get(_KIND) == _OF_WORDS for page in pages) and one.physical == "BYTE_ARRAY":
            coded.append(one.name)
    if total > RAW_BYTES:
        raise BadThrift(f"pages of {total} bytes")
    return coded


def check_words(table: Any, coded: Sequence[str]) -> None:
    """Raise ``BadThrift`` when the words of the columns that were read as dictionaries are too much written out."""
    import pyarrow.compute as pc

    total = 0
    for name in coded:
        for chunk in table.column(name).chunks:
            total += pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0
    if total > RAW_BYTES:
        raise BadThrift(f"words of {total} bytes")


def read_pages(chunk: bytes) -> list[Fields]:
    """The headers of the pages of a column. Raises ``BadThrift``."""
    pages: list[Fields] = []
    at = 0
    while at < len(chunk):
        page, at = read_struct(chunk, at)
        raw, size = page.get(_RAW), page.get(_STORED)
        if not isinstance(raw, int) or not isinstance(size, int) or min(raw, size) < 0:
            raise BadThrift("a page without sizes")
        for part, field in _ENCODING.items():
            held = page.get(part, {})
            encoding = held.get(field) if isinstance(held, dict) else held
            if part in page and (not isinstance(encoding, int) or encoding not in _ENCODINGS):
                raise BadThrift(f"a page in encoding {encoding!r:.40}")
        pages.append(page)
        at += size
    return pages
