"""The web server of the page: on the loopback address alone, read-only, for who knows the key in its address.

Invariants:
- Only GET and HEAD, only with the key (compared in constant time) and only under a loopback name: another user of the
  machine does not know the key, and a page of the web cannot borrow the browser (its Host is another one).
- The answer's policy lets nothing be loaded from anywhere: style and script of the page itself, by a nonce, and no more.
- Looking happens in one thread at the watcher's pace, however many browsers are open.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from swampstore_cli.watch.page import middle, page
from swampstore_cli.watch.sample import Watched

LOOPBACK = "127.0.0.1"
_KEY_BYTES = 16


class PageServer(ThreadingHTTPServer):
    """Serves the page of ``watched`` at ``address``. ``port`` 0 takes a free one. Raises ``OSError`` for one in use."""

    daemon_threads = True

    def __init__(self, watched: Sequence[Watched], url: str, interval_s: float, port: int) -> None:
        self.key = secrets.token_urlsafe(_KEY_BYTES)
        self.watched = watched
        self.url = url
        self.interval_s = interval_s
        super().__init__((LOOPBACK, port), _Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/?key={self.key}"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version = "swamp"
    sys_version = ""
    timeout = 10.0

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        server, asked = self.server, urlsplit(self.path)
        given = parse_qs(asked.query).get("key", [""])[0]
        nonce = secrets.token_urlsafe(_KEY_BYTES)
        if self.headers.get("Host") not in server.hosts:
            status, text = HTTPStatus.MISDIRECTED_REQUEST, "this page is only served on this machine"
        elif not hmac.compare_digest(given.encode(), server.key.encode()):
            status, text = HTTPStatus.FORBIDDEN, "open the address that the command printed: it ends with a key"
        elif asked.path == "/":
            status, text = HTTPStatus.OK, page(server.watched, server.url, server.interval_s, nonce)
        elif asked.path == "/middle":
            status, text = HTTPStatus.OK, middle(server.watched)
        else:
            status, text = HTTPStatus.NOT_FOUND, "there is only one page"
        body = text.encode(errors="backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", f"text/{'html' if status == HTTPStatus.OK else 'plain'}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header(
            "Content-Security-Policy",
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the address holds the key."""
