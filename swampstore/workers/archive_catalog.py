"""The catalog of sorted archives: runs by part of time and topic, of which a change rewrites those it falls into.

Invariants: runs do not overlap and are in key order; what is put is an orphan until a root names it.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

from swampstore.errors import SwampError
from swampstore.limits import MIB
from swampstore.protocols.place import Place
from swampstore.stores.base import Create, Put, Stored
from swampstore.values.audit import file_of
from swampstore.values.entry import Record
from swampstore.values.root import Root, RunRef
from swampstore.values.run import build_run, decode_block
from swampstore.workers.run_reader import RunReader

CATALOG_RUN_BYTES = 1 * MIB
"""Decoded size at which a run of the catalog is cut."""


class Catalog:
    """Some runs of the catalog, opened to be changed: ``records`` by key. Made by :meth:`open`."""

    def __init__(self, place: Place, runs: Sequence[RunRef], touched: Sequence[int]) -> None:
        self._place = place
        self._runs = runs
        self._touched = touched
        self._was: dict[int, dict[str, Record]] = {}
        self.records: dict[str, Record] = {}

    @classmethod
    async def open(cls, place: Place, runs: Sequence[RunRef], parts: Iterable[str] | None = None) -> Catalog:
        """Read the runs that hold, or would hold, anything of ``parts`` of time (``None``: all)."""
        firsts = [run.first for run in runs]
        touched: set[int] = set(range(len(runs))) if parts is None else set()
        for part in (parts or ()) if runs else ():
            low, high = (max(bisect.bisect_right(firsts, f"{part}{end}") - 1, 0) for end in ("\0", "\1"))
            touched.update(range(low, high + 1))
        catalog = cls(place, runs, sorted(touched))
        reader = RunReader(place, [runs[number] for number in catalog._touched])
        for number in catalog._touched:
            held: dict[str, Record] = {}
            for info, stored in await reader.next():
                held |= {record.key: record for record in decode_block(info, stored, place.full(runs[number].name))}
            catalog._was[number] = held
            catalog.records |= held
        return catalog

    async def write(self) -> tuple[RunRef, ...]:
        """All runs of the catalog as it is now; those that did not change stay."""
        firsts = [run.first for run in self._runs]
        shares: dict[int, dict[str, Record]] = {number: {} for number in self._touched or [0]}
        for key, record in self.records.items():
            shares[max(bisect.bisect_right(firsts, key) - 1, 0)][key] = record
        runs = {number: [run] for number, run in enumerate(self._runs)}
        puts: list[Put] = []
        for number, share in shares.items():
            if share != self._was.get(number):
                runs[number] = self._cut(share, puts)
        await put_all(self._place, puts)
        return tuple(run for number in sorted(runs) for run in runs[number])

    def _cut(self, share: dict[str, Record], puts: list[Put]) -> list[RunRef]:
        made: list[RunRef] = []
        held: list[Record] = []
        size = 0
        for at, key in enumerate(sorted(share), 1):
            held.append(share[key])
            size += len(key) + len(share[key].value)
            if size >= CATALOG_RUN_BYTES or at == len(share):
                unique, name = self._place.new_object("audit")
                run, data = build_run(f"audit/{unique}", held)
                made.append(run)
                puts.append(Put(name, data, Create()))
                held, size = [], 0
        return made


async def put_all(place: Place, puts: Sequence[Put]) -> None:
    """Put objects side by side; raises what the first refused one was refused with."""
    for answer in await place.store.many(puts) if puts else ():
        if isinstance(answer, SwampError):
            raise answer
        assert isinstance(answer, Stored)


async def archive_names(place: Place, root: Root) -> frozenset[str]:
    """``audit/<unique>`` of every archive that ``root`` names, itself or through the catalog. Reads the catalog."""
    catalog = await Catalog.open(place, root.audit.catalog)
    named = {file_of(record).name for record in catalog.records.values()}
    return frozenset(named.union(run.name for run in root.audit.runs))
