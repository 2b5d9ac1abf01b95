"""A little HTTP server that answers as a test tells it, and a careless S3 that takes no notice of conditions."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """A request as it came in; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """``cut`` closes the connection after that many bytes of the body; ``cut=-1`` before any answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 (never changed)
    cut: int | None = None


def refusal(status: int, code: str, message: str = "no") -> Reply:
    """An error as S3 words it."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, text.encode(), {"Content-Type": "application/xml"})


class Stub:
    """A running server: ``endpoint``, the ``answer`` it gives, and everything it was ``asked``."""

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.endpoint = ""


@contextlib.contextmanager
def stub_server(answer: Callable[[Asked], Reply], *, tls: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """A server on a free port of 127.0.0.1, in threads of this process; with ``tls`` it speaks https."""
    stub = Stub(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.command, self.path, {name.lower(): text for name, text in self.headers.items()}, body)
            stub.asked.append(asked)
            reply = stub.answer(asked)
            if reply.cut is not None:
                self.close_connection = True
            if reply.cut == -1:
                return
            self.send_response_only(reply.status)
            always = {"Content-Length": str(len(reply.body)), "Date": formatdate(usegmt=True)}
            for name, text in (always | reply.headers).items():
                self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: reply.cut])

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    stub.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class CarelessS3:
    """Puts, gets and deletes objects. Checks ``If-None-Match`` or ``If-Match`` only if told to."""

    def __init__(self, *, creates: bool, replaces: bool) -> None:
        self.objects: dict[str, bytes] = {}
        self._creates = creates
        self._replaces = replaces

    def __call__(self, asked: Asked) -> Reply:
        name = asked.path.partition("?")[0]
        if asked.method == "PUT":
            return self._put(name, asked)
        if asked.method == "POST":
            for key in [key for key in self.objects if key.rpartition("/")[2].encode() in asked.body]:
                del self.objects[key]
            return Reply(200, b"<DeleteResult/>", {"Content-Type": "application/xml"})
        if name not in self.objects:
            return refusal(404, "NoSuchKey")
        return Reply(200, self.objects[name], self._headers(name))

    def _put(self, name: str, asked: Asked) -> Reply:
        expected = asked.headers.get("if-match")
        if self._creates and "if-none-match" in asked.headers and name in self.objects:
            return refusal(412, "PreconditionFailed")
        if self._replaces and expected is not None and expected != self._etag(name):
            return refusal(412, "PreconditionFailed")
        self.objects[name] = asked.body
        return Reply(200, b"", self._headers(name))

    def _etag(self, name: str) -> str:
        return hashlib.md5(self.objects[name], usedforsecurity=False).hexdigest()

    def _headers(self, name: str) -> dict[str, str]:
        return {"ETag": f'"{self._etag(name)}"', "Last-Modified": formatdate(usegmt=True)}
