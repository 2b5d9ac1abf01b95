"""Bringing records over with their contents: read from the one store, checked, uploaded to the other, renamed in the record.

Invariants: keys and versions stay what they are; what does not match its size or hash is reported and not brought over;
no more than a group of small contents, or one piece of a large one, is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from swampstore.errors import Damaged, NotFound, SwampError
from swampstore.limits import MIB, PART_BYTES
from swampstore.protocols.contents import Uploaded, stream_content, upload
from swampstore.values.batches import batches
from swampstore.values.entry import CONFLICT, External, Inline, Meta, Record, entry_of, meta_of, put_record
from swampstore.workers.ground import Ground
from swampstore.workers.migrate_report import MigrateReport
from swampstore.workers.spool import Spool
from swampstore.workers.sync.fetch import fetch_small

_GROUP = 1000
_GROUP_BYTES = 32 * MIB


class Carrier:
    """Carries puts from ``source`` to ``target``."""

    def __init__(self, source: Ground, target: Ground, report: MigrateReport) -> None:
        self._source = source
        self._target = target
        self._report = report
        self.damaged: set[str] = set()
        """The keys whose contents could not be read."""

    async def carry(self, records: Sequence[Record]) -> list[Record]:
        """``records`` as they are at the target; those whose contents cannot be read are left out and reported."""
        metas = {record.key: meta_of(record) for record in records}
        moving = [record for record in records if self._moves(metas[record.key])]
        placed = await self._small([record for record in moving if metas[record.key].size <= PART_BYTES])
        for record in moving:
            if metas[record.key].size > PART_BYTES:
                found = await self._large(record)
                if found is not None:
                    placed[record.key] = found
        carried: list[Record] = []
        missing = {record.key for record in moving} - placed.keys()
        for record in records:
            if record.key not in missing:
                carried.append(_renamed(record, metas[record.key], placed.get(record.key)))
                self._report.copied += 1
                self._report.bytes += metas[record.key].size
        return carried

    def _moves(self, meta: Meta) -> bool:
        """Whether the contents lie in the source's store as an object."""
        if isinstance(meta.at, External) and meta.at.store:
            self._report.elsewhere += 1
            return False
        return not isinstance(meta.at, Inline)

    async def _small(self, records: Sequence[Record]) -> dict[str, Uploaded]:
        bodies: dict[str, bytes] = {}
        found = await fetch_small(self._source.place, [entry_of(record) for record in records])
        for record, body in zip(records, found, strict=True):
            if isinstance(body, Damaged | NotFound):
                self._leave(record.key, body)
            elif isinstance(body, SwampError):
                raise body
            else:
                bodies[record.key] = body
        return await upload(self._target.place, bodies)

    async def _large(self, record: Record) -> Uploaded | None:
        with Spool() as spool:
            try:
                async for chunk in stream_content(self._source.place, entry_of(record)):
                    spool.write(chunk)
            except (Damaged, NotFound) as error:
                self._leave(record.key, error)
                return None
            return (await upload(self._target.place, {record.key: spool}))[record.key]

    def _leave(self, key: str, error: SwampError) -> None:
        self.damaged.add(key)
        self._report.damage(key, str(error))


def _renamed(record: Record, meta: Meta, placed: Uploaded | None) -> Record:
    """The record with its contents' new place. Its base goes: what it decided was decided at the source."""
    meta = msgspec.structs.replace(meta, base=None)
    if placed is not None:
        meta = msgspec.structs.replace(meta, at=placed.at, sha256=placed.sha256, unverified=False)
    made = put_record(record.key, record.version, meta, expires=record.expires)
    return msgspec.structs.replace(made, flags=made.flags | (record.flags & CONFLICT))


def grouped(records: Sequence[Record]) -> Iterator[list[Record]]:
    """``records`` in groups whose contents fit into memory together."""
    return batches(records, lambda record: meta_of(record).size, _GROUP_BYTES, _GROUP)
