"""Copying legacy contents into the target: small ones side by side into packs, large ones through a temporary file.

Invariant: what does not match its size or hash is reported and not appended.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

import msgspec

from swampstore.stores.base import Store
from swampstore.values.data import METADATA
from swampstore.values.deltas import Delta, Put
from swampstore.workers.legacy.locating import Located
from swampstore.workers.legacy.reading import digest_large, groups, is_large, is_right, read_group
from swampstore.workers.legacy.report import ImportReport
from swampstore.workers.legacy.versions import Versions
from swampstore.workers.target import Progress, Target


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
    """Copies located contents into ``target`` and appends their entries."""

    def __init__(self, target: Target, source: Store, report: ImportReport, versions: Versions) -> None:
        self._target = target
        self._source = source
        self._report = report
        self._versions = versions

    async def copy(self, items: Sequence[Located], progress: Progress) -> list[Located]:
        """Copy ``items``, a group at a time; those that were appended."""
        copied: list[Located] = []
        done = 0
        for group in groups(items):
            self._versions.keep_last()
            copied += await (self._copy_large(group[0]) if is_large(group) else self._copy_small(group))
            done += len(group)
            progress("copying contents", done, len(items))
        return copied

    async def _copy_small(self, group: Sequence[Located]) -> list[Located]:
        read = await read_group(self._source, group, self._report)
        right: list[tuple[Located, bytes]] = []
        for item, body in read:
            digest = hashlib.sha256(body).digest()
            if is_right(item, len(body), digest, self._report):
                right.append((msgspec.structs.replace(item, sha256=digest), body))
        self._versions.take(right)
        return await self._append([self._put(item, body) for item, body in right], [item for item, _ in right])

    def _put(self, item: Located, data: object) -> Delta:
        put = Put(key=item.key, data=data, modified=item.modified)
        facts = self._versions.of(item)
        if facts is None:
            return put
        if item.key.endswith(f"/{METADATA}"):
            return msgspec.structs.replace(put, expires=facts.expires)
        self._report.versions += 1
        return msgspec.structs.replace(
            put,
            expires=facts.expires,
            datum=facts.data,
            content_type=facts.content_type,
            tags=facts.tags,
            lifetime=facts.lifetime,
            created=facts.created,
        )

    async def _copy_large(self, item: Located) -> list[Located]:
        with tempfile.TemporaryFile() as file:
            digest = await digest_large(self._source, item, self._report, file.write)
            if digest is None or not is_right(item, item.size, digest, self._report):
                return []
            item = msgspec.structs.replace(item, sha256=digest)
            return await self._append([self._put(item, _Spooled(file, item.size))], [item])

    async def _append(self, puts: Sequence[Delta], items: list[Located]) -> list[Located]:
        if puts:
            await self._target.append(puts)
            self._report.copied_bytes += sum(item.size for item in items)
        return items
