"""The six verbs every store has, their requests and their answers.

A store is a flat map from names to immutable-looking bytes with two conditional writes. Everything above it is written
against this page alone, so a store can be memory, a directory, a bucket, or a wrapper that counts, delays or fails.

Invariants:
- ``put`` with ``Create()`` succeeds for at most one caller per name while the object exists.
- ``put`` with ``Replace(etag)`` succeeds only if the object exists and its ETag is still ``etag``; a missing object is
  ``NotFound``, never a silent create.
- ETags are opaque, without quotes, and two successive contents of one name never share one.
- ``list`` answers names in UTF-8 byte order; an object whose creation was acknowledged before the call began and that
  is not deleted is in the answer (strong consistency), but a listing of many pages is not a cut.
- Every answer carries ``time``: the store's own clock in milliseconds since the epoch.
- A store never retries and never answers from a cache: one call is one request (``many`` is one request per part).

Errors: ``NotFound``, ``AlreadyExists``, ``StaleWrite``, ``StoreUnavailable`` (nothing is known of the outcome of a
write), ``Throttled``, ``Busy`` (409: a conditional write lost a race that is not settled: try again),
``StoreMissing``, ``StoreForbidden``, ``StoreFull``.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from swampstore.errors import StoreUnavailable, SwampError


class Busy(StoreUnavailable):
    """The store answered 409: the conditional write met another in flight; nothing is settled, the same may succeed."""

    code = "busy"


# --- preconditions: part of the type, so that no call can forget them ------------------------------------------------


class Create(msgspec.Struct, frozen=True):
    """Write only if no object has this name."""


class Replace(msgspec.Struct, frozen=True):
    """Write only if the object exists and has this ETag (no quotes)."""

    etag: str


class Overwrite(msgspec.Struct, frozen=True):
    """Write whatever is there. Only for names that are unique per attempt, and heartbeats."""


When: TypeAlias = Create | Replace | Overwrite


class Source(Protocol):
    """Contents too large to hold in memory: a size and a way to read them again from the start."""

    @property
    def size(self) -> int: ...

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """Yield the contents in order in pieces of ``chunk_bytes`` (the last may be shorter)."""
        ...


Body: TypeAlias = bytes | Source


# --- requests, so that many of them can be handed over at once -------------------------------------------------------


class Get(msgspec.Struct, frozen=True):
    """Read an object, or ``span = (offset, length)`` of it; ``NotModified`` if its ETag is ``if_none_match``."""

    name: str
    span: tuple[int, int] | None = None
    if_none_match: str | None = None


class Put(msgspec.Struct, frozen=True):
    """Write an object. A ``Source`` body needs ``Overwrite()``."""

    name: str
    body: Body
    when: When


class List(msgspec.Struct, frozen=True):
    """One page of names that start with ``prefix`` and sort after ``start_after``."""

    prefix: str
    start_after: str = ""
    limit: int = 1000


class Head(msgspec.Struct, frozen=True):
    """What is known of an object without its contents."""

    name: str


Request: TypeAlias = Get | Put | List | Head


# --- answers ---------------------------------------------------------------------------------------------------------


class Info(msgspec.Struct, frozen=True):
    """One object in a listing or a head. ``modified`` is the store's time of its last write, in ms."""

    name: str
    size: int
    etag: str
    modified: int


class Got(msgspec.Struct, frozen=True):
    """Contents (all, or the span asked for). ``size`` is that of the whole object."""

    body: bytes
    etag: str
    size: int
    modified: int
    time: int


class NotModified(msgspec.Struct, frozen=True):
    time: int


class Stored(msgspec.Struct, frozen=True):
    etag: str
    time: int


class Page(msgspec.Struct, frozen=True):
    """``more`` says that names after the last item remain."""

    items: tuple[Info, ...]
    more: bool
    time: int


class Headed(msgspec.Struct, frozen=True):
    info: Info
    time: int


Answer: TypeAlias = Got | NotModified | Stored | Page | Headed
Outcome: TypeAlias = Answer | SwampError


class Store(Protocol):
    """Where objects live. Every store also has ``url`` (without credentials) and ``close()``."""

    @property
    def url(self) -> str: ...

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        """Contents of ``name``. A span past the end is cut short; one that starts at or past the end is empty."""
        ...

    async def put(self, name: str, body: Body, when: When) -> Stored: ...

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page: ...

    async def head(self, name: str) -> Headed: ...

    async def delete(self, names: Sequence[str]) -> None:
        """Delete all of them; a name that is not there is no error. Split into requests of 1,000."""
        ...

    async def now(self) -> int:
        """The store's own clock, in ms since the epoch (may cost one request)."""
        ...

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Carry out all requests side by side; the answer or the error of each, in order. Never raises for one."""
        ...

    async def close(self) -> None: ...


def perform(store: Store, request: Request) -> Coroutine[Any, Any, Answer]:
    """Carry out one request object through the verb it stands for."""
    if isinstance(request, Get):
        return store.get(request.name, span=request.span, if_none_match=request.if_none_match)
    if isinstance(request, Put):
        return store.put(request.name, request.body, request.when)
    if isinstance(request, List):
        return store.list(request.prefix, start_after=request.start_after, limit=request.limit)
    return store.head(request.name)


def answered(answer: Outcome) -> Answer:
    """``answer``; an error is raised.

    A frame that raises an error and still has it by name is held by the error's traceback, and the other way round: with
    everything that the frames above know (roots, segments), until the cyclic collector comes by. Hence the ``del``; who
    calls this does well not to keep the answer either.
    """
    try:
        if isinstance(answer, SwampError):
            raise answer
        return answer
    finally:
        del answer


async def outcome(store: Store, request: Request) -> Outcome:
    """Like :func:`perform`, with an error of this library as the answer instead of raised."""
    try:
        return await perform(store, request)
    except SwampError as error:
        return error
