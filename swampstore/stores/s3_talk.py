"""What is said to an S3 server and what its answers mean, without a connection: each verb is a generator.

It yields an :class:`Ask`, is sent the :class:`~swampstore.stores.s3_wire.Told` that came back, and returns the answer
of the verb. So the blocking and the asyncio driver, and many calls side by side on one thread, share all of it.

Invariants:
- A verb yields one ask, but for what the store's contract needs more for: an empty span, bodies in parts, deletes by
  the thousand. None is yielded again after a failure.
- A condition is always sent, as in :mod:`swampstore.stores.s3`; an upload in parts that fails is aborted.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import time
from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import NamedTuple, NoReturn, TypeAlias, TypeVar
from urllib.parse import quote

from swampstore.errors import BadConfig, CorruptObject, StoreUnavailable, SwampError
from swampstore.stores.base import (
    Answer,
    Body,
    Create,
    Get,
    Got,
    Head,
    Headed,
    Info,
    List,
    NotModified,
    Page,
    Put,
    Replace,
    Request,
    Source,
    Stored,
    When,
)
from swampstore.stores.names import check_limit, check_name, check_prefix, check_span, read_chunks, read_whole
from swampstore.stores.s3 import DELETE_MAX, PAGE_MAX, S3Calls, is_large, part_bytes, sha256_text
from swampstore.stores.s3_faults import delete_refusal, masked, missing_bucket, refusal
from swampstore.stores.s3_listing import LISTING_BYTES, bare, http_date_ms, not_s3, read_listing, unescaped
from swampstore.stores.s3_options import S3Options
from swampstore.stores.s3_wire import Told

WORDS_BYTES = 8 << 20
"""Bound on an answer that is XML but no listing: a thousand names that could not be deleted."""

_CONTENT_RANGE = re.compile(r"bytes (?:\d+-\d+|\*)/(\d{1,18})", re.ASCII)
_ERROR = re.compile(rb"<Error>(.*?)</Error>", re.DOTALL)
_FACT = re.compile(rb"<(Code|Message|Key|Region)>([^<]*)</")
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")
_ETAG = re.compile(rb"<ETag>([^<]+)</ETag>")
_COMPLETED = re.compile(rb"<(?:\w+:)?CompleteMultipartUploadResult\b")
_XML = {"content-type": "application/xml"}
_RESULT = re.compile(rb"<(?:\w+:)?DeleteResult\b")

T = TypeVar("T")


class Ask(NamedTuple):
    """A request. ``path`` and ``query`` as they are sent; ``limit`` bounds the body of the answer, in bytes."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = {}  # noqa: RUF012 (never changed)
    body: bytes = b""
    limit: int | None = WORDS_BYTES


Talk: TypeAlias = Generator[Ask, Told, T]


