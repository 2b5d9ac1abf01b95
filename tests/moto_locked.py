"""moto's S3 server with one lock around every request, as a program: prints ``ready PORT BARE``, ends when stdin closes.

moto looks whether a condition holds and then writes, without a lock between: in a race it lets several writers win.
One request at a time makes it a store that keeps its promises. ``BARE`` is a port of the same server without the lock, to
show that a test of races would notice.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class OneAtATime:
    """A WSGI application that carries out one request at a time."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)  # before the lock, so that a slow sender does not hold up the others
        if len(body) < length:  # the sender has gone away; moto would keep what there is
            start_response("400 Bad Request", [("Content-Length", "0")])
            return []
        environ["wsgi.input"] = io.BytesIO(body)
        with self._lock:
            return list(self._app(environ, start_response))


class Eager:
    """A WSGI application without a lock, whose threads take turns often while it is asked: as on many processors."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._under_way = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self._count(1)
        try:
            return list(self._app(environ, start_response))
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._under_way += change
            sys.setswitchinterval(1e-5 if self._under_way else 5e-3)


class Quiet(WSGIRequestHandler):
    """Keeps connections open, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        pass


def main() -> None:
    moto = DomainDispatcherApplication(create_backend_app)
    apps = (OneAtATime(moto), Eager(moto))
    servers = [make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet) for app in apps]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", *(server.server_port for server in servers), flush=True)
    sys.stdin.read()  # ends with the process that started this one, however that ends
    os._exit(0)


if __name__ == "__main__":
    main()
