"""Where a bucket is: all that is known of an S3 store before anything of S3 is loaded."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0


class S3Options(msgspec.Struct, frozen=True, kw_only=True):
    """Where a bucket is and how objects are kept in it. Credentials come from the usual AWS configuration.

    ``path_style=None`` means: with an ``endpoint`` yes, without one as the service prefers. ``sse`` is ``AES256``,
    ``aws:kms`` or ``aws:kms:dsse``; ``kms_key`` an id or ARN for the latter two. ``driver`` is ``auto``, ``fast`` or
    ``botocore`` (:mod:`swampstore.stores.s3_choice`).
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    profile: str | None = None
    sse: str | None = None
    kms_key: str | None = None
    storage_class: str | None = None
    driver: str = "auto"
    checksum: str | None = None
    connect_seconds: float = CONNECT_SECONDS
    read_seconds: float = READ_SECONDS

    def bounded(self, seconds: float) -> S3Options:
        """The same place, no single wait for it longer than ``seconds``."""
        return msgspec.structs.replace(
            self,
            connect_seconds=min(self.connect_seconds, seconds),
            read_seconds=min(self.read_seconds, seconds),
        )

    @property
    def url(self) -> str:
        """The URL of this place, with the endpoint (two servers may have buckets of one name), without secrets."""
        place = f"s3://{self.bucket}/{quote(self.prefix)}".rstrip("/")
        return f"{place}?endpoint={quote(self.endpoint, safe=':/')}" if self.endpoint else place
