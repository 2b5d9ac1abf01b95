"""Copying legacy contents into the target: small ones side by side into packs, large ones through a temporary file."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

from swampstore.errors import NotFound, SwampError
from swampstore.limits import MIB, PART_BYTES
from swampstore.stores.base import Get, Got, Store
from swampstore.values.deltas import Delta, Put
from swampstore.workers.legacy.locating import Located, by_size
from swampstore.workers.target import Target

if TYPE_CHECKING:
    from swampstore.workers.legacy.importer import ImportReport

_GROUP_BYTES = 32 * MIB
_GROUP = 500
_EXAMPLES = 100


class _Spooled:
    """A temporary file as a source of contents."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.size = size

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        self._file.seek(0)
        while chunk := self._file.read(chunk_bytes):
            yield chunk


class Copier:
    """Copies located contents; what does not match its size or hash is reported and not appended."""

    def __init__(self, target: Target, source: Store, report: ImportReport) -> None:
        self._target = target
        self._source = source
        self._report = report

    async def copy(self, items: Sequence[Located], progress: Callable[[int], None]) -> None:
        """Copy ``items`` and append their entries, a group at a time."""
        done = 0
        for group in by_size(items, _GROUP_BYTES, _GROUP):
            if len(group) == 1 and group[0].size > PART_BYTES:
                await self._copy_large(group[0])
            else:
                await self._copy_small(group)
            done += len(group)
            progress(done)

    async def _copy_small(self, group: Sequence[Located]) -> None:
        deltas: list[Delta] = []
        answers = await self._source.many([Get(item.name) for item in group])
        for item, answer in zip(group, answers, strict=True):
            if isinstance(answer, SwampError) and not isinstance(answer, NotFound):
                raise answer
            body = answer.body if isinstance(answer, Got) else b""
            if isinstance(answer, Got) and self._right(item, len(body), hashlib.sha256(body).digest()):
                deltas.append(Put(key=item.key, data=body, modified=item.modified))
            elif isinstance(answer, NotFound):
                self._damaged(item, "the object is gone")
        if deltas:
            await self._target.append(deltas)
            self._count(deltas, group)

    async def _copy_large(self, item: Located) -> None:
        digest, read = hashlib.sha256(), 0
        with tempfile.TemporaryFile() as file:
            for offset in range(0, item.size, PART_BYTES):
                got = await self._source.get(item.name, span=(offset, min(PART_BYTES, item.size - offset)))
                assert isinstance(got, Got)
                digest.update(got.body)
                read += len(got.body)
                file.write(got.body)
            if self._right(item, read, digest.digest()):
                put = Put(key=item.key, data=_Spooled(file, read), modified=item.modified)
                await self._target.append([put])
                self._count([put], [item])

    def _right(self, item: Located, size: int, digest: bytes) -> bool:
        if size != item.size:
            self._damaged(item, f"{size} bytes, the index says {item.size}")
        elif item.sha256 is not None and digest != item.sha256:
            self._damaged(item, "the contents do not match the sha256 of the index")
        else:
            return True
        return False

    def _count(self, deltas: Sequence[Delta], group: Sequence[Located]) -> None:
        copied = {delta.key for delta in deltas}
        size = sum(item.size for item in group if item.key in copied)
        self._report.imported += len(deltas)
        self._report.bytes += size
        self._report.copied_bytes += size

    def _damaged(self, item: Located, why: str) -> None:
        self._report.damaged += 1
        if len(self._report.damaged_examples) < _EXAMPLES:
            self._report.damaged_examples.append(f"{item.key}: {why}")
