"""Runtime state beside the manifest: how a fold keeps ephemeral records.

They wait inline in the root while they are few (64 KB) and are then joined into runs of their own (``eph/...``, cut by
key range): a join reads and writes the runs that a change falls into, nothing else. A fold whose ephemeral records fit
inline costs no request more than any other; a fold without any does not look here, except when something is long due.

Invariants:
- The winner of a key is the highest version over both homes, here and in the manifest; every reader joins both. So a
  record may be dropped from one home only when the other does not need to be hidden by it.
- An expired entry becomes a tombstone of exactly its version (its contents go to garbage). A tombstone leaves this home
  only below the line that holds for all tombstones, and only after a look into the manifest: if an older put lies there,
  the tombstone moves there instead. So what was overwritten by runtime state never comes back.
- Record sums are conserved: inline, incoming and rewritten runs equal what is kept plus what is dropped.
- What a merge does never touches this home, and a merge buries no tombstone whose key lies here.
"""

from __future__ import annotations

import bisect
import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from swampstore.errors import CorruptObject, Inconsistent, SwampError
from swampstore.limits import EPHEMERAL_RUN_BYTES, EPHEMERAL_TIDY_MS, INLINE_EPHEMERAL_BYTES, MIB
from swampstore.protocols.place import Place
from swampstore.protocols.runs import RunGone, find_in_runs
from swampstore.stores.base import Create, Put, Stored
from swampstore.values.classes import as_indexed, expired_as
from swampstore.values.entry import Record, record_sum
from swampstore.values.join import join_counted, newer
from swampstore.values.names import unique_ms
from swampstore.values.root import Ephemeral, Root, RunRef
from swampstore.values.run import RunBuilder, decode_block
from swampstore.values.version import version_ms
from swampstore.workers.run_reader import RunReader, StoredBlock
from swampstore.workers.tombstones import tombstone_line_ms

_BURIALS_PER_FOLD = 2_000
_TIDIED_PER_FOLD = 8
"""Runs rewritten by one fold only because something in them is due."""
_MOST_INLINE_BYTES = 1 * MIB
"""What may wait in the root while a run that it belongs into cannot be read."""
_OVERHEAD = 64

_log = logging.getLogger("swampstore")


class Sided(msgspec.Struct):
    """What a fold does to the ephemeral home, and what that means for the manifest.

    ``dropped`` and ``made`` are records of this home, ``unindexed`` were dropped from the fold's table and ``moved``
    put into it; ``runs_out`` are runs that were replaced.
    """

    eph: Ephemeral
    dropped: list[Record] = []
    made: list[Record] = []
    unindexed: list[Record] = []
    moved: list[Record] = []
    runs_out: list[str] = []


def tidy_due(root: Root, now_ms: int) -> bool:
    """Whether something has been expired for so long that a fold should look after it, log or no log."""
    line = now_ms - EPHEMERAL_TIDY_MS
    if any(0 < record.expires <= line for record in root.eph.inline):
        return True
    return any(_due(run, line, tombstone_line_ms(root)) for run in root.eph.runs)


def _due(run: RunRef, line_ms: int, bury_ms: int) -> bool:
    old = run.tombstones * 2 >= run.count and unique_ms(run.name.rpartition("/")[2]) < bury_ms
    return 0 < run.expires <= line_ms or old


async def fold_ephemeral(
    place: Place, root: Root, now_ms: int, incoming: Sequence[Record], table: dict[str, Record]
) -> Sided:
    """Take ``incoming`` into the ephemeral home of ``root``. ``table`` is the fold's level 0, joined; it may change."""
    if not incoming and not root.eph.inline and not tidy_due(root, now_ms):
        return Sided(root.eph)
    return await _Work(place, root, now_ms, table).run(incoming)


