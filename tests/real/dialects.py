"""A little S3 in this process that speaks a dialect: what servers were seen to do differently, each thing by itself.

Objects are kept in memory, one request at a time; only the words differ. Use it with
:func:`tests.stores.stub_s3.stub_server`.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape, unescape

from tests.stores.stub_s3 import Asked, Reply, refusal

XML = {"Content-Type": "application/xml"}


class Dialect(NamedTuple):
    """How a server differs.

    ``quotes``: it matches an ETag in quotes, or without. ``missing``: its answer to ``If-Match`` where nothing is.
    ``loser``: its answer to a condition that does not hold. ``tight``: what it says instead to every other conditional
    write, without effect, as if many were under way. ``date``: seconds its clock is off; ``None`` for no header at all.
    ``completed``: an upload in parts is answered with its ETag. ``careless``: conditions are not looked at.
    """

    quotes: bool = True
    bare: bool = True
    missing: int = 404
    loser: int = 412
    tight: int = 0
    date: float | None = 0.0
    completed: bool = True
    careless: bool = False


DIALECTS = {
    "by the book": Dialect(),
    "ceph 16": Dialect(quotes=False, missing=412, tight=500, completed=False),
    "409 in a tight race": Dialect(tight=409),
    "409 for 412": Dialect(loser=409),
    "503 in a tight race": Dialect(tight=503),
    "no clock": Dialect(date=None),
    "clock ahead": Dialect(date=200.0),
    "clock behind": Dialect(date=-200.0),
}


class Speaking:
    """An S3 that answers in ``dialect``. ``objects`` by path: contents and the time of the write (ms)."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.parts: dict[int, bytes] = {}
        self._tries: Counter[str] = Counter()

    def __call__(self, asked: Asked) -> Reply:
        path, _, query = asked.path.partition("?")
        asked_for = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        reply = self._answer(asked, unquote(path), asked_for)
        date = self.dialect.date
        return reply._replace(headers={**reply.headers, "Date": "" if date is None else self._date(self._now())})

    def _answer(self, asked: Asked, path: str, query: dict[str, str]) -> Reply:
        if "list-type" in query:
            return self._list(path.rstrip("/"), query)
        if asked.method == "POST":
            return self._post(asked, path, query)
        if "partNumber" in query:
            self.parts[int(query["partNumber"])] = asked.body
            return Reply(200, b"", {"ETag": '"part"'})
        if asked.method == "PUT":
            return self._put(asked, path)
        if path.count("/") == 1:
            return Reply(200)
        if path not in self.objects:
            return refusal(404, "NoSuchKey")
        body, modified = self.objects[path]
        headers = {"ETag": f'"{etag(body)}"', "Last-Modified": self._date(modified)}
        if self._matches(asked.headers.get("if-none-match"), etag(body)):
            return Reply(304, b"", headers)
        return self._part(asked, body, headers)

    def _part(self, asked: Asked, body: bytes, headers: dict[str, str]) -> Reply:
        told = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("range", ""))
        if told is None:
            return Reply(200, body, {**headers, "Content-Length": str(len(body))})
        if int(told[1]) >= len(body):
            return refusal(416, "InvalidRange")
        piece = body[int(told[1]) : int(told[2]) + 1]
        return Reply(
            206, piece, {**headers, "Content-Range": f"bytes {told[1]}-{int(told[1]) + len(piece) - 1}/{len(body)}"}
        )

    def _put(self, asked: Asked, path: str) -> Reply:
        wanted, absent = asked.headers.get("if-match"), asked.headers.get("if-none-match")
        if self.dialect.careless:
            wanted = absent = None
        if wanted or absent:
            self._tries[path] += 1
            if self.dialect.tight and self._tries[path] % 2:
                return refusal(self.dialect.tight, "ConditionalRequestConflict" if self.dialect.tight == 409 else "")
        held = self.objects.get(path)
        if wanted and held is None:
            return refusal(self.dialect.missing, "NoSuchKey" if self.dialect.missing == 404 else "PreconditionFailed")
        if (absent and held) or (wanted and held and not self._matches(wanted, etag(held[0]))):
            return refusal(self.dialect.loser, "PreconditionFailed")
        self.objects[path] = (asked.body, self._now())
        return Reply(200, b"", {"ETag": f'"{etag(asked.body)}"'})

    def _post(self, asked: Asked, path: str, query: dict[str, str]) -> Reply:
        if "uploads" in query:
            self.parts = {}
            return Reply(
                200, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>", XML
            )
        if "uploadId" in query:
            body = b"".join(self.parts[number] for number in sorted(self.parts))
            self.objects[path] = (body, self._now())
            told = f'"{etag(body)}"' if self.dialect.completed else ""
            return Reply(
                200, f"<CompleteMultipartUploadResult><ETag>{told}</ETag></CompleteMultipartUploadResult>".encode(), XML
            )
        for key in re.findall(r"<Key>([^<]*)</Key>", asked.body.decode()):
            self.objects.pop(f"{path.rstrip('/')}/{unescape(key)}", None)
        return Reply(200, b"<DeleteResult></DeleteResult>", XML)

    def _list(self, bucket: str, query: dict[str, str]) -> Reply:
        lead, after = query.get("prefix", ""), query.get("start-after", "")
        keys = sorted((path[len(bucket) + 1 :] for path in self.objects), key=str.encode)
        found = [key for key in keys if key.startswith(lead) and key.encode() > after.encode()]
        limit = int(query.get("max-keys", "1000"))
        listed = "".join(self._listed(bucket, key) for key in found[:limit])
        cut = str(len(found) > limit).lower()
        return Reply(
            200, f"<ListBucketResult><IsTruncated>{cut}</IsTruncated>{listed}</ListBucketResult>".encode(), XML
        )

    def _listed(self, bucket: str, key: str) -> str:
        body, modified = self.objects[f"{bucket}/{key}"]
        when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(modified))
        facts = f"<Size>{len(body)}</Size><ETag>&quot;{etag(body)}&quot;</ETag><LastModified>{when}</LastModified>"
        return f"<Contents><Key>{escape(key)}</Key>{facts}</Contents>"

    def _matches(self, wanted: str | None, held: str) -> bool:
        if wanted is None:
            return False
        quoted = wanted.startswith('"')
        return wanted.strip('"') == held and (self.dialect.quotes if quoted else self.dialect.bare)

    def _now(self) -> float:
        return time.time() + (self.dialect.date or 0.0)

    def _date(self, moment: float) -> str:
        return formatdate(moment, usegmt=True)


def etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
