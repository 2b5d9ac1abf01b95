"""An answer that breaks off anywhere, within its head too, says nothing: never half a value, never another error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest

from swampstore.env.aio import AioEnv
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import StoreUnavailable
from swampstore.stores.base import Create, Got, Headed, Page, Replace, Stored
from swampstore.stores.open import open_store
from tests.proxy.proxy import InThread, fault_proxy
from tests.proxy.weather import Fault, Scripted
from tests.stores.stub_s3 import Asked, Reply, stub_server

BODY = b"0123456789" * 20
ETAG = "9b2cf535f27731c974343645a3985328"
PAGE = (
    "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>200</Size>"
    f'<ETag>"{ETAG}"</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>'
)
DELETED = b"<DeleteResult><Error><Key>a</Key><Code>InternalError</Code></Error></DeleteResult>"
WORKS: dict[str, Callable[[Any], Any]] = {
    "create": lambda store: store.put("a", BODY, Create()),
    "replace": lambda store: store.put("a", BODY, Replace("e")),
    "get": lambda store: store.get("a"),
    "span": lambda store: store.get("a", span=(0, 1000)),
    "head": lambda store: store.head("a"),
    "list": lambda store: store.list(""),
    "delete": lambda store: store.delete(["a"]),
    "now": lambda store: store.now(),
}
STEP = 9


def answered(asked: Asked) -> Reply:
    """As S3 answers, in the order of headers that is worst for a reader: the length last."""
    headers = {"ETag": f'"{ETAG}"', "Last-Modified": formatdate(usegmt=True)}
    if asked.method == "PUT":
        return Reply(200, b"", headers)
    if asked.method == "POST":
        return Reply(200, DELETED, {"Content-Type": "application/xml"})
    if "list-type" in asked.path:
        return Reply(200, PAGE.encode(), {"Content-Type": "application/xml"})
    return Reply(200, BODY, headers)


@pytest.fixture(scope="module")
def running() -> Iterator[InThread]:
    with stub_server(answered) as stub, fault_proxy(stub.endpoint, Scripted({})) as proxy:
        yield proxy


def right(found: Any) -> bool:
    """Whether an answer is the whole truth."""
    if isinstance(found, Got):
        return (found.body, found.etag) == (BODY, ETAG)
    if isinstance(found, Stored):
        return found.etag == ETAG
    if isinstance(found, Headed):
        return (found.info.etag, found.info.size) == (ETAG, len(BODY))
    if isinstance(found, Page):
        return [(item.name, item.size, item.etag) for item in found.items] == [("a", 200, ETAG)]
    return isinstance(found, int)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("driver", ["fast", "botocore"])
def test_cut_anywhere(running: InThread, driver: str, asynchronous: bool) -> None:
    with asyncio.Runner() as runner:
        finish, env = (runner.run, AioEnv()) if asynchronous else (run, BlockingEnv())
        url = f"s3://bucket?endpoint={running.proxy.endpoint}&region=us-east-1"
        store = open_store(url, env=env, asynchronous=asynchronous, driver=driver)
        for name, work in WORKS.items():
            refused = 0
            for percent in range(0, 100, STEP):
                running.proxy.weather = Scripted({"": [Fault("cut-answer", part=percent / 100)]})
                try:
                    found = finish(work(store))
                except StoreUnavailable:
                    refused += 1
                else:
                    assert right(found), (name, percent, found)
            assert refused >= 100 // STEP - (name in ("head", "now")), name
        finish(store.close())