class _Work:
    def __init__(self, place: Place, root: Root, now_ms: int, table: dict[str, Record]) -> None:
        self._place = place
        self._root = root
        self._now = now_ms
        self._line = tombstone_line_ms(root)
        self._table = table
        self._burials = _BURIALS_PER_FOLD
        self._runs_in = 0
        self.done = Sided(root.eph)

    async def run(self, incoming: Sequence[Record]) -> Sided:
        held: dict[str, Record] = {record.key: record for record in self._root.eph.inline}
        self._join(held, incoming)
        self._settle(held)
        runs = self._root.eph.runs
        due = [run for run in runs if _due(run, self._now - EPHEMERAL_TIDY_MS, self._line)][:_TIDIED_PER_FOLD]
        size = _bytes(held.values())
        if size > INLINE_EPHEMERAL_BYTES or due:
            held, runs = await self._join_runs(held, due)
        await self._bury(held, runs)
        inline = tuple(held[key] for key in sorted(held))
        self.done.eph = Ephemeral(inline, tuple(runs))
        self._check(incoming)
        return self.done

    def _join(self, held: dict[str, Record], records: Iterable[Record]) -> None:
        dropped, made = join_counted(held, records)
        self.done.dropped += dropped
        self.done.made += made

    def _settle(self, held: dict[str, Record]) -> None:
        """Drop what lost against the other home, as far as it is in memory; what has expired leaves its tombstone."""
        for key, record in list(held.items()):
            other = self._table.get(key)
            if other is not None:
                if newer(other, record) is other:
                    self.done.dropped.append(held.pop(key))
                    continue
                self.done.unindexed.append(self._table.pop(key))
            if not record.gone and record.expires <= self._now:
                shadow = held[key] = expired_as(record)
                self.done.dropped.append(record)
                self.done.made.append(shadow)

    # --- runs ---------------------------------------------------------------------------------------------------

    async def _join_runs(
        self, held: Mapping[str, Record], due: Sequence[RunRef]
    ) -> tuple[dict[str, Record], tuple[RunRef, ...]]:
        """``held`` joined into the runs whose ranges it falls into; what is left inline and the runs then.

        Inline is left only what belongs into a run that cannot be read.
        """
        runs = self._root.eph.runs
        shares = _shares(runs, held)
        names = {run.name for run in due}
        stored = await self._read([run for number, run in enumerate(runs) if number in shares or run.name in names])
        touched = [number for number, run in enumerate(runs) if run.name in stored]
        left = {record.key: record for number in shares if runs and number not in touched for record in shares[number]}
        if _bytes(left.values()) > _MOST_INLINE_BYTES:
            await self._read_all([runs[number] for number in shares])
        outputs = _Pieces(self._place)
        last = -1
        for number in touched if runs else [0]:
            if number != last + 1:
                outputs.end()
            last = number
            records: dict[str, Record] = {}
            if touched:
                name = self._place.full(runs[number].name)
                for info, block in stored[runs[number].name]:
                    records |= {record.key: record for record in decode_block(info, block, name)}
                self._runs_in += runs[number].sum
            self._join(records, shares.get(number, ()))
            self._settle(records)
            await self._bury(records, ())
            outputs.add(records[key] for key in sorted(records))
        outputs.end()
        await outputs.put()
        out = {runs[number].name for number in touched}
        self.done.runs_out += sorted(out)
        kept = [run for run in runs if run.name not in out]
        return left, tuple(sorted([*kept, *outputs.refs], key=lambda run: run.first))

    async def _read(self, runs: Sequence[RunRef]) -> dict[str, list[StoredBlock]]:
        """Those of ``runs`` that can be read, by name: all of it, before anything is changed."""
        try:
            return await self._read_all(runs)
        except (RunGone, CorruptObject) as error:
            _log.warning("namespace %s: some runtime state waits: %s", self._place.names.namespace, error)
        found: dict[str, list[StoredBlock]] = {}
        for run in runs:
            try:
                found |= await self._read_all([run])
            except (RunGone, CorruptObject):  # told above; a look by doctor names each
                continue
        return found

    async def _read_all(self, runs: Sequence[RunRef]) -> dict[str, list[StoredBlock]]:
        reader = RunReader(self._place, runs)
        return {run.name: await reader.next() for run in runs}

    # --- tombstones ---------------------------------------------------------------------------------------------

    async def _bury(self, held: dict[str, Record], runs: Sequence[RunRef]) -> None:
        """Let tombstones of ``held`` go that nothing needs; ``runs`` may hold older records of their keys."""
        due = sorted(r.key for r in held.values() if r.gone and version_ms(r.version) < self._line)[: self._burials]
        if not due:
            return
        self._burials -= len(due)
        root = self._root
        try:
            in_manifest = await find_in_runs(self._place, [*root.level0, *root.shards], due)
            here = await find_in_runs(self._place, runs, due) if runs else {}
        except (RunGone, CorruptObject) as error:
            _log.warning("namespace %s: tombstones of runtime state are kept: %s", self._place.names.namespace, error)
            return
        for key in due:
            if here.get(key):
                continue  # the next join meets them
            shadow = held.pop(key)
            self.done.dropped.append(shadow)
            below = in_manifest[key] + ([self._table[key]] if key in self._table else [])
            top = max(below, key=lambda record: record.version, default=None)
            if top is not None and not top.gone and top.version < shadow.version:
                moved = as_indexed(shadow)
                lost, _ = join_counted(self._table, [moved])
                self.done.moved.append(moved)
                self.done.unindexed += lost

    def _check(self, incoming: Sequence[Record]) -> None:
        done, old = self.done, self._root.eph
        named = {run.name for run in old.runs}
        written = sum(run.sum for run in done.eph.runs if run.name not in named)
        before = _sum(old.inline) + _sum(incoming) + self._runs_in + _sum(done.made)
        if before != _sum(done.eph.inline) + written + _sum(done.dropped):
            raise Inconsistent(
                f"{self._place.names.namespace}: the fold does not conserve ephemeral records; nothing was published"
            )


