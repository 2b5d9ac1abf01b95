"""Whole audit archives, one after the other, whatever they are; the digest of each is checked."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence

from swampstore.errors import CorruptObject
from swampstore.protocols.place import Place
from swampstore.protocols.runs import run_body
from swampstore.stores.base import Get
from swampstore.values.audit_parquet import decode_whole, is_parquet
from swampstore.values.entry import Record
from swampstore.values.root import RunRef
from swampstore.values.run import decode_block
from swampstore.workers.run_reader import RunReader


class ArchiveReader:
    """Hands out the records of ``refs``, archive by archive, in their order, in pieces."""

    def __init__(self, place: Place, refs: Sequence[RunRef]) -> None:
        self._place = place
        self._refs = deque(refs)
        self._runs = RunReader(place, [ref for ref in refs if not is_parquet(ref.name)])

    async def next(self) -> list[list[Record]]:
        """The records of the next archive. Raises ``RunGone``, ``CorruptObject``, ``MissingExtra``."""
        ref = self._refs.popleft()
        name = self._place.full(ref.name)
        if not is_parquet(ref.name):
            return [decode_block(info, stored, name) for info, stored in await self._runs.next()]
        (answer,) = await self._place.store.many([Get(name)])
        data = run_body(answer, name)
        if len(data) != ref.size or hashlib.sha256(data).digest() != ref.digest:
            raise CorruptObject(f"{name}: does not match the digest in the catalog", name=name)
        return decode_whole(data, ref.name, name)[2]
