"""A store in an S3 bucket, for asyncio programs, over aiobotocore.

Invariants:
- One call is one request: the retries of the client library are off, and so is the silent resending of a request whose
  kept-alive connection turned out to be dead (it would meet its own conditional write).
- A store belongs to the event loop and the process it was first used in.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any

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


class AioBotoStore:
    """See :class:`swampstore.stores.base.Store`. For the tasks of one event loop; the client is made on first use.

    A create or replace takes a streamed body of at most 16 MB; larger ones go up in parts, with ``Overwrite()`` only.
    """

    def __init__(self, options: S3Options) -> None:
        self._calls = S3Calls(options)
        self._process = os.getpid()
        self._open = AsyncExitStack()
        self._client_made: Any = None
        self._making = asyncio.Lock()
        self._side_by_side = asyncio.Semaphore(SIDE_BY_SIDE)
        self._closed = False

    @property
    def url(self) -> str:
        return self._calls.options.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        """A span that begins past the end costs a second request: the first answer has no ETag."""
        if is_empty(span):
            return await self._empty(name, if_none_match)
        args = self._calls.get(name, span, if_none_match)
        async with self._client(name) as client:
            try:
                response = await client.get_object(**args)
                async with response["Body"] as stream:
                    body = await stream.read()
                self._calls.check(name, response, body)
                return self._calls.got(response, body, span)
            except client.exceptions.ClientError as error:
                if error_status(error) == 304:
                    return NotModified(server_time(error.response))
                if error_status(error) != 416:
                    raise
        return await self._empty(name, if_none_match)

    async def _empty(self, name: str, if_none_match: str | None) -> Got | NotModified:
        async with self._client(name) as client:
            return self._calls.empty(await client.head_object(**self._calls.head(name)), if_none_match)

    async def put(self, name: str, body: Body, when: When) -> Stored:
        if not isinstance(body, bytes) and is_large(body):
            return await self._put_parts(name, body, when)
        args = self._calls.put(name, body, when)
        async with self._client(name, when) as client:
            return self._calls.stored(await client.put_object(**args))

    async def _put_parts(self, name: str, body: Source, when: When) -> Stored:
        args = self._calls.upload(name, when)
        async with self._client(name, when) as client:
            upload = await client.create_multipart_upload(**args)
            place = self._calls.place(name) | {"UploadId": upload["UploadId"]}
            try:
                parts: list[Args] = []
                for number, chunk in enumerate(read_chunks(body, part_bytes(body.size)), 1):
                    sent = await client.upload_part(**place, PartNumber=number, Body=chunk)
                    parts.append({"PartNumber": number, "ETag": sent["ETag"]})
                done = await client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
                if not done.get("ETag"):  # Ceph leaves it empty
                    done = await client.head_object(**self._calls.head(name))
                return self._calls.stored(done)
            except BaseException as error:
                await self._abort(client, place, error)
                raise

    async def _abort(self, client: Any, place: Args, cause: BaseException) -> None:
        try:
            await client.abort_multipart_upload(**place)
        except _faults() as error:
            cause.add_note(f"the upload {place['UploadId']} could not be aborted: {error}")

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        args = self._calls.list(prefix, start_after, limit)
        async with self._client(prefix or "a listing") as client:
            return self._calls.page(await client.list_objects_v2(**args))

    async def head(self, name: str) -> Headed:
        args = self._calls.head(name)
        async with self._client(name) as client:
            return self._calls.headed(name, await client.head_object(**args))

    async def delete(self, names: Sequence[str]) -> None:
        for args in self._calls.deletes(names):
            async with self._client(f"{len(names)} names") as client:
                refused = delete_refusal(await client.delete_objects(**args), self.url)
            if refused is not None:
                raise refused

    async def now(self) -> int:
        """Costs one request: HeadBucket, or below a prefix a listing of it, so that no request leaves the prefix."""
        try:
            async with self._client("the bucket") as client:
                if self._calls.options.prefix:
                    return self._calls.page(await client.list_objects_v2(**self._calls.list("", "", 1))).time
                return server_time(await client.head_bucket(Bucket=self._calls.options.bucket))
        except NotFound as error:
            raise missing_bucket(self.url) from error

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        if len(requests) < 2:
            return [await outcome(self, request) for request in requests]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._in_turn(request)) for request in requests]
        return [task.result() for task in tasks]

    async def _in_turn(self, request: Request) -> Outcome:
        async with self._side_by_side:
            return await outcome(self, request)

    async def close(self) -> None:
        """Ends the connections. Calling it twice is no error; any other call afterwards is ``Misuse``."""
        self._closed = True
        if self._process == os.getpid():
            self._client_made = None
            await self._open.aclose()

    @asynccontextmanager
    async def _client(self, name: str, when: When | None = None) -> AsyncIterator[Any]:
        """The client, with its exceptions turned into typed errors."""
        if self._closed:
            raise Misuse(f"the store {self.url} is closed")
        if self._process != os.getpid():
            raise Misuse("this store was opened before a fork", hint="open it again in the child process")
        try:
            if self._client_made is None:
                async with self._making:
                    if self._client_made is None:
                        self._client_made = await self._make_client()
            yield self._client_made
        except _faults() as error:
            raise translate(error, what=f"{name} in {self.url}", when=when) from error

    async def _make_client(self) -> Any:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession

        options = self._calls.options
        config = AioConfig(**config_args(options), http_session_cls=_one_attempt_session())
        try:
            made = AioSession(profile=options.profile).create_client(**client_args(options), config=config)
            client = await self._open.enter_async_context(made)
        except ValueError as error:
            raise translate(error, what=options.url) from error
        send_bodies_at_once(client)
        read_pages_ourselves(client)
        return client


@cache
def _faults() -> tuple[type[BaseException], ...]:
    from aiohttp import ClientError

    return (*client_faults(), ClientError)


@cache
def _one_attempt_session() -> type[Any]:
    """An HTTP session that leaves a request on a dead kept-alive connection failed instead of sending it again."""
    from aiobotocore.httpsession import AIOHTTPSession

    class OneAttemptSession(AIOHTTPSession):  # type: ignore[misc, unused-ignore]
        async def _get_session(self, proxy_url: str | None) -> Any:
            session = await super()._get_session(proxy_url)
            session._retry_connection = False  # aiohttp has no public switch
            return session

    return OneAttemptSession
