"""Connections of the fast drivers: never a hidden retry, never a foreign answer; refused bodies; other regions."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swampstore.errors import BadConfig, StoreForbidden, StoreUnavailable
from swampstore.stores import s3_fast, s3_fast_aio, s3_lines
from swampstore.stores.base import Create, Get, Got, Overwrite, Put, Stored
from swampstore.stores.s3_fast_aio import AioFastStore
from swampstore.stores.s3_options import S3Options
from swampstore.stores.s3_plan import make_plan
from swampstore.testing.samples import Blocks
from tests.stores.stub_s3 import Asked, Reply, Stub, refusal, stub_server

STORED = Reply(200, b"", {"ETag": '"e1"', "Last-Modified": "Sat, 21 Nov 2026 18:43:43 GMT"})
HEAD = b'HTTP/1.1 200 OK\r\nETag: "e1"\r\nLast-Modified: Sat, 21 Nov 2026 18:43:43 GMT\r\nContent-Length: 2\r\n\r\n'


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server(lambda asked: STORED) as running:
        yield running


class Raw:
    """A server on bare sockets: ``script(connection, number)`` serves each connection, counted from 1."""

    def __init__(self, script: Callable[[socket.socket, int], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.requests = 0
        self._script = script
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(connection, self.connections), daemon=True).start()

    def _one(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            self._script(connection, number)

    def asked(self, connection: socket.socket) -> bytes:
        """The next request's head."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
            if not data:
                raise ConnectionError
        self.requests += 1
        return data

    def close(self) -> None:
        self._listener.close()


@contextlib.contextmanager
def raw(script: Callable[[Raw, socket.socket, int], None]) -> Iterator[Raw]:
    server: Raw = Raw(lambda connection, number: script(server, connection, number))
    try:
        yield server
    finally:
        server.close()


# --- connections --------------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again(drive: Any) -> None:
    def script(server: Raw, connection: socket.socket, number: int) -> None:
        while True:
            server.asked(connection)
            connection.sendall(HEAD + b"hi")

    with raw(script) as server:
        store = drive.open(endpoint=server.endpoint)
        assert [drive(store.get("a")).body for _ in range(5)] == [b"hi"] * 5
        assert (server.connections, server.requests) == (1, 5)


def test_a_connection_that_ended_while_idle_carries_no_request(drive: Any) -> None:
    """Its end is seen beforehand: nothing fails, and nothing has to be sent twice."""
    ended = threading.Event()

    def script(server: Raw, connection: socket.socket, number: int) -> None:
        server.asked(connection)
        connection.sendall(HEAD + b"hi")
        connection.close()
        ended.set()

    with raw(script) as server:
        store = drive.open(endpoint=server.endpoint)
        for _ in range(5):
            assert drive(store.put("a", b"1", Create())).etag == "e1"
            assert ended.wait(60)
            ended.clear()
            drive(asyncio.sleep(0.02)) if not drive.blocking else time.sleep(0.02)
        assert (server.connections, server.requests) == (5, 5)


def test_a_connection_that_dies_under_a_write_fails_it(drive: Any) -> None:
    """With the request already sent it may have landed: it is not sent again."""

    def script(server: Raw, connection: socket.socket, number: int) -> None:
        server.asked(connection)
        connection.sendall(HEAD + b"hi")
        server.asked(connection)

    with raw(script) as server:
        store = drive.open(endpoint=server.endpoint)
        drive(store.get("a"))
        with pytest.raises(StoreUnavailable):
            drive(store.put("a", b"1", Create()))
        assert (server.connections, server.requests) == (1, 2)


def test_what_comes_unasked_is_nobody_s_answer(drive: Any) -> None:
    """A second answer to one request would else be taken for the answer to the next."""
    again = threading.Event()

    def script(server: Raw, connection: socket.socket, number: int) -> None:
        while True:
            server.asked(connection)
            told = HEAD + (b"no" if number == 1 else b"ok")
            connection.sendall(told)
            if number == 1:
                time.sleep(0.01)
                connection.sendall(told)
                again.set()

    with raw(script) as server:
        store = drive.open(endpoint=server.endpoint)
        assert drive(store.get("a")).body == b"no"
        assert again.wait(60)
        drive(asyncio.sleep(0.05)) if not drive.blocking else time.sleep(0.05)
        assert drive(store.get("a")).body == b"ok"
        assert server.connections == 2


