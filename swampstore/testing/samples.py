"""What the conformance tests put into a store: names of every kind, spans, and bodies too large for memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

BIG_BYTES = (16 << 20) + 12_345
NAMES = (
    "a", "a b", "a+b", "a%2Fb", "a&b=c?d#e", "ünïcode/größe", "日本語/ファイル", "emoji/🐊", "a'\"<>|*", "dot.dot/..x",
    "~tilde/$dollar", "x" * 200 + "/" + "y" * 200,
)  # fmt: skip
UNSORTED = ("a0", "a/b", "a-b", "a/b/c", "a/b-", "a/b0", "é", "z", "a", "\uffff", "🐊", "Z", "a/B")
BAD_NAMES = ("", "/a", "a/", "a//b", "../a", "a/../b", "a/.", ".", "a\0b", "x" * 1025, "a/\ud800")
SPANS = (
    ((0, 4), b"0123"), ((3, 4), b"3456"), ((6, 4), b"6789"), ((8, 9), b"89"), ((9, 1), b"9"), ((0, 10), b"0123456789"),
    ((0, 99), b"0123456789"), ((10, 1), b""), ((11, 5), b""), ((3, 0), b""), ((0, 0), b""),
)  # fmt: skip


class Blocks:
    """A streamed body of ``size`` bytes that are never all in memory. ``yields`` lies about how many there are."""

    def __init__(self, size: int, yields: int | None = None) -> None:
        self.size = size
        self._yields = size if yields is None else yields

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """See :class:`swampstore.stores.base.Source`."""
        block = bytes(range(256)) * (chunk_bytes // 256 + 1)
        for at in range(0, self._yields, chunk_bytes):
            yield block[: min(chunk_bytes, self._yields - at)]

    def digest(self, chunk_bytes: int) -> str:
        """SHA-256 of the contents as read in such chunks."""
        total = hashlib.sha256()
        for chunk in self.chunks(chunk_bytes):
            total.update(chunk)
        return total.hexdigest()
