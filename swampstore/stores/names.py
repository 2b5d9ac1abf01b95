"""What a store accepts as a name, and how a body too large for memory is read; shared by every driver.

Invariants:
- A name that passes :func:`check_name` means the same object in every kind of store: no part can climb out of the
  root, and no two names that pass denote one file.
- :func:`read_chunks` yields exactly ``body.size`` bytes or raises ``Misuse``; a body that lies about its size is never stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from swampstore.errors import BadName, Misuse
from swampstore.stores.base import Body, Overwrite, Source, When

NAME_MAX_BYTES = 1024
COPY_CHUNK_BYTES = 1 << 20


@lru_cache(4096)
def check_name(name: str) -> str:
    """``name`` itself if it is ``/``-separated parts that every store can hold; raises ``BadName``."""
    if not name:
        raise BadName("an object name may not be empty")
    if "\0" in name:
        raise BadName(f"the object name {name!r} holds a NUL")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadName(f"the object name {name!r} is not valid UTF-8") from None
    if size > NAME_MAX_BYTES:
        raise BadName(f"the object name {name[:40]!r}... has {size} bytes; at most {NAME_MAX_BYTES} are possible")
    for part in name.split("/"):
        if part in ("", ".", ".."):
            raise BadName(
                f"the object name {name!r} has the part {part!r}",
                hint="names are parts joined by single '/', without '.', '..' or a '/' at either end",
            )
    return name


def check_prefix(prefix: str) -> str:
    """``prefix`` itself if some acceptable name could start with it and it cannot climb; raises ``BadName``."""
    if prefix:
        check_name(prefix + "x" if prefix.endswith("/") else prefix.rstrip(".") + "x")
    return prefix


def check_limit(limit: int) -> int:
    if limit < 1:
        raise Misuse(f"a page of a listing has at least one name, not {limit}")
    return limit


def check_span(span: tuple[int, int] | None) -> None:
    """Raises ``Misuse`` for a span that is not ``(offset >= 0, length >= 0)``."""
    if span is not None and (span[0] < 0 or span[1] < 0):
        raise Misuse(f"a span is (offset, length), both at least 0, not {span}")


def check_body(body: Body, when: When) -> None:
    """Raises ``Misuse`` unless ``body`` may be written under ``when`` in every store."""
    if not isinstance(body, bytes) and not isinstance(when, Overwrite):
        raise Misuse(
            "a streamed body needs Overwrite()",
            hint="write it under a name of its own first, then publish that name with a small conditional write",
        )


def read_chunks(body: Body, chunk_bytes: int = COPY_CHUNK_BYTES) -> Iterator[bytes]:
    """The body in pieces; raises ``Misuse`` if a streamed one has not the size it declared."""
    if isinstance(body, bytes):
        yield body
        return
    left = body.size
    chunks = body.chunks(chunk_bytes)
    while chunk := _next(chunks):
        left -= len(chunk)
        if left < 0:
            raise _size_lie(body)
        yield chunk
    if left:
        raise _size_lie(body)


def read_whole(body: Body) -> bytes:
    """The body as one ``bytes``."""
    return body if isinstance(body, bytes) else b"".join(read_chunks(body))


def _next(chunks: Iterator[bytes]) -> bytes:
    try:
        return next(chunks, b"")
    except OSError as error:  # of the file it is read from: no fault of the store
        raise Misuse(f"a streamed body could not be read: {error}", hint="check the file it is read from") from error


def _size_lie(body: Source) -> Misuse:
    return Misuse(
        f"a streamed body did not yield the {body.size} bytes it declared",
        hint="the contents changed while they were read: read their size again and write them again",
    )
