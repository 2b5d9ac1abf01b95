"""The blocking client refuses an answer whose head broke off; the standard library takes its end for the end of the head.

A status line, half an ETag and a closed connection would otherwise be an answer: a write with a wrong ETag, a clock that
is this machine's own, a delete that reports nothing. (The asyncio client's parser refuses it by itself.)

Invariant: an answer is handed up only if its head has ended with an empty line; else the call ends like any other whose
connection broke.
"""

from __future__ import annotations

from functools import cache
from http.client import HTTPResponse, RemoteDisconnected
from typing import Any


class _Lines:
    """The connection while a head is read from it: remembers the last line."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.last: bytes | None = None

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self.inner.readline(limit)
        self.last = line
        return line

    def close(self) -> None:
        self.inner.close()


class WholeHead(HTTPResponse):
    """An answer that is none before its head is whole. Raises ``RemoteDisconnected`` (a ``ConnectionError``)."""

    def begin(self) -> None:
        """Read the head."""
        watched = _Lines(self.fp)
        self.fp: Any = watched
        try:
            super().begin()
        finally:
            if self.fp is watched:
                self.fp = watched.inner
        if watched.last not in (None, b"\r\n", b"\n"):
            self.close()
            raise RemoteDisconnected("the answer broke off within its head")


def refuse_broken_heads(client: Any) -> None:
    """Let a botocore client read its answers with :class:`WholeHead`."""
    client._endpoint.http_session._pool_classes_by_scheme.update(_pools())  # there is no public switch


@cache
def _pools() -> dict[str, type[Any]]:
    from botocore import awsrequest

    def pool(kind: Any, line: Any) -> type[Any]:
        watched = type(line.__name__, (line,), {"response_class": WholeHead})
        return type(kind.__name__, (kind,), {"ConnectionCls": watched})

    return {
        "http": pool(awsrequest.AWSHTTPConnectionPool, awsrequest.AWSHTTPConnection),
        "https": pool(awsrequest.AWSHTTPSConnectionPool, awsrequest.AWSHTTPSConnection),
    }
