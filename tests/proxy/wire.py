"""HTTP/1.1 messages read whole and kept as the bytes they came in, so that signatures stay good."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

LINE_BYTES = 1 << 16
BODY_BYTES = 256 << 20


class NotHTTP(Exception):
    """What came is no message that this proxy can hand on."""


class Message(NamedTuple):
    """A request or an answer. ``head`` ends with the empty line; ``body`` is with its framing, if it is chunked."""

    first: str
    headers: dict[str, str]
    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        return self.first.split(" ")[0]

    @property
    def target(self) -> str:
        return self.first.split(" ")[1]

    @property
    def status(self) -> int:
        return int(self.first.split(" ")[1])

    @property
    def closes(self) -> bool:
        """Whether no other message may follow on this connection."""
        told = self.headers.get("connection", "").lower()
        return told == "close" or ("HTTP/1.0" in self.first and told != "keep-alive")

    @property
    def raw(self) -> bytes:
        return self.head + self.body


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Message | None:
    """The next request of a client; ``None`` at the end. A client that waits for ``100 Continue`` is told to go on."""
    found = await _head(reader)
    if found is None:
        return None
    first, headers, head = found
    if headers.pop("expect", ""):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = b"".join(line for line in head.splitlines(keepends=True) if not line.lower().startswith(b"expect:"))
    return Message(first, headers, head, await _body(reader, headers, until_end=False))


async def read_answer(reader: asyncio.StreamReader, method: str) -> Message:
    """The answer to a request with ``method``. Raises ``ConnectionError`` if there is none."""
    while True:
        found = await _head(reader)
        if found is None:
            raise ConnectionResetError("the server closed the connection")
        first, headers, head = found
        status = int(first.split(" ")[1])
        if status >= 200:
            break
    if method == "HEAD" or status in (204, 304):
        return Message(first, headers, head, b"")
    until_end = "content-length" not in headers and headers.get("transfer-encoding", "").lower() != "chunked"
    if until_end:
        headers["connection"] = "close"
    return Message(first, headers, head, await _body(reader, headers, until_end=until_end))


async def _head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionResetError("the connection ended within a head") from error
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    if len(first.split(" ")) < 2:
        raise NotHTTP(first)
    headers = {name.strip().lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
    return first, headers, head


async def _body(reader: asyncio.StreamReader, headers: dict[str, str], *, until_end: bool) -> bytes:
    if until_end:
        return await reader.read(BODY_BYTES)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    length = int(headers.get("content-length") or 0)
    if length > BODY_BYTES:
        raise NotHTTP(f"a body of {length} bytes")
    return await reader.readexactly(length)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        parts += [line, await reader.readexactly(size) if size else b""]
        parts.append(await reader.readuntil(b"\r\n"))
        if not size:
            while parts[-1] != b"\r\n":  # trailers
                parts.append(await reader.readuntil(b"\r\n"))
            return b"".join(parts)


CODES = {409: "ConditionalRequestConflict", 429: "TooManyRequests", 500: "InternalError", 503: "SlowDown"}


def refusal(status: int, method: str) -> bytes:
    """An error as S3 words it; the gateways between (502, 504) word theirs as a page."""
    phrase = HTTPStatus(status).phrase
    if status in CODES:
        body = f"<?xml version='1.0'?><Error><Code>{CODES[status]}</Code><Message>made by a test</Message></Error>"
    else:
        body = f"<html><body>{status} {phrase}</body></html>"
    kind = "application/xml" if status in CODES else "text/html"
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n\r\n"
    )
    return (head + ("" if method == "HEAD" else body)).encode()
