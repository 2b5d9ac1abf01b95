"""Mutations of valid bytes: of the raw bytes, of the structure inside them, of the sizes they claim.

Invariant: what a mutator makes depends on its bytes and its dice alone, so a failing input is made again from its seed.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from swampstore.values.frame import HEADER, HEADER_BYTES, MAGIC, compress, decompress

RAW_MAX = 1 << 20
"""Mutated bodies are at most that long, decoded."""
EDGES = [0, 1, 2, 127, 128, 255, 256, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1]
WORDS = [
    "",
    ".",
    "..",
    "/",
    "a/../b",
    "/etc/passwd",
    "\0",
    "\0data\0",
    "\0conflict\0",
    "\0s\0",
    "\U0010ffff",
    "é" * 600,
]
WORDS += ["data/", "raw", "infinite", "30d", "99999999999999999999", "-1", "1e999", "x" * 2000, "sha256:", "\n", "%00"]
LIES = [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc1"]
LIES += [b"\xdd\x00\x0f\xff\xff", b"\xd7\xff" + b"\xff" * 8, b"\xcb\x7f\xf0" + bytes(6), b"\xcb\x7f\xf8" + bytes(6)]
DEEP = [b"\x91" * 3000 + b"\xc0", b"\x81\xa1a" * 3000 + b"\xc0"]

Mutator = Callable[[bytes, random.Random], bytes]


def raw_bytes(data: bytes, dice: random.Random) -> bytes:
    """Some flips, cuts, insertions, doublings and overwritten numbers."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
        at = dice.randrange(len(out) + 1)
        match dice.randrange(8):
            case 0 if out:
                out[at % len(out)] ^= 1 << dice.randrange(8)
            case 1 if out:
                out[at % len(out)] = dice.randrange(256)
            case 2:
                del out[at : at + dice.choice((1, 2, 8, 100))]
            case 3:
                out[at:at] = dice.randbytes(dice.choice((1, 2, 8)))
            case 4:
                out[at:at] = out[at : at + dice.choice((1, 8, 64))]
            case 5:
                out[at : at + 4] = struct.pack(">I", dice.choice(EDGES) & 0xFFFFFFFF)
            case 6:
                out[at:at] = dice.choice(LIES)
            case _:
                out[at : at + 1] = dice.choice(LIES)[:5]
    return bytes(out[:RAW_MAX])


def text(data: bytes, dice: random.Random) -> bytes:
    """Like :func:`raw_bytes`, with words and brackets put in."""
    if dice.random() < 0.4:
        return raw_bytes(data, dice)
    out = data.decode("utf-8", "replace")
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.randrange(len(out) + 1)
        put = dice.choice(
            [*WORDS, *"{}[]:,\"&*!|>-#'\n", "&a [*a]", "!!python/object:os.system x", '"\\ud800"', "[" * 2000]
        )
        out = out[:at] + put + out[at + dice.choice((0, 1, 10)) :]
    return out.encode("utf-8", "replace")[:RAW_MAX]


