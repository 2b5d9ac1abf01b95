"""What both S3 drivers say and understand: options, the arguments of each call, and the answers read from responses.

Nothing here waits or imports a client library.

Invariants:
- A condition is always sent: ``If-None-Match: *`` for a create, ``If-Match`` with the bare ETag for a replace (every
  server tried takes it without quotes, one takes nothing else).
- A multipart upload is never conditional, because not every server that checks a condition on a put checks it there.
- Names pass in with the prefix of the options joined, and come out with it stripped.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from swampstore.errors import CorruptObject, Misuse
from swampstore.stores.base import Body, Create, Got, Headed, Info, NotModified, Overwrite, Page, Replace, Stored, When
from swampstore.stores.names import check_limit, check_name, check_prefix, check_span, read_whole
from swampstore.stores.s3_listing import bare, not_s3, read_listing
from swampstore.stores.s3_options import S3Options

MULTIPART_OVER_BYTES = 16 << 20
PART_BYTES = 16 << 20
PARTS_MAX = 10_000
PAGE_MAX = 1000
DELETE_MAX = 1000
POOL_CONNECTIONS = 128
SIDE_BY_SIDE = 100
PAGE_BODY = "SwampstorePage"
"""Where a response of ListObjectsV2 holds the page's bytes, unread (:func:`read_pages_ourselves`)."""

_CONTENT_RANGE = re.compile(r"bytes (?:\d+-\d+|\*)/(\d{1,18})", re.ASCII)

Args = dict[str, Any]
Response = Mapping[str, Any]


def client_args(options: S3Options) -> Args:
    """Arguments of a client's constructor, without ``config``."""
    return {"service_name": "s3", "region_name": options.region, "endpoint_url": options.endpoint}


def config_args(options: S3Options) -> Args:
    """Arguments of a client configuration: one attempt per call, a pool that holds a burst of :data:`SIDE_BY_SIDE`.

    Checksums beyond the signature's own hash of the body are sent and asked for only where the service requires them, or
    with ``checksum``: many compatible servers refuse or ignore them, and every stored format here carries its own.
    """
    path_style = options.path_style if options.path_style is not None else bool(options.endpoint)
    style = {True: "path", False: "virtual"}[path_style] if options.path_style is not None or path_style else "auto"
    return {
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "max_pool_connections": POOL_CONNECTIONS,
        "connect_timeout": options.connect_seconds,
        "read_timeout": options.read_seconds,
        "tcp_keepalive": True,
        "s3": {"addressing_style": style},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "signature_version": "s3v4",
    }


def send_bodies_at_once(client: Any) -> None:
    """Take out the client library's ``Expect: 100-continue``: it costs every write a second round trip.

    The segments, roots and parts that are written here are small, and a store that refuses one refuses it anyway.
    """
    from botocore.handlers import add_expect_header

    client.meta.events.unregister("before-call.s3", add_expect_header)


def read_pages_ourselves(client: Any) -> None:
    """Take the pages of listings out of the client library's hands: it spends 50 ms and more on a thousand names."""

    def keep(response_dict: Args, customized_response_dict: Args, **_: Any) -> None:
        body = response_dict["body"]
        if response_dict["status_code"] == 200 and b"<Error>" not in body[:1000]:
            customized_response_dict[PAGE_BODY] = bytes(body)
            response_dict["body"] = _NO_NAMES

    client.meta.events.register("before-parse.s3.ListObjectsV2", keep)


_NO_NAMES = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


