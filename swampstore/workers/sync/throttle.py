"""A limit on how fast bytes move, both ways: a token bucket in front of the store, on the environment's clock.

Invariants:
- Over any span of time no more bytes begin to move than the rate allows, plus one request's: up to 8 MB for a pack of
  small files that goes up. What is read comes in pieces of half a second's worth, large files go up part by part.
- Requests for the log and the root pay too, but are never cut.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from swampstore.env.base import Env
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import BadConfig
from swampstore.limits import KIB, MIB, PART_BYTES
from swampstore.protocols.place import Place
from swampstore.stores.base import (
    Body,
    Get,
    Got,
    Head,
    Headed,
    List,
    NotModified,
    Outcome,
    Page,
    Put,
    Request,
    Source,
    Store,
    Stored,
    When,
    outcome,
)

_GRAIN_S = 0.5
_LEAST_BYTES = 64 * KIB
_UNITS = {"": 1, "K": KIB, "M": MIB, "G": 1024 * MIB}


def parse_rate(text: str) -> int:
    """Bytes per second of ``5M``, ``800K``, ``1.5G`` or ``20000``. Raises ``BadConfig``."""
    unit = text[-1:].upper() if text[-1:].isalpha() else ""
    number = text[: len(text) - len(unit)]
    try:
        rate = float(number) * _UNITS[unit]
    except (ValueError, KeyError):
        rate = 0.0
    if not 1 <= rate < 2**50:
        raise BadConfig(f"--limit-rate {text!r} is no rate", hint="bytes per second: 800K, 5M or 1.5G")
    return int(rate)


class Bucket:
    """Who has spent more than came in waits until it has come. Safe to share between threads."""

    def __init__(self, env: Env, rate: int) -> None:
        self._env = env
        self._rate = rate
        self._lock = threading.Lock()
        self._left = 0.0
        self._at = env.boot()

    async def ready(self) -> None:
        """Wait until nothing is owed."""
        while (pause := self._owed()) > 0:
            await self._env.sleep(pause)

    def spend(self, count: int) -> None:
        """Take note of ``count`` bytes that have moved."""
        with self._lock:
            self._refill()
            self._left -= count

    def _owed(self) -> float:
        with self._lock:
            self._refill()
            return -self._left / self._rate

    def _refill(self) -> None:
        now = self._env.boot()
        self._left = min(self._left + (now - self._at) * self._rate, self._rate * _GRAIN_S)
        self._at = now


class _Paced:
    """A source whose pieces are paid for as they are read."""

    def __init__(self, source: Source, bucket: Bucket) -> None:
        self._source = source
        self._bucket = bucket
        self.size = source.size

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        for chunk in self._source.chunks(chunk_bytes):
            run(self._bucket.ready())
            self._bucket.spend(len(chunk))
            yield chunk


class Limited:
    """A store whose bytes go through a bucket. See :class:`swampstore.stores.base.Store`."""

    def __init__(self, inner: Store, env: Env, rate: int) -> None:
        self._inner = inner
        self._bucket = Bucket(env, rate)
        self._grain = min(max(int(rate * _GRAIN_S), _LEAST_BYTES), PART_BYTES)
        self._blocking = isinstance(env, BlockingEnv)

    @property
    def url(self) -> str:
        return self._inner.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        if span is None or span[1] <= self._grain or if_none_match is not None:
            return await self._get(name, span, if_none_match)
        parts: list[bytes] = []
        offset, end = span[0], span[0] + span[1]
        while True:
            got = await self._get(name, (offset, min(self._grain, end - offset)), None)
            assert isinstance(got, Got)
            parts.append(got.body)
            offset += len(got.body)
            if offset >= min(end, got.size) or not got.body:
                return msgspec.structs.replace(got, body=b"".join(parts))

    async def _get(self, name: str, span: tuple[int, int] | None, if_none_match: str | None) -> Got | NotModified:
        await self._bucket.ready()
        got = await self._inner.get(name, span=span, if_none_match=if_none_match)
        self._bucket.spend(len(got.body) if isinstance(got, Got) else 0)
        return got

    async def put(self, name: str, body: Body, when: When) -> Stored:
        await self._bucket.ready()
        if not isinstance(body, bytes) and self._blocking:
            return await self._inner.put(name, _Paced(body, self._bucket), when)
        stored = await self._inner.put(name, body, when)
        self._bucket.spend(_weight(Put(name, body, when)))
        return stored

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Small requests go side by side, up to half a second's worth at once; large ones alone."""
        found: list[Outcome] = []
        group: list[Request] = []
        weight = 0
        for request in requests:
            if group and weight + _weight(request) > self._grain:
                found += await self._group(group)
                group, weight = [], 0
            group.append(request)
            weight += _weight(request)
        if group:
            found += await self._group(group)
        return found

    async def _group(self, group: Sequence[Request]) -> Sequence[Outcome]:
        if len(group) == 1:
            return [await outcome(self, group[0])]
        await self._bucket.ready()
        answers = await self._inner.many(group)
        for request, answer in zip(group, answers, strict=True):
            came = len(answer.body) if isinstance(answer, Got) else 0
            self._bucket.spend(came if isinstance(request, Get) else _weight(request))
        return answers

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        return await self._inner.list(prefix, start_after=start_after, limit=limit)

    async def head(self, name: str) -> Headed:
        return await self._inner.head(name)

    async def delete(self, names: Sequence[str]) -> None:
        await self._inner.delete(names)

    async def now(self) -> int:
        return await self._inner.now()

    async def close(self) -> None:
        await self._inner.close()


def _weight(request: Request) -> int:
    """The bytes that a request moves, as far as it says so; contents without a span are small ones."""
    match request:
        case Put(_, body):
            return len(body) if isinstance(body, bytes) else body.size
        case Get(_, span):
            return span[1] if span is not None else KIB
        case List() | Head():
            return 0


@contextmanager
def limited(place: Place, rate: int) -> Iterator[None]:
    """Let everything of ``place`` go through a bucket of ``rate`` bytes per second (0: no limit) until left."""
    inner = place.store
    if rate:
        place.store = Limited(inner, place.env, rate)
    try:
        yield
    finally:
        place.store = inner
