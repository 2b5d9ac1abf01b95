"""moto's S3 server with one lock around every request, as a program: prints ``ready PORT BARE``, ends when stdin closes.

moto looks whether a condition holds and then writes, without a lock between: in a race it lets several writers win.
One request at a time makes it a store that keeps its promises. ``BARE`` is a port of the same server without the lock, to
show that a test of races would notice.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections import Counter
from typing import Any

from moto.s3.models import S3Backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ALONE_S = 20.0
"""How long a put waits for another one to look at what it has looked at."""


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


class Together:
    """A WSGI application without a lock, on which two that put one object both look before either writes.

    So it may come about on any busy machine; here it does each time, provided that the second one comes at all. From the
    write on one goes after the other: an object that is replaced meanwhile is more than moto bears.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._looked: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._here = threading.local()
        self._write = S3Backend.put_object
        S3Backend.put_object = self._when_two_have_looked  # type: ignore[method-assign]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self._here.path = environ["PATH_INFO"]
        self._here.held = contextlib.ExitStack()
        try:
            with self._here.held:
                return list(self._app(environ, start_response))
        finally:
            self._here.path = ""

    @property
    def _when_two_have_looked(self) -> Any:
        def put_object(backend: S3Backend, *arguments: Any, **options: Any) -> Any:
            if path := getattr(self._here, "path", ""):  # it came without the lock
                with self._changed:
                    self._looked[path] += 1
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._looked[path] > 1, timeout=ALONE_S)
                self._here.held.enter_context(self._writing)
            return self._write(backend, *arguments, **options)

        return put_object


class Quiet(WSGIRequestHandler):
    """Keeps connections open, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        pass


def main() -> None:
    moto = DomainDispatcherApplication(create_backend_app)
    apps = (OneAtATime(moto), Together(moto))
    servers = [make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet) for app in apps]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", *(server.server_port for server in servers), flush=True)
    sys.stdin.read()  # ends with the process that started this one, however that ends
    os._exit(0)


if __name__ == "__main__":
    main()
