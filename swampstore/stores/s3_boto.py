"""A store in an S3 bucket, for blocking programs: no call ever suspends.

Over botocore, the client inside boto3 (the same client, sessions and configuration; boto3 itself would only add
start-up time).

Invariants:
- One call is one request: the client's own retries are off.
- A forked child shares no connection and no thread with its parent: it begins with its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from swampstore.env.blocking import run
from swampstore.errors import Misuse, NotFound
from swampstore.stores.base import (
    Body,
    Got,
    Headed,
    NotModified,
    Outcome,
    Page,
    Request,
    Source,
    Stored,
    When,
    outcome,
)
from swampstore.stores.names import read_chunks
from swampstore.stores.s3 import (
    SIDE_BY_SIDE,
    Args,
    S3Calls,
    client_args,
    config_args,
    is_empty,
    is_large,
    part_bytes,
    read_pages_ourselves,
    send_bodies_at_once,
    server_time,
)
from swampstore.stores.s3_faults import client_faults, delete_refusal, error_status, missing_bucket, translate
from swampstore.stores.s3_options import S3Options
from swampstore.stores.s3_whole import refuse_broken_heads


class _Live:
    """What one process holds open: a client and the threads for parallel calls."""

    def __init__(self, options: S3Options) -> None:
        self.process = os.getpid()
        self._options = options
        self._lock = threading.Lock()
        self._client: Any = None
        self._threads: ThreadPoolExecutor | None = None

    def client(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _make_client(self._options)
            return self._client

    def threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="swampstore-s3")
            return self._threads

    def close(self) -> None:
        with self._lock:
            client, threads, self._client, self._threads = self._client, self._threads, None, None
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)
        if client is not None:
            client.close()


class BotoStore:
    """See :class:`swampstore.stores.base.Store`. Safe to share between threads; the client is made on first use.

    Raises ``BadConfig`` or ``BadURL`` on first use for options the client refuses. A create or replace takes a
    streamed body of at most 16 MB; larger ones go up in parts, with ``Overwrite()`` only.
    """

    def __init__(self, options: S3Options) -> None:
        self._calls = S3Calls(options)
        self._live = _Live(options)
        self._closed = False

    @property
    def url(self) -> str:
        return self._calls.options.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        """A span that begins past the end costs a second request: the first answer has no ETag."""
        if is_empty(span):
            return self._empty(name, if_none_match)
        args = self._calls.get(name, span, if_none_match)
        with self._client(name) as client:
            try:
                response = client.get_object(**args)
                with response["Body"] as stream:
                    body = stream.read()
                self._calls.check(name, response, body)
                return self._calls.got(response, body, span)
            except client.exceptions.ClientError as error:
                if error_status(error) == 304:
                    return NotModified(server_time(error.response))
                if error_status(error) != 416:
                    raise
        return self._empty(name, if_none_match)

    def _empty(self, name: str, if_none_match: str | None) -> Got | NotModified:
        with self._client(name) as client:
            return self._calls.empty(client.head_object(**self._calls.head(name)), if_none_match)

    async def put(self, name: str, body: Body, when: When) -> Stored:
        if not isinstance(body, bytes) and is_large(body):
            return self._put_parts(name, body, when)
        args = self._calls.put(name, body, when)
        with self._client(name, when) as client:
            return self._calls.stored(client.put_object(**args))

    def _put_parts(self, name: str, body: Source, when: When) -> Stored:
        args = self._calls.upload(name, when)
        with self._client(name, when) as client:
            place = self._calls.place(name) | {"UploadId": client.create_multipart_upload(**args)["UploadId"]}
            try:
                parts: list[Args] = []
                for number, chunk in enumerate(read_chunks(body, part_bytes(body.size)), 1):
                    sent = client.upload_part(**place, PartNumber=number, Body=chunk)
                    parts.append({"PartNumber": number, "ETag": sent["ETag"]})
                done = client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
                if not done.get("ETag"):  # Ceph leaves it empty
                    done = client.head_object(**self._calls.head(name))
                return self._calls.stored(done)
            except BaseException as error:
                self._abort(client, place, error)
                raise

    def _abort(self, client: Any, place: Args, cause: BaseException) -> None:
        try:
            client.abort_multipart_upload(**place)
        except client_faults() as error:
            cause.add_note(f"the upload {place['UploadId']} could not be aborted: {error}")

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        args = self._calls.list(prefix, start_after, limit)
        with self._client(prefix or "a listing") as client:
            return self._calls.page(client.list_objects_v2(**args))

    async def head(self, name: str) -> Headed:
        args = self._calls.head(name)
        with self._client(name) as client:
            return self._calls.headed(name, client.head_object(**args))

    async def delete(self, names: Sequence[str]) -> None:
        for args in self._calls.deletes(names):
            with self._client(f"{len(names)} names") as client:
                refused = delete_refusal(client.delete_objects(**args), self.url)
            if refused is not None:
                raise refused

    async def now(self) -> int:
        """Costs one request: HeadBucket, or below a prefix a listing of it, so that no request leaves the prefix."""
        try:
            with self._client("the bucket") as client:
                if self._calls.options.prefix:
                    return self._calls.page(client.list_objects_v2(**self._calls.list("", "", 1))).time
                return server_time(client.head_bucket(Bucket=self._calls.options.bucket))
        except NotFound as error:
            raise missing_bucket(self.url) from error

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        if len(requests) < 2:
            return [await outcome(self, request) for request in requests]
        do: Callable[[Request], Outcome] = lambda request: run(outcome(self, request))  # noqa: E731
        self._mine().client()  # made once, before threads would wait for each other
        futures = [self._live.threads().submit(do, request) for request in requests]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    async def close(self) -> None:
        """Ends connections and threads. Calling it twice is no error; any other call afterwards is ``Misuse``."""
        self._closed = True
        if self._live.process == os.getpid():
            self._live.close()

    def _mine(self) -> _Live:
        if self._closed:
            raise Misuse(f"the store {self.url} is closed")
        if self._live.process != os.getpid():
            self._live = _Live(self._calls.options)
        return self._live

    @contextmanager
    def _client(self, name: str, when: When | None = None) -> Iterator[Any]:
        """The client, with its exceptions turned into typed errors."""
        live = self._mine()
        try:
            yield live.client()
        except client_faults() as error:
            raise translate(error, what=f"{name} in {self.url}", when=when) from error


def _make_client(options: S3Options) -> Any:
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session(profile=options.profile)
    try:
        client = session.create_client(**client_args(options), config=Config(**config_args(options)))
    except ValueError as error:
        raise translate(error, what=options.url) from error
    send_bodies_at_once(client)
    read_pages_ourselves(client)
    refuse_broken_heads(client)
    return client
