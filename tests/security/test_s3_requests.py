"""What goes with every object that is written to a bucket: encryption as asked for, and a hash of the body that the
server checks."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.stores.base import Create, Overwrite, Replace
from swampstore.stores.s3_boto import BotoStore
from swampstore.stores.urls import parse_url
from swampstore.testing.samples import Blocks


class Sent(Exception):
    """Carries a request that was about to be sent."""

    def __init__(self, request: Any) -> None:
        super().__init__(request.url)
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.body = request.body


def sent(url: str, body: object = b"body", when: object = None) -> Sent:
    """The request that a put makes, kept from being sent."""
    place = parse_url(url)
    store = BotoStore(place)  # type: ignore[arg-type]

    def stop(request: Any, **_: Any) -> None:
        raise Sent(request)

    store._mine().client().meta.events.register("before-send.s3", stop)
    with pytest.raises(Sent) as caught:
        run(store.put("name", body, when or Overwrite()))  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("when", [Create(), Replace("etag"), Overwrite()])
@pytest.mark.parametrize(
    "url", ["s3://bucket-x/p?region=eu-west-1", "s3://bucket-x/p?endpoint=http://127.0.0.1:9&region=eu"]
)
def test_the_signature_covers_a_hash_of_the_body(url: str, when: object) -> None:
    """So a body that was changed on its way is refused, over TLS and without it."""
    one = sent(url, b"body", when)
    told = one.headers["x-amz-content-sha256"]
    told = told.decode() if isinstance(told, bytes) else told
    assert told == hashlib.sha256(b"body").hexdigest()
    signed = one.headers["authorization"]
    assert "x-amz-content-sha256" in (signed.decode() if isinstance(signed, bytes) else signed)


@pytest.mark.parametrize(
    ("query", "kind", "key"),
    [
        ("kms_key=alias/swamp", b"aws:kms", b"alias/swamp"),  # a key alone says which kind
        ("sse=aws:kms&kms_key=k", b"aws:kms", b"k"),
        ("sse=aws:kms:dsse&kms_key=k", b"aws:kms:dsse", b"k"),
        ("sse=AES256", b"AES256", None),
    ],
)
@pytest.mark.parametrize("body", [b"body", Blocks(17 << 20)], ids=["whole", "in parts"])
def test_encryption_goes_with_every_object(query: str, kind: bytes, key: bytes | None, body: object) -> None:
    one = sent(f"s3://bucket-x/p?region=eu-west-1&{query}", body)
    said = {name: value.encode() if isinstance(value, str) else value for name, value in one.headers.items()}
    assert said["x-amz-server-side-encryption"] == kind
    assert said.get("x-amz-server-side-encryption-aws-kms-key-id") == key
