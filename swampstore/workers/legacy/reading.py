"""Reading contents of the source: small objects side by side, large ones in pieces of one version; hashing them.

Invariant: an object that is gone is dangling and one that may not be read is damaged, and the import goes on; when the
store cannot answer, it stops.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec

from swampstore.errors import NotFound, StoreForbidden, SwampError
from swampstore.limits import MIB, PART_BYTES
from swampstore.stores.base import Get, Got, Outcome, Store
from swampstore.values.batches import batches
from swampstore.workers.legacy.locating import Located
from swampstore.workers.legacy.report import ImportReport

_GROUP = 256
_GROUP_BYTES = 32 * MIB


class Rewritten(Exception):
    """An object changed while its pieces were read."""


def groups(items: Iterable[Located]) -> Iterable[list[Located]]:
    """Groups whose contents fit into memory together; what is too large for that comes alone."""
    return batches(items, lambda item: item.size, _GROUP_BYTES, _GROUP)


def is_large(group: Sequence[Located]) -> bool:
    """Whether ``group`` is one object that is to be read in pieces."""
    return len(group) == 1 and group[0].size > PART_BYTES


async def read_group(source: Store, group: Sequence[Located], report: ImportReport) -> list[tuple[Located, bytes]]:
    """Those of ``group`` that can be read, with their contents; the others are reported."""
    read: list[tuple[Located, bytes]] = []
    answers = await source.many([Get(item.name) for item in group])
    for item, answer in zip(group, answers, strict=True):
        if isinstance(answer, Got):
            read.append((item, answer.body))
        else:
            _failed(item, answer, report)
    return read


async def read_pieces(source: Store, item: Located) -> AsyncIterator[bytes]:
    """The contents of a large object in order. Raises ``Rewritten``, and what the store raises."""
    etag = None
    for offset in range(0, item.size, PART_BYTES):
        got = await source.get(item.name, span=(offset, min(PART_BYTES, item.size - offset)))
        if not isinstance(got, Got) or got.size != item.size or got.etag != (etag or got.etag):
            raise Rewritten
        etag = got.etag
        yield got.body


async def digest_large(
    source: Store, item: Located, report: ImportReport, take: Callable[[bytes], object] = len
) -> bytes | None:
    """The sha256 of a large object, each piece handed to ``take`` on the way; ``None`` when it was reported."""
    digest = hashlib.sha256()
    try:
        async for piece in read_pieces(source, item):
            digest.update(piece)
            take(piece)
    except Rewritten:
        report.damage(item.key, "it was rewritten while it was read")
    except SwampError as error:
        _failed(item, error, report)
    else:
        return digest.digest()
    return None


def is_right(item: Located, size: int, digest: bytes, report: ImportReport) -> bool:
    """Whether contents of ``size`` and ``digest`` are those of the index; if not, ``item`` is reported."""
    if size != item.size:
        report.damage(item.key, f"{size} bytes, the index says {item.size}")
    elif item.sha256 not in (None, digest):
        report.damage(item.key, "the contents do not match the sha256 of the index")
    else:
        return True
    return False


async def hashed(
    source: Store, items: Sequence[Located], report: ImportReport, progress: Callable[[int], None]
) -> dict[str, Located]:
    """Those of ``items`` that are right, by key, with the hash of what was read; the others are reported."""
    right: dict[str, Located] = {}
    done = 0
    for group in groups(items):
        for item, size, digest in await _digests(source, group, report):
            if is_right(item, size, digest, report):
                report.hashes_checked += item.sha256 is not None
                report.hashed += item.sha256 is None
                right[item.key] = msgspec.structs.replace(item, sha256=digest)
        done += len(group)
        progress(done)
    return right


async def _digests(source: Store, group: Sequence[Located], report: ImportReport) -> list[tuple[Located, int, bytes]]:
    if is_large(group):
        digest = await digest_large(source, group[0], report)
        return [(group[0], group[0].size, digest)] if digest else []
    read = await read_group(source, group, report)
    return [(item, len(body), hashlib.sha256(body).digest()) for item, body in read]


def _failed(item: Located, answer: Outcome, report: ImportReport) -> None:
    """Report ``item``, or raise when it is not its fault."""
    if isinstance(answer, NotFound):
        report.dangle(item.key)
    elif isinstance(answer, StoreForbidden):
        report.damage(item.key, str(answer))
    else:
        assert isinstance(answer, SwampError)
        raise answer
