"""Writes the worked examples of ``docs/reference/format.md``: ``python docs/generate_examples.py``.

The bytes are made by the library's own encoders, from fixed values; a test compares the page with what this makes.
"""

from __future__ import annotations

import re
from pathlib import Path

from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.names import Names, writer_lane
from swampstore.values.root import Root, encode_root
from swampstore.values.segment import SegmentHeader, encode_records, encode_segment
from swampstore.values.version import hlc_of, make_version, make_writer_id

PAGE = Path(__file__).parent / "reference" / "format.md"
TIME_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC
_MARKS = r"(<!-- begin {0} -->\n).*?(<!-- end {0} -->)"


def examples() -> dict[str, str]:
    """Each example's name and its text."""
    writer = make_writer_id(TIME_MS, b"\x01\x02\x03\x04\x05\x06")
    lane = writer_lane(writer)
    version = make_version(hlc_of(TIME_MS + 250), writer, 1)
    meta = Meta(size=2, at=Inline(b"hi"), content_type="text/plain", created=TIME_MS + 250)
    record = put_record("notes/a", version, meta)
    header = SegmentHeader(lane=lane, slot=1, write_id=b"\xaa" * 8, time=TIME_MS + 250)
    segment = encode_segment(header, 1, encode_records([record]))
    root = encode_root(
        Root(version=1, nonce=b"\xbb" * 12, epoch=1, hlc=hlc_of(TIME_MS + 250), watermarks={lane: 1}, inline=(record,))
    )
    names = Names("ops")
    return {
        "segment": _shown(names.segment(lane, 1), segment),
        "root": _shown(names.root, root),
    }


def _shown(name: str, data: bytes) -> str:
    rows = [f"{at:04x}  {_hex(data[at : at + 16])}  {_text(data[at : at + 16])}" for at in range(0, len(data), 16)]
    return "\n".join(["```text", f"{name}, {len(data)} bytes", "", *rows, "```", ""])


def _hex(row: bytes) -> str:
    return f"{row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}"


def _text(row: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)


def filled(text: str) -> str:
    """``text`` of the page with every example made anew."""
    for name, example in examples().items():
        pattern = _MARKS.format(name)
        if not re.search(pattern, text, re.DOTALL):
            raise ValueError(f"the page has no place for the example {name}")
        text = re.sub(pattern, lambda found, example=example: found[1] + example + found[2], text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
    print(f"wrote {PAGE}")  # noqa: T201