def packed(data: bytes, dice: random.Random) -> bytes:
    """msgpack with one or some of its values exchanged, left out or doubled; sometimes only its bytes changed."""
    if dice.random() < 0.3:
        return raw_bytes(data, dice)
    try:
        tree = msgspec.msgpack.decode(data, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
        return raw_bytes(data, dice)
    for _ in range(dice.choice((1, 1, 2, 3))):
        tree = _changed(tree, dice)
    try:
        return msgspec.msgpack.encode(tree)[:RAW_MAX]
    except (OverflowError, ValueError, UnicodeEncodeError, RecursionError):
        return raw_bytes(data, dice)


def _changed(tree: Any, dice: random.Random) -> Any:
    """``tree`` with one value somewhere in it changed."""
    if isinstance(tree, list) and tree and dice.random() < 0.93:
        at = dice.randrange(len(tree))
        match dice.randrange(12):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return [*tree, tree[at]]
            case 2:
                return tree[::-1]
        return [*tree[:at], _changed(tree[at], dice), *tree[at + 1 :]]
    if isinstance(tree, dict) and tree and dice.random() < 0.93:
        name = dice.choice(list(tree))
        match dice.randrange(12):
            case 0:
                return {key: value for key, value in tree.items() if key != name}
            case 1:
                return tree | {_word(dice): tree[name]}
        return tree | {name: _changed(tree[name], dice)}
    if isinstance(tree, bytes) and tree and dice.random() < 0.8:
        # Values of records and summaries are msgpack inside msgpack.
        return packed(tree, dice) if len(tree) > 8 and tree[0] >= 0x80 else raw_bytes(tree, dice)
    return _value(tree, dice)


def _value(old: Any, dice: random.Random) -> Any:
    if isinstance(old, int) and not isinstance(old, bool) and dice.random() < 0.7:
        return dice.choice([*EDGES, -1, -(1 << 63), old + 1, old - 1])
    if isinstance(old, str) and dice.random() < 0.7:
        return dice.choice([_word(dice), old + "\0", old[:-1], "../" + old, old.upper(), old + "/x"])
    odd = [None, True, 0, -1, 1.5, float("nan"), float("inf"), "", _word(dice), b"", dice.randbytes(9), b"\xff" * 24]
    odd += [
        [],
        {},
        [[[]]],
        {"a": {}},
        msgspec.Raw(dice.choice(LIES)),
        msgspec.Raw(dice.choice(DEEP)),
        dice.choice(EDGES),
    ]
    return dice.choice(odd)


def _word(dice: random.Random) -> str:
    return dice.choice(WORDS)


def reframed(inner: Mutator = packed) -> Mutator:
    """Mutates what is inside a frame and puts a right frame round it again: checksum and lengths fit."""

    def mutate(data: bytes, dice: random.Random) -> bytes:
        if dice.random() < 0.1:
            return raw_bytes(data, dice)
        kind, form, raw = unframe(data)
        if dice.random() < 0.02:
            form = dice.choice((0, 2, 255))
        return frame(kind, form, inner(raw, dice), dice)

    return mutate


def unframe(data: bytes) -> tuple[int, int, bytes]:
    """``(kind, format, decoded body)`` of a good frame."""
    _, kind, form, flags, _, raw_size, _, _ = HEADER.unpack_from(data)
    body = data[HEADER_BYTES:]
    return kind, form, decompress(body, raw_size, "seed") if flags & 1 else body


def frame(kind: int, form: int, raw: bytes, dice: random.Random | None = None) -> bytes:
    """A frame with a right checksum round ``raw``; with ``dice`` sometimes with lengths that lie."""
    flags, body, raw_size = 0, raw, len(raw)
    if len(raw) >= 512 or (dice and dice.random() < 0.1):
        flags, body = 1, compress(raw)
    size = len(body)
    if dice and dice.random() < 0.05:
        raw_size = dice.choice(EDGES) & 0xFFFFFFFF
    if dice and dice.random() < 0.02:
        flags = dice.randrange(256)
    start = HEADER.pack(MAGIC, kind, form, flags, 0, raw_size, size, 0)[:16]
    return start + zlib.crc32(body, zlib.crc32(start)).to_bytes(4) + body


def segment_body(raw: bytes, dice: random.Random) -> bytes:
    """The two msgpack parts of a segment, each mutated by itself; sometimes the length between them."""
    split = 4 + int.from_bytes(raw[:4])
    head, records = raw[4:split], raw[split:]
    if dice.random() < 0.3:
        head = packed(head, dice)
    if dice.random() < 0.8:
        records = packed(records, dice)
    size = len(head) if dice.random() < 0.97 else dice.choice(EDGES) & 0xFFFFFFFF
    return size.to_bytes(4) + head + records