class S3Calls:
    """The arguments of every call to one bucket and prefix, and its responses as answers of a store."""

    def __init__(self, options: S3Options) -> None:
        self.options = options
        self._lead = f"{options.prefix}/" if options.prefix else ""
        kept = {
            "ServerSideEncryption": options.sse,
            "SSEKMSKeyId": options.kms_key,
            "StorageClass": options.storage_class,
        }
        self._kept = {name: value for name, value in kept.items() if value}

    def place(self, name: str) -> Args:
        """Bucket and key of an object."""
        return {"Bucket": self.options.bucket, "Key": self._lead + check_name(name)}

    # --- arguments -----------------------------------------------------------------------------------------------

    def get(self, name: str, span: tuple[int, int] | None, if_none_match: str | None) -> Args:
        """For GetObject; a span of length 0 cannot be asked for (see :func:`is_empty`)."""
        check_span(span)
        args = self.place(name)
        if span is not None:
            args["Range"] = f"bytes={span[0]}-{span[0] + span[1] - 1}"
        if if_none_match is not None:
            args["IfNoneMatch"] = if_none_match
        if self.options.checksum:
            args["ChecksumMode"] = "ENABLED"  # see :meth:`check`
        return args

    def head(self, name: str) -> Args:
        return self.place(name)

    def put(self, name: str, body: Body, when: When) -> Args:
        args = self.place(name) | self._kept
        args["Body"] = whole = read_whole(body)
        if self.options.checksum:
            args |= {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": sha256_text(whole)}
        if isinstance(when, Create):
            args["IfNoneMatch"] = "*"
        elif isinstance(when, Replace):
            args["IfMatch"] = when.etag
        return args

    def list(self, prefix: str, start_after: str, limit: int) -> Args:
        """For ListObjectsV2. Starting after the bare prefix leaves out a folder marker of that very name."""
        check_prefix(prefix)
        args = {
            "Bucket": self.options.bucket,
            "Prefix": self._lead + prefix,
            "MaxKeys": min(check_limit(limit), PAGE_MAX),
        }
        if self._lead or start_after:
            args["StartAfter"] = self._lead + start_after
        return args

    def deletes(self, names: Sequence[str]) -> Sequence[Args]:
        """One set of arguments for DeleteObjects per batch."""
        keys = [{"Key": self.place(name)["Key"]} for name in names]
        return [
            {"Bucket": self.options.bucket, "Delete": {"Objects": keys[at : at + DELETE_MAX], "Quiet": True}}
            for at in range(0, len(keys), DELETE_MAX)
        ]

    def upload(self, name: str, when: When) -> Args:
        """For CreateMultipartUpload. Raises ``Misuse`` for a conditional one."""
        if not isinstance(when, Overwrite):
            raise Misuse(
                f"{name}: a body over {MULTIPART_OVER_BYTES >> 20} MB needs Overwrite()",
                hint="write it under a name of its own first, then publish that name with a small conditional write",
            )
        return self.place(name) | self._kept

    # --- answers -------------------------------------------------------------------------------------------------

    def got(self, response: Response, body: bytes, span: tuple[int, int] | None) -> Got:
        """``body`` is what was received; if the server did not cut it to ``span``, it is cut here."""
        size = len(body)
        if span is not None:
            told = _CONTENT_RANGE.fullmatch(response.get("ContentRange") or "")
            if told:
                size = int(told[1])
            else:
                body = body[span[0] : span[0] + span[1]]
        return Got(body, bare_etag(response), size, millis(response["LastModified"]), server_time(response))

    def check(self, name: str, response: Response, body: bytes) -> None:
        """Raises ``CorruptObject`` when the server has kept a checksum of the whole object and ``body`` is another."""
        kept = response.get("ChecksumSHA256") if self.options.checksum and "ContentRange" not in response else None
        if kept and "-" not in kept and kept != sha256_text(body):  # with a dash it is one of the checksums of parts
            raise CorruptObject(f"{name}: does not match the SHA-256 that {self.options.url} keeps of it", name=name)

    def empty(self, response: Response, if_none_match: str | None) -> Got | NotModified:
        """The answer for an empty span, from a HeadObject response (not every server checks a condition there)."""
        etag, told = bare_etag(response), server_time(response)
        if etag == if_none_match:
            return NotModified(told)
        return Got(b"", etag, response["ContentLength"], millis(response["LastModified"]), told)

    def headed(self, name: str, response: Response) -> Headed:
        info = Info(name, response["ContentLength"], bare_etag(response), millis(response["LastModified"]))
        return Headed(info, server_time(response))

    def stored(self, response: Response) -> Stored:
        return Stored(bare_etag(response), server_time(response))

    def page(self, response: Response) -> Page:
        """A page of a ListObjectsV2 response, names without the prefix of the options."""
        if "IsTruncated" not in response:
            raise not_s3("a listing without its marks")
        skip = len(self._lead)
        if isinstance(response.get(PAGE_BODY), bytes):
            items, more = read_listing(response[PAGE_BODY], skip)
            return Page(tuple(items), more, server_time(response))
        found = [
            Info(one["Key"][skip:], one["Size"], bare_etag(one), millis(one["LastModified"]))
            for one in response.get("Contents", ())
        ]
        return Page(tuple(found), bool(response.get("IsTruncated")), server_time(response))


def sha256_text(body: bytes) -> str:
    """The SHA-256 of ``body`` as the service writes it."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def is_large(body: Body) -> bool:
    """Whether a body goes up in parts."""
    return not isinstance(body, bytes) and body.size > MULTIPART_OVER_BYTES


def is_empty(span: tuple[int, int] | None) -> bool:
    return span is not None and span[1] == 0


def part_bytes(size: int) -> int:
    """Size of a part such that the service's number of parts is enough."""
    needed = -(-size // PARTS_MAX)
    return max(PART_BYTES, -(-needed // (1 << 20)) << 20)


def bare_etag(response: Response) -> str:
    """The ETag of a response without its quotes. Raises ``StoreMissing`` for what no S3 server answers."""
    etag = response.get("ETag")
    if not isinstance(etag, str):
        raise not_s3("an answer without ETag")
    return bare(etag)


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def server_time(response: Response) -> int:
    """The store's clock from the ``Date`` header, to the second; this machine's if a proxy took the header away."""
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    if not date:
        return time.time_ns() // 1_000_000
    from email.utils import parsedate_to_datetime

    try:
        return millis(parsedate_to_datetime(date))
    except ValueError:
        return time.time_ns() // 1_000_000