def test_a_long_idle_connection_is_not_trusted(drive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_lines, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(s3_fast_aio, "IDLE_SECONDS", 0.0)

    def script(server: Raw, connection: socket.socket, number: int) -> None:
        while True:
            server.asked(connection)
            connection.sendall(HEAD + b"hi")

    with raw(script) as server:
        store = drive.open(endpoint=server.endpoint)
        for _ in range(3):
            drive(store.get("a"))
        assert server.connections == 3


# --- many ---------------------------------------------------------------------------------------------------------------


MANY = [Put(f"a/{n}", b"1", Create()) for n in range(20)]


def test_many_are_asked_before_any_is_answered(drive: Any) -> None:
    """Who waited for one after the other would wait for ever: the server says nothing before all have asked."""
    all_have = threading.Barrier(len(MANY))

    def script(server: Raw, connection: socket.socket, number: int) -> None:
        server.asked(connection)
        with contextlib.suppress(threading.BrokenBarrierError):
            all_have.wait(30)

    with raw(script) as server:
        store = drive.open(endpoint=server.endpoint, read_seconds=60.0)
        outcomes = drive(store.many(MANY))
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * len(MANY)
        assert not all_have.broken
        assert server.requests == len(MANY)  # each once


def test_many_give_up_on_a_server_that_says_nothing(drive: Any) -> None:
    over, asked = threading.Event(), threading.Semaphore(0)

    def script(server: Raw, connection: socket.socket, number: int) -> None:
        server.asked(connection)
        asked.release()
        over.wait(100)

    with raw(script) as server:
        store = drive.open(endpoint=server.endpoint, read_seconds=0.3)
        outcomes = drive(store.many(MANY))
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * len(MANY)
        assert all(asked.acquire(timeout=60) for _ in MANY)
        over.set()
        assert server.requests == len(MANY)  # each once


def test_many_of_every_size_go_on_beside_each_other(drive: Any, stub: Stub) -> None:
    big = b"x" * (3 << 20)
    stub.answer = lambda asked: STORED if asked.method == "PUT" else Reply(200, big, STORED.headers)
    store = drive.open(endpoint=stub.endpoint)
    puts = [Put(f"a/{n}", big if n % 2 else b"small", Overwrite()) for n in range(6)]
    assert all(isinstance(outcome, Stored) for outcome in drive(store.many(puts)))
    assert sorted(len(asked.body) for asked in stub.asked) == [5, 5, 5, len(big), len(big), len(big)]
    gets = drive(store.many([Get(f"a/{n}") for n in range(6)]))
    assert all(isinstance(got, Got) and got.body == big for got in gets)


def test_a_body_that_is_refused_before_it_is_sent(drive: Any) -> None:
    """What the server said is told, not that it hung up."""
    words = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    told = b"HTTP/1.1 403 no\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(words) + words

    def script(server: Raw, connection: socket.socket, number: int) -> None:
        server.asked(connection)
        connection.sendall(told)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with raw(script) as server:
        store = drive.open(endpoint=server.endpoint)
        with pytest.raises(StoreForbidden, match="AccessDenied"):
            drive(store.put("a", b"x" * (8 << 20), Create()))
        outcomes = drive(store.many([Put(f"a/{n}", b"x" * (8 << 20), Create()) for n in range(2)]))
        assert [type(outcome) for outcome in outcomes] == [StoreForbidden] * 2


def test_a_cancelled_call_leaves_no_answer_behind() -> None:
    asked, cancelled, told = threading.Event(), threading.Event(), threading.Event()

    def script(server: Raw, connection: socket.socket, number: int) -> None:
        while True:
            server.asked(connection)
            if number == 1:
                asked.set()
                cancelled.wait(60)
            with contextlib.suppress(OSError):  # it may have hung up
                connection.sendall(HEAD + (b"no" if number == 1 else b"ok"))
            told.set()

    async def main(server: Raw) -> bytes:
        store = AioFastStore(S3Options(bucket="bucket", endpoint=server.endpoint))
        first = asyncio.create_task(store.get("first"))
        assert await asyncio.to_thread(asked.wait, 60)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        cancelled.set()
        assert await asyncio.to_thread(told.wait, 60)
        body: bytes = (await store.get("second")).body  # type: ignore[union-attr]
        await store.close()
        return body

    with raw(script) as server:
        assert asyncio.run(main(server)) == b"ok"


# --- regions and credentials ----------------------------------------------------------------------------------------------


def test_a_bucket_in_another_region_is_found(drive: Any, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """As botocore finds it: the refusal names the region, and nothing was done."""

    def plan_for(options: S3Options, *, region: str = "") -> Any:
        plan = make_plan(options, region=region)
        plan.aws = True
        return plan

    monkeypatch.setattr(s3_fast, "make_plan", plan_for)
    monkeypatch.setattr(s3_fast_aio, "make_plan", plan_for)

    def answer(asked: Asked) -> Reply:
        if "/eu-central-1/s3/" in asked.headers["authorization"]:
            return STORED
        told = refusal(301, "PermanentRedirect")
        return told._replace(headers={**told.headers, "x-amz-bucket-region": "eu-central-1"})

    stub.answer = answer
    store = drive.open(endpoint=stub.endpoint)
    for _ in range(2):
        assert drive(store.put("a", b"1", Create())).etag == "e1"
    assert len(stub.asked) == 3
    stub.answer = lambda asked: refusal(301, "PermanentRedirect")
    with pytest.raises(BadConfig, match="PermanentRedirect"):
        drive(store.get("a"))


def test_credentials_are_refreshed_and_the_token_sent(drive: Any, stub: Stub) -> None:
    class Rolling:
        """Like botocore's credentials of a role."""

        def __init__(self) -> None:
            self.token = 0
            self.threads: set[str] = set()

        def refresh_needed(self) -> bool:
            return True

        def get_frozen_credentials(self) -> Any:
            self.threads.add(threading.current_thread().name)
            self.token += 1
            return type("Frozen", (), {"access_key": "k", "secret_key": "s", "token": f"t{self.token}"})

    plan = make_plan(S3Options(bucket="bucket", region="eu-west-1", endpoint=stub.endpoint))
    rolling = plan._credentials = Rolling()
    store = drive.open(plan, endpoint=stub.endpoint)
    for _ in range(2):
        drive(store.put("a", b"1", Create()))
    tokens = [asked.headers["x-amz-security-token"] for asked in stub.asked]
    assert len(set(tokens)) == 2
    assert all("x-amz-security-token" in asked.headers["authorization"] for asked in stub.asked)
    assert drive.blocking or any("asyncio" in name for name in rolling.threads)  # the loop is not held up


@pytest.mark.parametrize(
    ("query", "kind", "key"),
    [
        ({"kms_key": "alias/swamp", "sse": "aws:kms"}, "aws:kms", "alias/swamp"),
        ({"kms_key": "k", "sse": "aws:kms:dsse"}, "aws:kms:dsse", "k"),
        ({"sse": "AES256"}, "AES256", None),
    ],
)
@pytest.mark.parametrize("body", [b"body", Blocks(17 << 20)], ids=["whole", "in parts"])
def test_encryption_and_a_hash_go_with_every_object(
    drive: Any, stub: Stub, query: dict[str, str], kind: str, key: str | None, body: Any
) -> None:
    """The first request of a body is told how to keep it; the signature covers a hash of what is sent."""
    stub.answer = lambda asked: refusal(503, "SlowDown")
    store = drive.open(endpoint=stub.endpoint, **query)
    with pytest.raises(StoreUnavailable):
        drive(store.put("a", body, Overwrite()))
    (asked,) = stub.asked
    assert asked.headers["x-amz-server-side-encryption"] == kind
    assert asked.headers.get("x-amz-server-side-encryption-aws-kms-key-id") == key
    assert asked.headers["x-amz-content-sha256"] == hashlib.sha256(asked.body).hexdigest()
    for name in ("x-amz-content-sha256", "x-amz-server-side-encryption"):
        assert name in asked.headers["authorization"]


def test_line_breaks_cannot_make_headers(drive: Any, stub: Stub) -> None:
    from swampstore.errors import Misuse

    store = drive.open(endpoint=stub.endpoint, kms_key="k\r\nx-evil: 1", sse="aws:kms")
    with pytest.raises(Misuse, match="line break"):
        drive(store.put("a", b"1", Create()))
    assert stub.asked == []
