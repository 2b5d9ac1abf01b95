"""HTTP/1.1 answers, byte by byte as they come; who brings the bytes, a socket or an event loop, is not known here.

Invariants:
- An answer is complete or it is an error: a body that breaks off is never taken for a short one.
- Heads, and bodies with a limit, are bounded whatever lengths the server declares.
- A connection is used again only after an answer that said exactly where it ends, with nothing behind it.

Source: RFC 9112, sections 4 (status line), 6.3 (length of a body), 7.1 (chunks), 9.3 (persistence).
"""

from __future__ import annotations

from typing import NamedTuple

HEAD_BYTES = 64 << 10
REFUSAL_BYTES = 1 << 20
_CHUNK_LINE_BYTES = 1 << 10
_LENGTH_DIGITS = 18
_HEX = b"0123456789abcdefABCDEF"


class BadAnswer(ConnectionError):
    """What came is no answer of HTTP, or not all of one."""


class Told(NamedTuple):
    """An answer: its status, its headers (names in lower case) and its body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Answer:
    """One answer being received. ``limit`` bounds its body, in bytes (``None``: whatever the server sends).

    ``told`` is set once it is complete; ``reusable`` then says whether the connection may carry another request.
    """

    __slots__ = (
        "_body", "_chunk", "_head_only", "_left", "_limit", "_rest", "_size", "_status",
        "begun", "headers", "reusable", "told",
    )  # fmt: skip

    def __init__(self, method: str, limit: int | None) -> None:
        self._head_only = method == "HEAD"
        self._limit = limit
        self._rest = b""
        self._status = 0
        self._body: list[bytes] = []
        self._size = 0
        self._left: int | None = None
        self._chunk: _Chunks | None = None
        self.headers: dict[str, str] = {}
        self.reusable = False
        self.begun = False
        self.told: Told | None = None

    def feed(self, data: bytes) -> bool:
        """Take in what has come; whether the answer is complete. Raises ``BadAnswer``."""
        self.begun = True
        while not self._status:
            self._rest = data = self._rest + data if self._rest else data
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > HEAD_BYTES:
                if len(data) > HEAD_BYTES:
                    raise BadAnswer("an answer whose head does not end")
                return False
            self._read_head(data[:end])
            data, self._rest = data[end + 4 :], b""
        return self._take(data)

    def end(self) -> bool:
        """The connection has ended; whether that completes the answer. Raises ``BadAnswer`` if it cuts it off."""
        if self._status and self._left is None and self._chunk is None and self.told is None:
            return self._complete(reusable=False)
        raise BadAnswer("the connection ended in the middle of an answer" if self.begun else "the connection ended")

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        code = rest[:3]
        if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit()):
            raise BadAnswer(f"an answer that is not HTTP: {first[:60]!r}")
        status = int(code)
        if status == 101:
            raise BadAnswer("an answer that changes the protocol")
        if 100 <= status < 200:
            return  # an interim answer: the real one follows
        headers = self.headers
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise BadAnswer(f"a header that is none: {line[:60]!r}")
            name, value = name.lower(), value.strip()
            if name == "content-length":
                _check_length(value, headers.get(name, value))
            headers[name] = value
        keeps = headers.get("connection", "").lower()
        self.reusable = keeps != "close" if version == "HTTP/1.1" else keeps == "keep-alive"
        self._status = status
        if status >= 300:
            self._limit = REFUSAL_BYTES if self._limit is None else min(self._limit, REFUSAL_BYTES)
        self._measure(headers)

    def _measure(self, headers: dict[str, str]) -> None:
        """Learn how the body ends: with its length, with its last chunk, or (neither told) with the connection."""
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if self._head_only or self._status in (204, 304):
            self._left = 0
        elif coding is not None:
            if coding.lower() != "chunked":
                raise BadAnswer(f"an answer coded as {coding[:40]!r}")
            self._chunk = _Chunks()
            self.reusable &= length is None
        elif length is not None:
            self._left = int(length)
            self._bound(self._left)

    def _take(self, data: bytes) -> bool:
        if self._chunk is not None:
            pieces, done = self._chunk.feed(data)
            for piece in pieces:
                self._keep(piece)
            if done:
                self.reusable &= not self._chunk.rest
                return self._complete(self.reusable)
            return False
        if self._left is None:
            self._keep(data)
            return False
        if len(data) > self._left:  # bytes behind the answer: nobody asked for them
            data, self.reusable = data[: self._left], False
        self._left -= len(data)
        self._keep(data)
        return self._complete(self.reusable) if self._left == 0 else False

    def _keep(self, data: bytes) -> None:
        if data:
            self._size += len(data)
            self._bound(self._size)
            self._body.append(data)

    def _bound(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise BadAnswer(f"an answer of {size} bytes, limit {self._limit}")

    def _complete(self, reusable: bool) -> bool:
        self.reusable = reusable
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self.told = Told(self._status, self.headers, body)
        return True


class _Chunks:
    """A chunked body; ``rest`` is what has come and is not yet understood."""

    __slots__ = ("_left", "_trailing", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self._left = -1  # of the chunk begun, with its line end; -1: its size comes next
        self._trailing = False

    def feed(self, data: bytes) -> tuple[list[bytes], bool]:
        """The pieces of body in ``data``, and whether the body has ended."""
        pieces: list[bytes] = []
        data = self.rest + data if self.rest else data
        at = 0
        while True:
            if self._left > 0:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                # The last two bytes of a chunk are its line end, in this piece or in part already passed.
                pieces.append(piece[: max(len(piece) - max(2 - self._left, 0), 0)])
                if self._left:
                    break
                self._left = -1
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > _CHUNK_LINE_BYTES:
                    raise BadAnswer("a chunk whose size does not end")
                break
            line = data[at:end]
            at = end + 2
            if self._trailing:
                if not line:
                    self.rest = data[at:]
                    return pieces, True
                continue
            self._left = _chunk_size(line) + 2
            if self._left == 2:
                self._trailing, self._left = True, -1
        self.rest = data[at:]
        return pieces, False


def _check_length(value: str, before: str) -> None:
    if value != before:
        raise BadAnswer("an answer of two lengths")
    if not (value.isascii() and value.isdigit() and len(value) <= _LENGTH_DIGITS):
        raise BadAnswer(f"an answer whose length is {value[:40]!r}")


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if 0 < len(digits) <= 12 and not digits.strip(_HEX):  # int() would also take signs, underscores and 0x
        return int(digits, 16)
    raise BadAnswer(f"a chunk of size {line[:40]!r}")
