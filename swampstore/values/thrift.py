"""Thrift's compact encoding, read into plain values: what Parquet files describe themselves in.

Structs are dicts by field number, lists are lists, texts and blobs are bytes, integers ints; doubles and booleans are
``None``, for nobody here wants them.

Invariants: nothing is allocated for what is not there (a list has no more items than there are bytes); depth is bounded;
whatever the bytes, :class:`BadThrift` is all that is raised.
"""

from __future__ import annotations

from typing import Any

_DEPTH = 12
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 7, 8, 12
_INTEGERS = (4, 5, 6)
_LISTS = (9, 10)
_SHIFT_MAX = 63
_LONG = 15

Fields = dict[int, Any]


class BadThrift(ValueError):
    """The bytes are not what they should be."""


def read_struct(data: bytes, at: int = 0, depth: int = 0) -> tuple[Fields, int]:
    """The struct at ``at``, and where it ends."""
    if depth > _DEPTH:
        raise BadThrift("too deep")
    fields: Fields = {}
    number = 0
    while (head := _byte(data, at)) != 0:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _signed(data, at)
        kind = head & 15
        if kind in (_TRUE, _FALSE):
            fields[number] = None
        else:
            fields[number], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        return _signed(data, at)
    if kind == _BINARY:
        size, at = _varint(data, at)
        if size > len(data) - at:
            raise BadThrift("cut off")
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return read_struct(data, at, depth + 1)
    if kind in _LISTS:
        return _list(data, at, depth + 1)
    if kind == _DOUBLE:
        return None, at + 8
    if kind in (_TRUE, _FALSE, _BYTE):  # as items of a list, booleans take a byte
        return None, at + 1
    raise BadThrift(f"a value of kind {kind}")  # maps among them: Parquet has none


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    if depth > _DEPTH:
        raise BadThrift("too deep")
    head = _byte(data, at)
    count, at = (head >> 4, at + 1) if head >> 4 != _LONG else _varint(data, at + 1)
    if count > len(data) - at:
        raise BadThrift("a list of more items than bytes")
    items = []
    for _ in range(count):
        item, at = _value(data, at, head & 15, depth)
        items.append(item)
    return items, at


def _signed(data: bytes, at: int) -> tuple[int, int]:
    found, at = _varint(data, at)
    return found >> 1 ^ -(found & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        byte = _byte(data, at)
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
        shift += 7
        if shift > _SHIFT_MAX:
            raise BadThrift("a number too long")


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise BadThrift("cut off")
    return data[at]
