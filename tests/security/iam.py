"""An S3 server behind a gate that judges every request by a policy, as IAM does: action, resource, condition.

It also does what S3 does to who may not list: a missing object is 403 for them, not 404.
"""

from __future__ import annotations

import contextlib
import fnmatch
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

ARN = "arn:aws:s3:::"
HOP = {"connection", "transfer-encoding", "keep-alive"}


class Asked(NamedTuple):
    """One thing a request needs: an action on a resource; ``prefix`` is that of a listing, ``None`` without one."""

    action: str
    resource: str
    prefix: str | None = None


def policy(bucket: str, prefix: str, *actions: str, listing: str = "StringLikeIfExists") -> list[dict[str, Any]]:
    """The statements of the documented policy: objects below the prefix, and its listing."""
    condition = {listing: {"s3:prefix": f"{prefix}/*"}} if listing else {}
    return [
        {"Action": ["s3:ListBucket"], "Resource": ARN + bucket, "Condition": condition},
        {"Action": list(actions), "Resource": f"{ARN}{bucket}/{prefix}/*"},
    ]


def allows(statements: list[dict[str, Any]], asked: Asked) -> bool:
    """Whether some statement allows what is asked."""
    return any(
        asked.action in one["Action"]
        and fnmatch.fnmatchcase(asked.resource, one["Resource"])
        and all(_holds(kind, test, asked) for kind, test in one.get("Condition", {}).items())
        for one in statements
    )


def _holds(kind: str, test: dict[str, str], asked: Asked) -> bool:
    if asked.prefix is None:
        return kind.endswith("IfExists")
    return fnmatch.fnmatchcase(asked.prefix, test["s3:prefix"])


def needs(method: str, path: str, body: bytes) -> list[Asked]:
    """What a request in path style needs, from the service's own table of actions."""
    parts = urlsplit(path)
    bucket, _, key = unquote(parts.path.lstrip("/")).partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    where = f"{ARN}{bucket}/{key}"
    if not key and method == "POST" and "delete" in query:
        names = [item.text or "" for item in ElementTree.fromstring(body).iter() if item.tag.endswith("Key")]
        return [Asked("s3:DeleteObject", f"{ARN}{bucket}/{name}") for name in names]
    if not key:
        prefix = query["prefix"][0] if "prefix" in query else None
        return [
            Asked({"GET": "s3:ListBucket", "HEAD": "s3:ListBucket"}.get(method, f"s3:{method}"), ARN + bucket, prefix)
        ]
    if method == "DELETE":
        return [Asked("s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject", where)]
    if method in ("PUT", "POST"):
        return [Asked("s3:PutObject", where)]
    return [Asked("s3:GetObject", where)]


class Gate:
    """The running gate: ``endpoint``, the ``statements`` it enforces, everything ``asked`` and what was ``refused``."""

    def __init__(self, statements: list[dict[str, Any]], bucket: str) -> None:
        self.statements = statements
        self.bucket = bucket
        self.endpoint = ""
        self.asked: list[Asked] = []
        self.refused: list[Asked] = []

    def judge(self, method: str, path: str, body: bytes) -> bool:
        wanted = needs(method, path, body)
        denied = [one for one in wanted if not allows(self.statements, one)]
        self.asked += wanted
        self.refused += denied
        return not denied

    @property
    def shows_absence(self) -> bool:
        """Whether who asks for a missing object is told so."""
        return allows(self.statements, Asked("s3:ListBucket", ARN + self.bucket))

    @property
    def actions(self) -> set[str]:
        return {one.action for one in self.asked}


@contextlib.contextmanager
def gated(server: str, bucket: str, statements: list[dict[str, Any]]) -> Iterator[Gate]:
    """A gate before the S3 server at ``server`` (``http://host:port``)."""
    gate = Gate(statements, bucket)
    place = urlsplit(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not gate.judge(self.command, self.path, body):
                self._answer(403, {}, b"<Error><Code>AccessDenied</Code><Message>by policy</Message></Error>")
                return
            connection = http.client.HTTPConnection(str(place.hostname), place.port or 80, timeout=30)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                got = connection.getresponse()
                data = got.read()
            finally:
                connection.close()
            missing = got.status == 404 and self.command in ("GET", "HEAD") and not gate.shows_absence
            headers = {name: text for name, text in got.getheaders() if name.lower() not in HOP}
            if missing:
                self._answer(403, {"Date": headers.get("Date", "")}, b"<Error><Code>AccessDenied</Code></Error>")
            else:
                self._answer(got.status, headers, data)

        def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response_only(status)
            length = headers.get("Content-Length", str(len(data))) if self.command == "HEAD" else str(len(data))
            for name, text in (headers | {"Content-Length": length}).items():
                self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

        def log_message(self, *args: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    gate.endpoint = f"http://127.0.0.1:{running.server_port}"
    try:
        yield gate
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
