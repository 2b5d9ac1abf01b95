"""Signature version 4 for requests to S3, and the head of an HTTP/1.1 request that carries it.

Invariants:
- Every header that is sent, but for the program's name and the length, is covered by the signature; so is the SHA-256
  of the body, over TLS and without it.
- The key of a day is derived once; nothing of a secret is kept longer than the credentials it came from.

Source: AWS documentation, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple

from swampstore.errors import Misuse
from swampstore.version import __version__

_AGENT = f"user-agent: swampstore/{__version__}\r\n"
_EMPTY_HASH = hashlib.sha256(b"").hexdigest()


class Keys(NamedTuple):
    """Credentials as they are at one moment."""

    access_key: str
    secret_key: str
    token: str | None


class Signer:
    """Heads of requests to one host in one region. Safe to share between threads."""

    def __init__(self, host: str, region: str) -> None:
        self._host = host
        self._region = region
        self._day: tuple[Keys, str, bytes, str] | None = None
        self._second: tuple[int, str] = (0, "")

    def head(self, keys: Keys, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """Everything of a request up to its body.

        ``path`` and ``query`` are as they are sent, the query sorted by name; ``headers`` have lower-case names.
        """
        stamp = self._stamp()
        digest = hashlib.sha256(body).hexdigest() if body else _EMPTY_HASH
        sent = {**headers, "host": self._host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
        if keys.token:
            sent["x-amz-security-token"] = keys.token
        names = sorted(sent)
        lines = "".join([f"{name}:{sent[name]}\n" for name in names])
        if "\r" in lines or lines.count("\n") != len(names):
            raise Misuse("an option of the store holds a line break", hint="check sse, kms_key and storage_class")
        signed = ";".join(names)
        key, scope = self._key(keys, stamp[:8])
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{signed}\n{digest}"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        told = f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        length = f"content-length: {len(body)}\r\n" if body or method in ("PUT", "POST") else ""
        target = f"{path}?{query}" if query else path
        shown = lines.replace("\n", "\r\n")
        return f"{method} {target} HTTP/1.1\r\n{shown}{_AGENT}{length}authorization: {told}\r\n\r\n".encode()

    def _stamp(self) -> str:
        second = int(time.time())
        if second != self._second[0]:
            self._second = (second, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second)))
        return self._second[1]

    def _key(self, keys: Keys, day: str) -> tuple[bytes, str]:
        held = self._day
        if held is None or held[1] != day or held[0] != keys:
            key = f"AWS4{keys.secret_key}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            held = self._day = (keys, day, key, f"{day}/{self._region}/s3/aws4_request")
        return held[2], held[3]