class S3Talk:
    """The verbs for one bucket and prefix. ``base`` is the path of the bucket on its host, without a ``/`` at the end."""

    def __init__(self, options: S3Options, base: str) -> None:
        self.url = options.url
        self._options = options
        self._base = base
        self._lead = f"{options.prefix}/" if options.prefix else ""
        self._path = f"{base}/{_quoted(self._lead)}"
        kept = {
            "x-amz-server-side-encryption": options.sse,
            "x-amz-server-side-encryption-aws-kms-key-id": options.kms_key,
            "x-amz-storage-class": options.storage_class,
        }
        self._kept = {name: value for name, value in kept.items() if value}

    def of(self, request: Request) -> Talk[Answer]:
        """The verb that a request object stands for."""
        match request:
            case Get(name, span, if_none_match):
                return self.get(name, span, if_none_match)
            case Put(name, body, when):
                return self.put(name, body, when)
            case List(prefix, start_after, limit):
                return self.list(prefix, start_after, limit)
            case Head(name):
                return self.head(name)

    def get(self, name: str, span: tuple[int, int] | None, if_none_match: str | None) -> Talk[Got | NotModified]:
        """A span that begins past the end costs a second request: the first answer has no ETag."""
        check_span(span)
        path = self._place(name)
        if span is None or span[1]:
            headers: dict[str, str] = {}
            if span is not None:
                headers["range"] = f"bytes={span[0]}-{span[0] + span[1] - 1}"
            if if_none_match is not None:
                headers["if-none-match"] = if_none_match
            if self._options.checksum:
                headers["x-amz-checksum-mode"] = "ENABLED"
            told = yield Ask("GET", path, "", headers, limit=None)
            if told.status in (200, 206):
                self._check(name, told)
                return _got(told, span)
            if told.status == 304:
                return NotModified(_time(told))
            if told.status != 416:
                self._refuse(told, name)
        told = yield Ask("HEAD", path)
        if told.status != 200:
            self._refuse(told, name)
        etag = _etag(told)
        if etag == if_none_match:
            return NotModified(_time(told))
        return Got(b"", etag, _length(told), _modified(told), _time(told))

    def head(self, name: str) -> Talk[Headed]:
        told = yield Ask("HEAD", self._place(name))
        if told.status != 200:
            self._refuse(told, name)
        return Headed(Info(name, _length(told), _etag(told), _modified(told)), _time(told))

    def put(self, name: str, body: Body, when: When) -> Talk[Stored]:
        if not isinstance(body, bytes) and is_large(body):
            return (yield from self._put_parts(name, body, when))
        headers = self._kept
        if isinstance(when, Create):
            headers = {**headers, "if-none-match": "*"}
        elif isinstance(when, Replace):
            headers = {**headers, "if-match": when.etag}
        whole = read_whole(body)
        if self._options.checksum:
            told_of = {"x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": sha256_text(whole)}
            headers = {**headers, **told_of}
        told = yield Ask("PUT", self._place(name), "", headers, whole)
        if told.status != 200:
            self._refuse(told, name, when)
        return Stored(_etag(told), _time(told))

    def _put_parts(self, name: str, body: Source, when: When) -> Talk[Stored]:
        S3Calls(self._options).upload(name, when)  # which refuses a condition
        path = self._place(name)
        told = yield Ask("POST", path, "uploads=", self._kept)
        found = _UPLOAD_ID.search(told.body)
        if told.status != 200 or not found:
            self._refuse(told, name, when)
        upload = unescaped(found[1].decode())
        query = f"uploadId={quote(upload, safe='-._~')}"
        try:
            parts: list[str] = []
            for number, chunk in enumerate(read_chunks(body, part_bytes(body.size)), 1):
                told = yield Ask("PUT", path, f"partNumber={number}&{query}", body=chunk)
                if told.status != 200:
                    self._refuse(told, name, when)
                etag = escape(told.headers.get("etag", ""))
                parts.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
            listed = "".join(parts)
            words = f'<CompleteMultipartUpload xmlns="{_SPACE}">{listed}</CompleteMultipartUpload>'
            told = yield Ask("POST", path, query, _XML, words.encode())
            etags = _ETAG.search(told.body)
            if told.status != 200 or not (etags or _COMPLETED.search(told.body)):
                self._refuse(told, name, when)
            if not etags:  # Ceph leaves it empty
                return Stored((yield from self.head(name)).info.etag, _time(told))
            return Stored(bare(unescaped(etags[1].decode())), _time(told))
        except BaseException as error:
            yield from self._abort(path, query, upload, error)
            raise

    def _abort(self, path: str, query: str, upload: str, cause: BaseException) -> Talk[None]:
        try:
            told = yield Ask("DELETE", path, query)
            if told.status not in (200, 204, 404):
                self._refuse(told, "the upload")
        except (SwampError, OSError) as error:
            cause.add_note(f"the upload {upload} could not be aborted: {error}")

    def list(self, prefix: str, start_after: str, limit: int) -> Talk[Page]:
        """Starting after the bare prefix leaves out a folder marker of that very name."""
        check_prefix(prefix)
        query = f"encoding-type=url&list-type=2&max-keys={min(check_limit(limit), PAGE_MAX)}"
        query += f"&prefix={_quoted_all(self._lead + prefix)}"
        if self._lead or start_after:
            query += f"&start-after={_quoted_all(self._lead + start_after)}"
        told = yield Ask("GET", self._base or "/", query, limit=LISTING_BYTES)
        if told.status != 200 or b"<Error>" in told.body[:1000]:
            self._refuse(told, prefix or "a listing")
        items, more = read_listing(told.body, len(self._lead))
        return Page(tuple(items), more, _time(told))

    def delete(self, names: Sequence[str]) -> Talk[None]:
        """Batches of a thousand; what is not there is no error."""
        keys = [escape(self._lead + check_name(name)) for name in names]
        for at in range(0, len(keys), DELETE_MAX):
            batch = "".join([f"<Object><Key>{key}</Key></Object>" for key in keys[at : at + DELETE_MAX]])
            words = f'<Delete xmlns="{_SPACE}">{batch}<Quiet>true</Quiet></Delete>'.encode()
            told = yield Ask("POST", self._base or "/", "delete=", {**_XML, "content-md5": _md5(words)}, words)
            if told.status != 200 or not _RESULT.search(told.body):
                self._refuse(told, f"{len(names)} names")
            errors = [_facts(found) for found in _ERROR.findall(told.body)]
            refused = delete_refusal({"Errors": errors}, self.url)
            if refused is not None:
                raise refused

    def now(self) -> Talk[int]:
        """One request: HeadBucket, or below a prefix a listing of it, so that no request leaves the prefix."""
        if self._options.prefix:
            return (yield from self.list("", "", 1)).time
        told = yield Ask("HEAD", self._base or "/")
        if told.status == 404:
            raise missing_bucket(self.url)
        if told.status != 200:
            self._refuse(told, "the bucket")
        return _time(told)

    def _place(self, name: str) -> str:
        return self._path + _quoted(check_name(name))

    def _check(self, name: str, told: Told) -> None:
        """Raises ``CorruptObject`` when the server has kept a checksum of the whole object and the body is another."""
        kept = told.headers.get("x-amz-checksum-sha256", "") if self._options.checksum and told.status == 200 else ""
        if (
            kept and "-" not in kept and kept != sha256_text(told.body)
        ):  # with a dash it is one of the checksums of parts
            raise CorruptObject(f"{name}: does not match the SHA-256 that {self.url} keeps of it", name=name)

    def _refuse(self, told: Told, name: str, when: When | None = None) -> NoReturn:
        """Raise what an answer means that is not the one hoped for."""
        found = _ERROR.search(told.body)
        facts = _facts(found[1]) if found else {}
        what = f"{name} in {self.url}"
        if told.status == 200 and not found:
            raise StoreUnavailable(f"{what}: the endpoint does not speak S3", hint="check the endpoint")
        raise refusal(told.status, facts.get("Code", ""), facts.get("Message", ""), what=what, when=when)