class _Pieces:
    """New runs of about even size, put side by side."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._builder = RunBuilder()
        self._puts: list[Put] = []
        self.refs: list[RunRef] = []

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            if self._builder.size >= EPHEMERAL_RUN_BYTES:
                self.end()
            self._builder.add(record)

    def end(self) -> None:
        """What follows does not border on what was added."""
        if not self._builder.empty:
            part, name = self._place.new_object("eph")
            ref, data = self._builder.finish(f"eph/{part}")
            self.refs.append(ref)
            self._puts.append(Put(name, data, Create()))
            self._builder = RunBuilder()

    async def put(self) -> None:
        for answer in await self._place.store.many(self._puts) if self._puts else ():
            if isinstance(answer, SwampError):
                raise answer
            assert isinstance(answer, Stored)


def _shares(runs: Sequence[RunRef], held: Mapping[str, Record]) -> dict[int, list[Record]]:
    """Which records fall into which run; without runs all into number 0."""
    firsts = [run.first for run in runs]
    shares: dict[int, list[Record]] = {}
    for record in held.values():
        shares.setdefault(max(bisect.bisect_right(firsts, record.key) - 1, 0), []).append(record)
    return shares


async def ephemeral_keys(place: Place, root: Root) -> frozenset[str] | None:
    """Every key that lies in the ephemeral home; ``None`` when that cannot be told. Reads its runs."""
    keys = {record.key for record in root.eph.inline}
    reader = RunReader(place, root.eph.runs)
    try:
        for run in root.eph.runs:
            for info, stored in await reader.next():
                keys.update(record.key for record in decode_block(info, stored, place.full(run.name)))
    except (RunGone, CorruptObject) as error:
        _log.warning("namespace %s: no tombstone is dropped: %s", place.names.namespace, error)
        return None
    return frozenset(keys)


def _bytes(records: Iterable[Record]) -> int:
    return sum(len(record.key) + len(record.value) + _OVERHEAD for record in records)


def _sum(records: Iterable[Record]) -> int:
    return sum(map(record_sum, records))
