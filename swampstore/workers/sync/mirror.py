"""The mirror: brings what the state knows of the namespace up to date, reading only what is new.

The state holds the newest record known of every key, and a mark: the root, the slots and the runs (with fingerprints of
their blocks) that are fully compared. A refresh reads new slots, the inline level 0 of a new root, and the blocks of new
runs that no compared run of that kind had. That is enough: the winner of a key is the highest version ever seen, so it
only changes through a record that was not seen before, or by vanishing (a tombstone that was dropped with its victim).
A key can only vanish from a place that is gone: from a shard block (then its keys are looked for in the blocks that
replaced it) or from level 0 and the log (those keys are *loose*: the state knows each one's place).

Invariants:
- The mark moves only after everything it covers is in the state, in the same transaction as the last of it.
- What is not found again is asked for by key in a strict snapshot before it counts as gone; in one that was opened
  after the row was read, as another sync of the same tree may have written it down past this one's look.
- A namespace whose root went back or lost its ancestry is another namespace: everything known is forgotten, and
  forgetting deletes nothing.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Sequence

import msgspec

from swampstore.errors import SnapshotExpired
from swampstore.limits import MIB, READ_RESTARTS
from swampstore.protocols.ahead import read_ahead
from swampstore.protocols.log import fetch
from swampstore.protocols.place import Place
from swampstore.protocols.runs import RunGone, covering, load_blocks, load_indexes
from swampstore.protocols.slots import Broken, SegmentGone, Slot
from swampstore.protocols.snapshot import Look, Snapshot, SnapshotReader
from swampstore.stores.lanes import lanes_of
from swampstore.values.classes import rules_of
from swampstore.values.entry import CONFLICT, EPHEMERAL, HAS_BASE, PENDING, Record, base_of, meta_of
from swampstore.values.join import conflict_key, conflict_of, join_into
from swampstore.values.keys import INTERNAL, LAST_SUFFIX, key_problem
from swampstore.values.names import lane_writer
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo
from swampstore.values.version import FROM_NOTHING, put_of, split_version
from swampstore.workers.sync.labels import labels_of
from swampstore.workers.sync.marks import Mark, Run
from swampstore.workers.sync.options import Scope
from swampstore.workers.sync.places import Places, end_of, foreign, lost, marked, source_of, unseen, up_to_date
from swampstore.workers.sync.state import State

_log = logging.getLogger("swampstore")
_KEYS_MARK = "keys:"
_PENDING = "pending"
_BLOCKS_AT_ONCE = 16
_ASK_AT_ONCE = 512
_FRESH_BYTES = 32 * MIB
_PRINT = struct.Struct(">IIIQ")


class Mirror:
    """One refresh. ``reset`` says that the namespace turned out to be another one, ``absent`` that nothing was ever
    written to it, ``pending`` that unfolded slots hold versions of the data model without a number.
    """

    def __init__(self, place: Place, reader: SnapshotReader, state: State, scope: Scope) -> None:
        self._place = place
        self._reader = reader
        self._state = state
        self._scope = scope
        self._fresh: dict[str, Record] = {}
        self._fresh_bytes = 0
        self._newest = b""
        self._suspects: list[str] = []
        self._pending: set[str] = set()
        self._mark_name = scope.name
        self._look: Look | None = None
        self._snapshot: Snapshot | None = None
        self.reset = self.absent = False
        self.pending = False
        self.revived: set[str] = set()
        """Keys that were gone, and that a change made by somebody who had not seen that has brought back."""

    # --- refreshing ---------------------------------------------------------------------------------------------

    async def refresh(self, keys: Sequence[str] | None = None) -> None:
        """Bring the state up to date: two requests when there is nothing new.

        With ``keys``, only what concerns them, unless the whole scope was compared before: for a push of a few files
        into a large namespace that this tree does not follow. Raises ``SnapshotExpired``, ``Damaged``.
        """
        narrow = keys is not None and self._state.mark(self._scope.name) is None
        self._mark_name = _KEYS_MARK + _digest(keys or ()) if narrow else self._scope.name
        if self._state.marks():
            self._reader.expect_no_root()  # the marks tell when a namespace has gone back
        first = self._state.empty
        for _ in range(READ_RESTARTS):
            # Before the look: another sync of this tree may move the marks meanwhile, past what this look shows.
            marks, mark = self._state.marks(), self._state.mark(self._mark_name)
            look = self._look = await self._reader.look()
            self._scope.leave_state_out(rules_of(look.seen.root.settings))
            self._snapshot = None
            self.absent = look.seen.root.version == 0 and not look.slots
            if self._forget_another_namespace(look, marks):
                mark, first = None, True
            try:
                if mark is None or not up_to_date(mark, look):
                    await (self._read_keys(look, keys or ()) if narrow else self._read(look, mark))
                break
            except (SegmentGone, RunGone, SnapshotExpired):
                continue
        else:
            raise SnapshotExpired("the namespace moved on during every read", hint="sync again")
        if first:
            self.revived.clear()  # what others did before is history that this tree had no part in
        self.observe(self._state.newest_version)
        self._note_pending()

    def _note_pending(self) -> None:
        """Slots that were compared once are not read again: what is pending in them is written down."""
        assert self._look is not None
        noted = set(self._state.notes(_PENDING))
        places = Places(self._look)
        there = {source for source in noted | self._pending if source in places}
        if there != noted:
            with self._state.transaction():
                self._state.set_notes(_PENDING, sorted(there))
        self.pending = bool(there)

    def observe(self, version: bytes) -> None:
        """Let what this process writes from now on order above ``version``."""
        if version:
            self._place.clock.observe(split_version(version)[0])

    def _forget_another_namespace(self, look: Look, marks: Sequence[Mark]) -> bool:
        names = self._place.names
        another = any(foreign(mark, look) or lost(mark, look, names) for mark in marks)
        if another:
            self._state.forget_all()
            self.reset = True
        return another

    async def _read_keys(self, look: Look, keys: Sequence[str]) -> None:
        self._newest = self._state.newest_version
        await self._ask(keys)
        with self._state.transaction():
            self._state.raise_newest(self._newest)
            self._state.drop_marks(_KEYS_MARK)
            self._state.set_mark(self._mark_name, marked(look, ()))

    async def _read(self, look: Look, mark: Mark | None) -> None:
        root = look.seen.root
        old_runs = {run.name: run for run in mark.runs} if mark else {}
        looking_back = mark is not None or not self._state.empty
        self._state.start_touching()
        self._suspects = []
        self._newest = self._state.newest_version
        runs: list[Run] = []
        for shard, refs in ((True, root.shards), (False, root.level0)):
            runs += await self._read_runs(refs, old_runs, shard, touching=looking_back)
        if mark is None or mark.root_version != root.version:
            self._take(root.inline, f"inline:{root.version}")
        await self._read_slots(unseen(look, mark))
        if looking_back:
            await self._bury(look, mark, runs)
        await self._find_kept()
        with self._state.transaction():
            self._state.raise_newest(self._newest)
            self._state.set_mark(self._scope.name, marked(look, tuple(runs)))

    async def _read_runs(
        self, refs: Sequence[RunRef], old: dict[str, Run], shard: bool, *, touching: bool
    ) -> list[Run]:
        """Compare the new blocks of ``refs``; returns what the mark says of them."""
        inside = [ref for ref in refs if self._overlaps(ref.first, ref.last)]
        compared = {block for run in old.values() if run.shard == shard for block in run.blocks}
        new = [ref for ref in inside if ref.name not in old]
        indexes = dict(zip((ref.name for ref in new), await load_indexes(self._place, new), strict=True))
        blocks = [
            (ref, info)
            for ref in new
            for info in indexes[ref.name]
            if self._overlaps(info.first, info.last) and _block(info) not in compared
        ]
        for start in range(0, len(blocks), _BLOCKS_AT_ONCE):
            part = blocks[start : start + _BLOCKS_AT_ONCE]
            for (ref, _), records in zip(part, await load_blocks(self._place, part), strict=True):
                self._take(records, "" if shard else ref.name)
                if touching and shard:
                    self._state.touch(record.key for record in records)
        return [
            old.get(ref.name)
            or Run(ref.name, shard, tuple(_block(i) for i in indexes[ref.name] if self._overlaps(i.first, i.last)))
            for ref in inside
        ]

    async def _read_slots(self, slots: Sequence[Slot]) -> None:
        for slot, found in zip(slots, await fetch(self._place, slots), strict=True):
            if not isinstance(found, Broken):
                self._take(found.records, source_of(slot), end=end_of(slot), late=True)

    def _overlaps(self, first: str, last: str) -> bool:
        return any(first < prefix + LAST_SUFFIX and last >= prefix for prefix in self._scope.prefixes)

    def _inside(self, key: str) -> bool:
        return any(key.startswith(prefix) for prefix in self._scope.prefixes)

    # --- taking records in --------------------------------------------------------------------------------------

    def _take(self, records: Sequence[Record], source: str, *, end: str = "", late: bool = False) -> None:
        """Compare records of one place with what is known. ``source`` is empty for shards; ``end`` and ``late`` for the log.

        Runtime state is not looked at: it is not part of any tree, and hides nothing there.
        """
        if not records:
            return
        table: dict[str, Record] = {}
        join_into(table, (record for record in records if self._inside(record.key) and not record.flags & EPHEMERAL))
        if not table:
            return
        self._newest = max(self._newest, *(record.version for record in table.values()))
        if any(record.flags & PENDING for record in table.values()):
            self._pending.add(end or source)
        plain = [record for record in table.values() if INTERNAL not in record.key and _is_fit(record.key)]
        with self._state.transaction():
            known = self._state.known([record.key for record in plain])
            winners = [record for record in plain if self._wins(record, known.get(record.key), late=late)]
            new = [r for r in winners if (held := known.get(r.key)) is None or _version(r) > held[0]]
            self._state.note(_columns(record) for record in new)
            if source:
                self._state.set_loose((record.key, source) for record in winners if not record.gone)
                self._state.unset_loose(record.key for record in winners if record.gone)
            else:
                self._state.unset_loose(record.key for record in winners)
            kept = [record for record in table.values() if conflict_of(record.key) is not None]
            self._state.note_kept((r.key, r.version, r.gone) for r in kept if r.gone or r.flags & CONFLICT)
        for record in (*new, *kept):
            self._keep_fresh(record)

    def _wins(self, record: Record, held: tuple[bytes, bool, bytes | None] | None, *, late: bool) -> bool:
        """Whether ``record`` is the newest known; notes puts that may have met another one unseen."""
        if held is None:
            return True
        version, gone, sha256 = held
        own = _version(record)
        if own == version:
            return not gone
        wins = own > version
        base = base_of(record) if wins and gone and not record.gone else None
        if base is not None and base != FROM_NOTHING:
            self.revived.add(record.key)
        if not record.gone and not gone:
            unseen = late if not wins else record.flags & HAS_BASE and put_of(base_of(record) or b"") < version
            if unseen and (sha256 is None or meta_of(record).sha256 != sha256):
                self._suspects.append(conflict_key(record.key, min(version, own)))
        return wins

    def _keep_fresh(self, record: Record) -> None:
        """Hold new records for the pulls that follow, as far as memory is meant to go."""
        self._fresh.pop(record.key, None)
        if not record.gone and self._fresh_bytes < _FRESH_BYTES:
            self._fresh[record.key] = record
            self._fresh_bytes += len(record.value) + 4 * len(record.key) + 200

    # --- what vanished ------------------------------------------------------------------------------------------

    async def _bury(self, look: Look, mark: Mark | None, runs: Sequence[Run]) -> None:
        """Find keys that are live as far as is known and have vanished without a trace."""
        root = look.seen.root
        here = Places(look, [*(run.name for run in root.level0), f"inline:{root.version}"])
        missing: list[str] = []
        for prefix in self._scope.prefixes:
            missing += self._state.loose_from(prefix, here)
            if mark is None:
                missing += self._state.untouched(prefix, prefix + LAST_SUFFIX)
        if mark is not None:
            now = {block for run in runs if run.shard for block in run.blocks}
            for run in mark.runs:
                for block in run.blocks if run.shard else ():
                    if block not in now:
                        missing += self._state.untouched(block[0], block[1])
        await self._ask(sorted({key for key in missing if self._inside(key) and INTERNAL not in key}))

    async def _ask(self, keys: Sequence[str]) -> None:
        """Ask for ``keys`` themselves: those that are gone are gone."""
        known = self._state.known(keys)
        asked: dict[str, Record | None] = {}
        for start in range(0, len(keys), _ASK_AT_ONCE):
            asked |= await self._look_up(keys[start : start + _ASK_AT_ONCE])
        unseen = [
            key for key, record in asked.items() if key in known and (not record or record.version < known[key][0])
        ]
        if unseen:  # perhaps another sync of this tree has written down what is newer than the look
            asked |= await (await self._reader.open()).winners(unseen)
        self._take([record for record in asked.values() if record is not None and not record.gone], "asked")
        with self._state.transaction():
            still = self._state.known(list(asked))
            for key, record in asked.items():
                if key in known and still.get(key) == known[key] and (record is None or record.gone):
                    version = max(known[key][0], record.version) if record else known[key][0]
                    self._state.note([(key, version, True, 0, None, 0, 0, None)])
                    self._state.unset_loose([key])
                if record is not None:
                    self._newest = max(self._newest, record.version)

    async def _find_kept(self) -> None:
        """Look for the conflict entries of puts that may have met unseen."""
        for key in self._suspects:
            record = await (await self.snapshot()).record(key)
            if record is not None:
                self._take([record], "")

    # --- looking up ---------------------------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """The snapshot of the last look; opened when it is first needed. Raises ``SnapshotExpired``."""
        if self._snapshot is None:
            assert self._look is not None
            try:
                self._snapshot = await self._reader.open_at(self._look)
            except SegmentGone:
                self._snapshot = await self._reader.open()
        return self._snapshot

    async def records(self, keys: Sequence[str]) -> dict[str, Record | None]:
        """The winning records of ``keys``; those just read cost nothing."""
        found: dict[str, Record | None] = {key: self._fresh.get(key) for key in keys}
        rest = [key for key, record in found.items() if record is None]
        return found | await self._look_up(rest) if rest else found

    async def _look_up(self, keys: Sequence[str]) -> dict[str, Record | None]:
        if self._snapshot is None and self._look is not None:
            root = self._look.seen.root
            runs = covering((*root.level0, *root.shards, *root.eph.runs), sorted(keys))
            await read_ahead(self._place, self._look.slots, runs)
        return await (await self.snapshot()).winners(keys)

    def appended(self, lane: str, slot: int) -> None:
        """A slot that holds nothing but what this sync wrote is compared already (within a transaction).

        Of a lane file a mark says how far it was compared, and others may have written before: it is looked at again.
        """
        if lane_writer(lane) is not None and lanes_of(self._place.store) is not None:
            return
        mark = self._state.mark(self._mark_name)
        if mark is not None:
            slots = tuple(sorted({*mark.slots, (lane, slot)}))
            self._state.set_mark(self._mark_name, msgspec.structs.replace(mark, slots=slots))


def _digest(keys: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(keys).encode()).hexdigest()


def _is_fit(key: str) -> bool:
    """Whether ``key`` can be a path of a tree. No writer of this library makes one that cannot."""
    problem = key_problem(key)
    if problem:
        _log.warning("the key %r is left alone: %s", key[:200], problem)
    return not problem


def _version(record: Record) -> bytes:
    """The version of a record as the state knows it: what says a put again is that put."""
    return record.version if record.gone else put_of(record.version)


def _block(info: BlockInfo) -> tuple[str, str, bytes]:
    """What tells a block from others: equal means equal contents."""
    return info.first, info.last, _PRINT.pack(info.crc, info.size, info.count, info.sum)


def _columns(record: Record) -> tuple[str, bytes, bool, int, bytes | None, int, int, bytes | None]:
    if record.gone:
        return record.key, record.version, True, 0, None, 0, 0, None
    meta = meta_of(record)
    return (
        record.key,
        put_of(record.version),
        False,
        meta.size,
        meta.sha256,
        meta.modified or meta.created,
        record.expires,
        labels_of(meta),
    )