_ELSEWHERE = (301, 307, 308, 400)
"""How a region refuses a bucket of another."""
_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def region_told(told: Told) -> str:
    """The region that a refusal names as the bucket's own; empty if it names none."""
    return told.headers.get("x-amz-bucket-region", "") if told.status in _ELSEWHERE else ""


def connection_fault(error: OSError, what: str) -> SwampError:
    """What a connection that cannot be made, breaks or says nothing means: nothing is known of the outcome."""
    text = f"{what}: {masked(str(error)) or type(error).__name__}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return BadConfig(text, hint="name the certificate authority with AWS_CA_BUNDLE")
    return StoreUnavailable(text, hint="check the network and the endpoint")


def _got(told: Told, span: tuple[int, int] | None) -> Got:
    """If the server did not cut the body to ``span``, it is cut here."""
    body = told.body
    size = len(body)
    if span is not None:
        whole = _CONTENT_RANGE.fullmatch(told.headers.get("content-range", ""))
        if whole:
            size = int(whole[1])
        else:
            body = body[span[0] : span[0] + span[1]]
    return Got(body, _etag(told), size, _modified(told), _time(told))


def _etag(told: Told) -> str:
    etag = told.headers.get("etag")
    if etag is None:
        raise not_s3("an answer without ETag")
    return bare(etag)


def _length(told: Told) -> int:
    length = told.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise not_s3("a head without a length")
    return int(length)


def _modified(told: Told) -> int:
    return _date(told.headers.get("last-modified", ""))


def _time(told: Told) -> int:
    """The store's clock from the ``Date`` header, to the second; this machine's if a proxy took the header away."""
    date = told.headers.get("date")
    try:
        return _date(date) if date else time.time_ns() // 1_000_000
    except SwampError:
        return time.time_ns() // 1_000_000


_date = lru_cache(maxsize=1024)(http_date_ms)


def _facts(words: bytes) -> dict[str, str]:
    return {name.decode(): unescaped(text.decode(errors="replace")) for name, text in _FACT.findall(words)}


def _md5(words: bytes) -> str:
    return base64.b64encode(hashlib.md5(words, usedforsecurity=False).digest()).decode()


def escape(text: str) -> str:
    """``text`` as the text of an XML element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _quoted(key: str) -> str:
    return quote(key, safe="/-._~")


def _quoted_all(text: str) -> str:
    return quote(text, safe="-._~")
