"""``checksum=sha256``: the server gets and keeps a SHA-256 of what is written, and what is read is checked against it."""

from __future__ import annotations

import base64
import hashlib

import pytest

import swampstore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import BadURL, CorruptObject
from swampstore.stores.base import Create, Got
from swampstore.stores.open import open_store
from swampstore.stores.s3_options import S3Options
from swampstore.stores.urls import parse_url
from tests.conftest import Bucket
from tests.stores.stub_s3 import Asked, Reply, stub_server


def sha(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


DRIVERS = pytest.mark.parametrize("driver", ["fast", "botocore"])


@pytest.mark.server
@DRIVERS
@pytest.mark.parametrize("asked", [True, False])
def test_the_server_keeps_it(asked: bool, driver: str, moto_bucket: Bucket) -> None:
    url = moto_bucket.url("team") + f"&driver={driver}" + ("&checksum=sha256" if asked else "")
    with swampstore.open(url) as store:
        store.namespace("ops").put("key", b"value" * 10_000)
        assert store.namespace("ops").read("key") == b"value" * 10_000
    client = moto_bucket.server.client
    names = [one["Key"] for one in client.list_objects_v2(Bucket=moto_bucket.name)["Contents"]]
    assert any("/log/" in name for name in names)
    for name in names:
        found = client.get_object(Bucket=moto_bucket.name, Key=name, ChecksumMode="ENABLED")
        assert found.get("ChecksumSHA256") == (sha(found["Body"].read()) if asked else None)


@DRIVERS
@pytest.mark.parametrize("checksum", ["", "&checksum=sha256"])
def test_what_does_not_match_is_named(checksum: str, driver: str) -> None:
    def answer(asked: Asked) -> Reply:
        headers = {
            "ETag": '"e"',
            "Last-Modified": "Fri, 01 Jan 2027 00:00:00 GMT",
            "x-amz-checksum-sha256": sha(b"good"),
        }
        return Reply(200, b"evil", headers)

    with stub_server(answer) as stub:
        url = f"s3://bucket?endpoint={stub.endpoint}&region=us-east-1&driver={driver}{checksum}"
        store = open_store(url, env=BlockingEnv())
        if not checksum:
            got = run(store.get("ns/root"))
            assert isinstance(got, Got)
            assert got.body == b"evil"
            return
        with pytest.raises(CorruptObject) as caught:
            run(store.get("ns/root"))
    assert caught.value.name == "ns/root"
    assert stub.asked[0].headers["x-amz-checksum-mode"] == "ENABLED"


@DRIVERS
def test_the_server_is_told_what_it_should_get(driver: str) -> None:
    with stub_server(lambda asked: Reply(200, b"", {"ETag": '"e"'})) as stub:
        url = f"s3://b-1?endpoint={stub.endpoint}&region=us-east-1&checksum=sha256&driver={driver}"
        store = open_store(url, env=BlockingEnv())
        run(store.put("ns/root", b"value", Create()))
    assert stub.asked[0].headers["x-amz-checksum-sha256"] == sha(b"value")


def test_only_what_is_known_can_be_asked_for() -> None:
    place = parse_url("s3://bucket?checksum=sha256")
    assert isinstance(place, S3Options)
    assert place.checksum == "sha256"
    with pytest.raises(BadURL, match="unknown"):
        parse_url("s3://bucket?checksum=md5")
