"""What a caller may ask for: everything a reader could not give back is refused before it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.errors import BadConfig, FixTheCall, Misuse, TooLarge
from swampstore.limits import CONTENT_TYPE_BYTES, TAGS, TAGS_BYTES
from swampstore.values.deltas import Delete, Index, Put, check_delta
from swampstore.values.entry import Blob, External, Inline, Meta, Packed, put_record
from swampstore.values.segment import SegmentHeader, decode_segment, encode_records, encode_segment
from swampstore.values.version import just_above, make_version

VERSION = make_version(1, b"w" * 12, 1)
META = Meta(size=1, at=Inline(b"x"))


def put(**fields: Any) -> Put:
    return Put(key="k", data=b"", **fields)


GOOD = [
    put(),
    put(content_type="é" * 128, tags={"a": "", "b": "x" * 100}, expires=1, modified=(1 << 63) - 1, mode=0o644),
    put(base=VERSION),
    put(base=just_above(VERSION)),
    put(tags={str(n): "" for n in range(TAGS)}),
    Delete(key="k"),
    Delete(key="k", base=VERSION),
    Index(key="k", meta=META, expires=5),
    Index(key="k", meta=Meta(size=1 << 40, at=External("old/a"), sha256=b"h" * 32, extra={"a": [1, {"b": None}]})),
]


@pytest.mark.parametrize("delta", GOOD)
def test_what_passes_can_be_read_back(delta: Put | Index | Delete) -> None:
    check_delta(delta)
    if not isinstance(delta, Delete):
        meta = delta.meta if isinstance(delta, Index) else Meta(
            size=0, at=Inline(b""), content_type=delta.content_type, tags=delta.tags,
            modified=delta.modified, mode=delta.mode, base=delta.base,
        )  # fmt: skip
        record = put_record("k", VERSION, meta, expires=delta.expires)
        data = encode_segment(SegmentHeader("s00", 1, b"w", 1), 1, encode_records([record]))
        assert decode_segment(data, "x", "s00", 1).records == (record,)


BAD: dict[str, tuple[Any, type[FixTheCall]]] = {
    "a float time": (put(expires=1.5), Misuse),
    "a time before all times": (put(expires=-1), Misuse),
    "a time as text": (put(expires="2030-01-01"), Misuse),
    "a time that no reader holds": (put(expires=1 << 64), Misuse),
    "a bool": (put(expires=True), Misuse),
    "no time": (put(modified=None), Misuse),
    "a mode as text": (put(mode="0644"), Misuse),
    "a base in hexadecimal": (put(base=VERSION.hex()), Misuse),
    "a short base": (put(base=b"x"), Misuse),
    "a long base": (put(base=VERSION + b"\0"), Misuse),
    "a delete of a short base": (Delete(key="k", base=b"x"), Misuse),
    "a delete of text": (Delete(key="k", base="v"), Misuse),
    "a content type of bytes": (put(content_type=b"text/plain"), BadConfig),
    "a content type with half a character": (put(content_type="\ud800"), BadConfig),
    "a long content type": (put(content_type="x" * (CONTENT_TYPE_BYTES + 1)), TooLarge),
    "tags that are a list": (put(tags=["a"]), BadConfig),
    "a tag without a name": (put(tags={"": "x"}), BadConfig),
    "a tag of a number": (put(tags={"a": 1}), BadConfig),
    "a tag with half a character": (put(tags={"a": "\udcff"}), BadConfig),
    "a tag whose name is a number": (put(tags={1: "a"}), BadConfig),
    "many tags": (put(tags={str(n): "" for n in range(TAGS + 1)}), TooLarge),
    "big tags": (put(tags={"a": "x" * TAGS_BYTES}), TooLarge),
    "an index entry of text size": (Index(key="k", meta=Meta(size="1", at=Inline(b""))), Misuse),  # type: ignore[arg-type]
    "an index entry of negative size": (Index(key="k", meta=Meta(size=-1, at=Inline(b""))), Misuse),
    "an index entry that is nowhere": (Index(key="k", meta=Meta(size=1, at="there")), Misuse),  # type: ignore[arg-type]
    "an index entry of anything": (Index(key="k", meta=Meta(size=1, at=Inline(b""), extra={"a": object()})), Misuse),
    "an index entry with half a character": (
        Index(key="k", meta=Meta(size=1, at=Inline(b""), content_type="\udcff")),
        Misuse,
    ),
    "an index entry with a float time": (Index(key="k", meta=META, expires=0.5), Misuse),  # type: ignore[arg-type]
    "an index entry with a bad base": (Index(key="k", meta=Meta(size=1, at=Inline(b""), base=b"x")), Misuse),
    "something else": ({"key": "k"}, Misuse),
    "nothing": (None, Misuse),
}


@pytest.mark.parametrize(("delta", "error"), BAD.values(), ids=BAD)
def test_what_no_reader_could_decode_is_refused(delta: Any, error: type[FixTheCall]) -> None:
    with pytest.raises(error):
        check_delta(delta)


@pytest.mark.parametrize("at", [Blob("0" * 32), Packed("0" * 32, 0, 1)])
def test_contents_of_another_entry_cannot_be_taken_over(at: Blob | Packed) -> None:
    """They may be garbage already; the sweep would leave a dangling entry behind."""
    with pytest.raises(Misuse, match="takes over the contents"):
        check_delta(Index(key="copy", meta=Meta(size=1, at=at)))
