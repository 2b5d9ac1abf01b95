"""Fetching many small contents: members of one pack that lie close together travel in one ranged read.

Invariants: every content is checked against its entry; the error of one is the answer for that one alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from swampstore.errors import CorruptObject, NotFound, SwampError
from swampstore.limits import KIB, MIB
from swampstore.protocols.contents import read_many
from swampstore.protocols.place import Place
from swampstore.stores.base import Get, Got
from swampstore.values.entry import Entry, Packed

_GAP_BYTES = 64 * KIB
_SPAN_BYTES = 8 * MIB

_Member = tuple[int, Packed]


async def fetch_small(place: Place, entries: Sequence[Entry]) -> list[bytes | SwampError]:
    """The contents of ``entries`` (none of them large) or the error of each, in order."""
    results: dict[int, bytes | SwampError] = {}
    packed: list[_Member] = []
    others: list[int] = []
    for number, entry in enumerate(entries):
        at = entry.meta.at
        if isinstance(at, Packed):
            packed.append((number, at))
        else:
            others.append(number)
    results.update(zip(others, await read_many(place, [entries[number] for number in others]), strict=True))
    spans = _spans(packed)
    requests = [Get(place.names.unique("pack", span[0][1].unique), span=_extent(span)) for span in spans]
    answers = await place.store.many(requests)
    for span, request, answer in zip(spans, requests, answers, strict=True):
        start = span[0][1].offset
        for number, at in span:
            if isinstance(answer, Got):
                body = answer.body[at.offset - start : at.offset - start + at.length]
                results[number] = _checked(entries[number], body, request.name)
            elif isinstance(answer, NotFound):
                results[number] = CorruptObject(
                    f"{request.name}, which holds {entries[number].key!r}, is gone", name=request.name
                )
            else:
                assert isinstance(answer, SwampError)
                results[number] = answer
    return [results[number] for number in range(len(entries))]


def _spans(members: Sequence[_Member]) -> list[list[_Member]]:
    """Group members of one pack that lie close together."""
    spans: list[list[_Member]] = []
    end = 0
    for member in sorted(members, key=lambda member: (member[1].unique, member[1].offset)):
        at = member[1]
        first = spans[-1][0][1] if spans else None
        near = first is not None and first.unique == at.unique and at.offset - end <= _GAP_BYTES
        if near and first is not None and at.offset + at.length - first.offset <= _SPAN_BYTES:
            spans[-1].append(member)
            end = max(end, at.offset + at.length)
        else:
            spans.append([member])
            end = at.offset + at.length
    return spans


def _extent(span: Sequence[_Member]) -> tuple[int, int]:
    start = span[0][1].offset
    return start, max(at.offset + at.length for _, at in span) - start


def _checked(entry: Entry, body: bytes, name: str) -> bytes | SwampError:
    meta = entry.meta
    if len(body) != meta.size or (meta.sha256 is not None and hashlib.sha256(body).digest() != meta.sha256):
        return CorruptObject(f"{name}: the contents of {entry.key!r} are not what was written", name=name)
    return body
