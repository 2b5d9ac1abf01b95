"""Every way a bucket can answer, or not answer, becomes the error that says what to do next. All four drivers."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import (
    AlreadyExists,
    BadConfig,
    BadName,
    BadURL,
    ClockOff,
    Misuse,
    NotFound,
    PreconditionsIgnored,
    StaleWrite,
    StoreForbidden,
    StoreFull,
    StoreMissing,
    StoreUnavailable,
    SwampError,
    Throttled,
    TooLarge,
)
from swampstore.stores.base import Busy, Create, Get, Got, Overwrite, Put, Replace, Stored, When
from swampstore.stores.s3 import config_args, part_bytes
from swampstore.stores.s3_choice import S3Store
from swampstore.stores.s3_options import S3Options
from swampstore.testing.samples import BIG_BYTES, Blocks
from tests.conftest import Bucket
from tests.servers import free_port
from tests.stores.stub_s3 import Asked, Reply, Stub, refusal, stub_server

STORED = Reply(200, b"", {"ETag": '"e1"'})


@pytest.fixture(params=["fast", "asyncio-fast", "botocore", "asyncio-botocore"])
def drive(request: pytest.FixtureRequest) -> Iterator[Any]:
    """``drive.open(options)`` gives a store of this driver, ``drive(coroutine)`` finishes its calls."""

    asynchronous, driver = request.param.startswith("asyncio-"), request.param.removeprefix("asyncio-")

    class Drive:
        def __init__(self, finish: Callable[[Any], Any]) -> None:
            self._finish = finish
            self.opened: list[Any] = []

        def open(self, **options: Any) -> Any:
            place = S3Options(**{"bucket": "bucket", "region": "us-east-1", "driver": driver, **options})
            self.opened.append(S3Store(place, asynchronous=asynchronous))
            return self.opened[-1]

        def __call__(self, work: Any) -> Any:
            return self._finish(work)

    if not asynchronous:
        blocking = Drive(run)
        yield blocking
        for store in blocking.opened:
            run(store.close())
        return
    with asyncio.Runner() as runner:
        tasks = Drive(runner.run)
        yield tasks
        for store in tasks.opened:
            runner.run(store.close())


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server(lambda asked: STORED) as running:
        yield running


PUTS: list[tuple[int, str, When, type[SwampError]]] = [
    (412, "PreconditionFailed", Create(), AlreadyExists),
    (412, "PreconditionFailed", Replace("e"), StaleWrite),
    (409, "ConditionalRequestConflict", Create(), Busy),
    (409, "ConditionalRequestConflict", Replace("e"), Busy),
    (409, "OperationAborted", Overwrite(), Busy),
    (404, "NoSuchKey", Replace("e"), NotFound),
    (404, "NoSuchBucket", Replace("e"), StoreMissing),
    (404, "NoSuchBucket", Create(), StoreMissing),
    (404, "", Overwrite(), StoreMissing),
    (501, "NotImplemented", Create(), PreconditionsIgnored),
    (501, "NotImplemented", Replace("e"), PreconditionsIgnored),
    (501, "NotImplemented", Overwrite(), BadConfig),
    (503, "SlowDown", Create(), Throttled),
    (503, "ServiceUnavailable", Create(), Throttled),
    (429, "TooManyRequests", Overwrite(), Throttled),
    (500, "InternalError", Create(), StoreUnavailable),
    (502, "", Replace("e"), StoreUnavailable),
    (400, "RequestTimeout", Overwrite(), StoreUnavailable),
    (403, "AccessDenied", Create(), StoreForbidden),
    (403, "InvalidAccessKeyId", Create(), StoreForbidden),
    (403, "SignatureDoesNotMatch", Overwrite(), StoreForbidden),
    (400, "ExpiredToken", Create(), StoreForbidden),
    (400, "KMS.DisabledException", Create(), StoreForbidden),
    (403, "RequestTimeTooSkewed", Create(), ClockOff),
    (400, "AuthorizationHeaderMalformed", Create(), BadConfig),
    (400, "InvalidStorageClass", Create(), BadConfig),
    (400, "SomethingElse", Create(), BadConfig),
    (400, "EntityTooLarge", Overwrite(), TooLarge),
    (400, "KeyTooLongError", Overwrite(), BadName),
    (507, "", Overwrite(), StoreFull),
    (403, "QuotaExceeded", Overwrite(), StoreFull),
]
SETUP_ERRORS = (StoreForbidden, ClockOff, StoreMissing, PreconditionsIgnored, BadConfig, StoreFull)


def test_refused_puts(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint, prefix="p")
    for status, code, when, expected in PUTS:
        stub.answer = lambda asked, status=status, code=code: refusal(status, code, "in words")  # type: ignore[misc]
        stub.asked.clear()
        with pytest.raises(expected) as caught:
            drive(store.put("a/b", b"1", when))
        assert type(caught.value) is expected, (status, code)
        assert "a/b" in str(caught.value), (status, code)
        assert "s3://bucket/p" in str(caught.value), (status, code)
        assert bool(caught.value.hint) >= isinstance(caught.value, SETUP_ERRORS), (status, code)
        assert len(stub.asked) == 1, (status, code)  # one call is one request


def test_refused_reads(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    table = [
        (404, "NoSuchKey", NotFound),
        (404, "NoSuchBucket", StoreMissing),
        (403, "AccessDenied", StoreForbidden),
        (403, "InvalidObjectState", StoreForbidden),
        (503, "SlowDown", Throttled),
        (500, "InternalError", StoreUnavailable),
        (200, "InternalError", StoreUnavailable),
    ]
    for status, code, expected in table:
        stub.answer = lambda asked, status=status, code=code: refusal(status, code)  # type: ignore[misc]
        if status != 200:
            with pytest.raises(expected):
                drive(store.get("a"))
        with pytest.raises(expected):
            drive(store.list(""))


def test_a_head_has_no_words(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    for status, expected in ((404, NotFound), (403, StoreForbidden), (503, Throttled), (500, StoreUnavailable)):
        stub.answer = lambda asked, status=status: Reply(status)  # type: ignore[misc]
        with pytest.raises(expected):
            drive(store.head("a"))
    stub.answer = lambda asked: Reply(404)
    with pytest.raises(StoreMissing):
        drive(store.now())


def test_deletes_report_what_was_not_deleted(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    for code, expected in (("AccessDenied", StoreForbidden), ("InternalError", StoreUnavailable)):
        error = f"<Error><Key>a</Key><Code>{code}</Code><Message>no</Message></Error>"
        answer = Reply(200, f"<DeleteResult>{error}</DeleteResult>".encode(), {"Content-Type": "application/xml"})
        stub.answer = lambda asked, answer=answer: answer  # type: ignore[misc]
        with pytest.raises(expected, match="a in s3://bucket"):
            drive(store.delete(["a", "b"]))


def test_conditions_are_sent_without_quotes(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    assert drive(store.put("a", b"1", Create())).etag == "e1"
    drive(store.put("a", b"1", Replace("e1")))
    drive(store.put("a", b"1", Overwrite()))
    conditions = [(asked.headers.get("if-none-match"), asked.headers.get("if-match")) for asked in stub.asked]
    assert conditions == [("*", None), (None, "e1"), (None, None)]
    assert all(asked.method == "PUT" and asked.path == "/bucket/a" and asked.body == b"1" for asked in stub.asked)
    assert not any(name.startswith("x-amz-checksum") for asked in stub.asked for name in asked.headers)


def test_options_are_sent(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint, sse="aws:kms", kms_key="k1", storage_class="STANDARD_IA")
    drive(store.put("a", b"1", Create()))
    sent = stub.asked[0].headers
    assert sent["x-amz-server-side-encryption"] == "aws:kms"
    assert sent["x-amz-server-side-encryption-aws-kms-key-id"] == "k1"
    assert sent["x-amz-storage-class"] == "STANDARD_IA"


def test_the_time_is_the_store_s_own(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    stub.answer = lambda asked: Reply(200, b"", {"ETag": '"e1"', "Date": formatdate(1_000_000_000, usegmt=True)})
    assert drive(store.put("a", b"1", Create())).time == 1_000_000_000_000
    for nothing in ("", "yesterday"):
        stub.answer = lambda asked, nothing=nothing: Reply(200, b"", {"ETag": '"e1"', "Date": nothing})  # type: ignore[misc]
        assert abs(drive(store.put("a", b"1", Create())).time - time.time() * 1000) < 60_000


# --- no answer ---------------------------------------------------------------------------------------------------------


def test_nobody_listens(drive: Any) -> None:
    store = drive.open(endpoint=f"http://127.0.0.1:{free_port()}")
    for work in (store.put("a", b"1", Create()), store.get("a"), store.list(""), store.delete(["a"]), store.now()):
        with pytest.raises(StoreUnavailable):
            drive(work)


def test_the_connection_breaks_before_the_answer(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    drive(store.put("a", b"1", Create()))  # so that a connection is kept open
    stub.answer = lambda asked: Reply(200, cut=-1)
    stub.asked.clear()
    for when in (Create(), Replace("e1"), Overwrite()):
        with pytest.raises(StoreUnavailable):
            drive(store.put("a", b"1", when))
    assert len(stub.asked) == 3  # nothing below sent a write again


def test_the_body_breaks_off(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    headers = {"ETag": '"e1"', "Last-Modified": formatdate(usegmt=True)}
    stub.answer = lambda asked: Reply(200, b"x" * 1000, headers, cut=500)
    with pytest.raises(StoreUnavailable):
        drive(store.get("a"))


def test_the_answer_is_not_s3(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    for status, expected in ((200, StoreUnavailable), (502, StoreUnavailable), (403, StoreForbidden)):
        stub.answer = lambda asked, status=status: Reply(status, b"<html><p>Welcome", {"Content-Type": "text/html"})  # type: ignore[misc]
        with pytest.raises(expected):
            drive(store.list(""))


def test_the_answer_is_late(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint, read_seconds=0.2)
    asked, given_up = threading.Event(), threading.Event()

    def late(_: Asked) -> Reply:
        asked.set()
        given_up.wait(60)
        return STORED

    stub.answer = late
    with pytest.raises(StoreUnavailable):
        drive(store.put("a", b"1", Create()))
    assert asked.wait(60)
    given_up.set()
    assert len(stub.asked) == 1


# --- wrong set-up --------------------------------------------------------------------------------------------------------


def test_no_credentials(drive: Any, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = drive.open(endpoint=stub.endpoint)
    with pytest.raises(StoreForbidden) as caught:
        drive(store.get("a"))
    assert "credentials" in caught.value.hint
    assert stub.asked == []


def test_an_unknown_profile(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint, profile="nobody")
    with pytest.raises(BadConfig, match="nobody"):
        drive(store.get("a"))


def test_options_the_client_refuses(drive: Any, stub: Stub) -> None:
    for options in ({"endpoint": "no url"}, {"region": "no region!"}, {"bucket": "no bucket!"}):
        store = drive.open(**{"endpoint": stub.endpoint, **options})
        with pytest.raises((BadURL, BadConfig)):
            drive(store.get("a"))


def test_a_closed_store(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    drive(store.put("a", b"1", Create()))
    drive(store.close())
    with pytest.raises(Misuse, match="closed"):
        drive(store.get("a"))


@pytest.mark.server
def test_a_missing_bucket(drive: Any, moto_bucket: Bucket) -> None:
    store = drive.open(endpoint=moto_bucket.server.endpoint, bucket="never-made")
    for work in (store.get("a"), store.put("a", b"1", Create()), store.list(""), store.delete(["a"])):
        with pytest.raises(StoreMissing):
            drive(work)


def test_the_configuration_of_the_client() -> None:
    for path_style, endpoint, style in (
        (None, None, "auto"),
        (None, "http://h", "path"),
        (False, "http://h", "virtual"),
        (True, None, "path"),
    ):
        args = config_args(S3Options(bucket="b", path_style=path_style, endpoint=endpoint))
        assert args["s3"]["addressing_style"] == style
        assert args["retries"]["total_max_attempts"] == 1
        assert args["max_pool_connections"] >= 100


# --- parts ----------------------------------------------------------------------------------------------------------------


def test_parts_fit_the_service() -> None:
    assert part_bytes(1) == 16 << 20
    for size in (160 << 30, 5 << 40):
        assert -(-size // part_bytes(size)) <= 10_000
        assert part_bytes(size) % (1 << 20) == 0


def test_large_bodies_are_never_conditional(drive: Any, stub: Stub) -> None:
    store = drive.open(endpoint=stub.endpoint)
    for when in (Create(), Replace("e1")):
        with pytest.raises(Misuse):
            drive(store.put("a", Blocks(BIG_BYTES), when))
    assert stub.asked == []
    assert isinstance(drive(store.put("a", Blocks(1000), Create())), Stored)
    assert stub.asked[0].headers["if-none-match"] == "*"


@pytest.mark.server
def test_a_failed_upload_is_aborted(drive: Any, moto_bucket: Bucket) -> None:
    store = drive.open(endpoint=moto_bucket.server.endpoint, bucket=moto_bucket.name)
    with pytest.raises(Misuse):
        drive(store.put("a", Blocks(BIG_BYTES, BIG_BYTES - 1), Overwrite()))
    client = moto_bucket.server.client
    assert client.list_multipart_uploads(Bucket=moto_bucket.name).get("Uploads", []) == []
    assert client.list_objects_v2(Bucket=moto_bucket.name)["KeyCount"] == 0


def test_an_abort_that_fails_is_told_of(drive: Any, stub: Stub) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.method == "POST":
            told = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            return Reply(200, told.encode(), {"Content-Type": "application/xml"})
        return refusal(500, "InternalError")

    stub.answer = answer
    store = drive.open(endpoint=stub.endpoint)
    with pytest.raises(StoreUnavailable) as caught:
        drive(store.put("a", Blocks(BIG_BYTES), Overwrite()))
    assert [asked.method for asked in stub.asked] == ["POST", "PUT", "DELETE"]
    told = [note for error in (caught.value, caught.value.__cause__) for note in getattr(error, "__notes__", ())]
    assert any("u1" in note for note in told)


# --- forks ------------------------------------------------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.parametrize("driver", ["fast", "botocore"])
def test_a_forked_child_uses_connections_of_its_own(moto_bucket: Bucket, driver: str) -> None:
    place = S3Options(bucket=moto_bucket.name, endpoint=moto_bucket.server.endpoint, region="us-east-1", driver=driver)
    store = S3Store(place, asynchronous=False)
    run(store.many([Put(f"parent/{n}", b"1", Create()) for n in range(20)]))
    child = os.fork()
    if child == 0:  # pragma: no cover (another process)
        try:
            outcomes = run(store.many([Put(f"child/{n}", b"2", Create()) for n in range(20)]))
            os._exit(0 if all(isinstance(outcome, Stored) for outcome in outcomes) else 1)
        finally:
            os._exit(2)
    outcomes = run(store.many([Get(f"parent/{n}") for n in range(20)]))
    assert all(isinstance(outcome, Got) for outcome in outcomes)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(run(store.list("child/")).items) == 20
    run(store.close())


@pytest.mark.server
@pytest.mark.parametrize("driver", ["fast", "botocore"])
def test_an_asyncio_store_refuses_to_work_in_a_forked_child(
    moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    async def main() -> None:
        place = S3Options(bucket=moto_bucket.name, endpoint=moto_bucket.server.endpoint, driver=driver)
        store = S3Store(place, asynchronous=True)
        await store.list("")
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(Misuse, match="fork"):
                await store.list("")
        await store.close()

    asyncio.run(main())
