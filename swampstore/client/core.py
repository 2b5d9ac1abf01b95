"""The client, written once: what :mod:`swampstore.client.blocking` and :mod:`swampstore.client.aio` drive.

Invariants:
- Nothing is sent before its arguments are checked; the first write of a store proves that it refuses broken
  preconditions (once: the proof is kept in the root and in a local cache).
- A write is one append; it never reads, lists or locks. A process that finds the log long folds once (the embedded
  default needs no daemon); a process that never appends never folds.
- Point reads start again by themselves when a compaction overtakes them; snapshots do not (``SnapshotExpired``).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import msgspec

from swampstore.client.core_store import CoreStore as CoreStore  # noqa: PLC0414 (known from here)
from swampstore.env.phases import Operation, during, measured
from swampstore.errors import AmbiguousAppend, Misuse, NotFound, SnapshotExpired, SwampError, VersionConflict
from swampstore.limits import (
    DEEP_LANE_BYTES,
    HELP_EVERY_COMMITS,
    HELP_FOLD_SEGMENTS,
    LIST_AFTER_APPEND_ODDS,
    READ_RESTARTS,
    SHARED_LANES,
)
from swampstore.protocols.contents import read_content, read_many, stream_content
from swampstore.protocols.drafting import Drafted, check_deltas, draft_records
from swampstore.protocols.fifo import Fifo
from swampstore.protocols.log import list_and_root, unfolded
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.protocols.resolve import resolve
from swampstore.protocols.small_puts import small_puts
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.protocols.writer import Ack, Writer
from swampstore.stores.lanes import lanes_of
from swampstore.stores.probe import Proof, cache_proof, cached_proof, prove_preconditions
from swampstore.values.deltas import Delta, Put
from swampstore.values.entry import Entry
from swampstore.values.keys import check_key
from swampstore.values.names import COMMIT_LANE, Names
from swampstore.values.root import Proved

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.audit_delivery import Delivery
    from swampstore.client.namespaces import Removal
    from swampstore.client.status import NamespaceStatus
    from swampstore.protocols.commit import CommitLane
    from swampstore.protocols.lane_writer import LaneWriter
    from swampstore.protocols.pins import PinnedSnapshot
    from swampstore.protocols.stream import Stream
    from swampstore.protocols.update import Decide, Updated, Updates
    from swampstore.protocols.update import Seen as SeenEntry
    from swampstore.workers.compactor import Compactor
    from swampstore.workers.report import CompactReport

T = TypeVar("T")

_log = logging.getLogger("swampstore")
_HEX = frozenset("0123456789abcdef")


class CoreNamespace:
    """One namespace of an open store."""

    def __init__(self, owner: CoreStore, name: str) -> None:
        self.name = name
        self.owner = owner
        self.place = Place(owner.store, owner.env, owner.clock, Names(name), owner.caches)
        self._begin()

    def _begin(self) -> None:
        """Know nothing of what lies in the store."""
        self.register = Register(self.place)
        self.reader = SnapshotReader(self.place, self.register)
        files = lanes_of(self.owner.store)
        self.writer = Writer(self.place, files if files and files.chosen and not self.owner.one_shot else None)
        self.small = small_puts(self.place, self.writer, self.appended)
        self._proved = False
        self._proving = Fifo(self.place.env)
        self._appends = 0
        self._commits = 0
        self._lanes: dict[str, CommitLane] = {}
        self._updates: Updates | None = None
        vars(self).pop("delivery", None)

    @cached_property
    def delivery(self) -> Delivery:
        from swampstore.client.audit_delivery import Delivery

        return Delivery(self, self.owner.spools)

    # --- writing ------------------------------------------------------------------------------------------------

    async def put(self, delta: Put) -> Ack:
        return await self.append([delta])

    async def append(self, deltas: Sequence[Delta], *, last: bool = True) -> Ack:
        """Append ``deltas`` as one atomic batch; contents are uploaded first. See :meth:`Writer.append` for errors.

        ``last=False`` says that a one-shot process has more to append.
        """
        self.owner.check()
        if not deltas:
            raise Misuse("there is nothing to append", hint="pass at least one delta")
        with Operation(self.place.env, "append", "encode") as operation:
            bodies = check_deltas(deltas)
            with during("open"):
                await self.prove()
            drafted = await draft_records(self.place, self.writer, deltas, bodies)
            ack = await self._send(drafted, operation, last=last)
        return msgspec.structs.replace(ack, phases=operation.phases)

    async def send(self, drafted: Drafted, *, last: bool = True) -> Ack:
        """Append finished records as one atomic batch; ``last`` as for :meth:`append`."""
        with Operation(self.place.env, "append", "encode") as operation:
            ack = await self._send(drafted, operation, last=last)
        return msgspec.structs.replace(ack, phases=operation.phases)

    async def _send(self, drafted: Drafted, operation: Operation, *, last: bool) -> Ack:
        operation.records = len(drafted.records)
        drafted.check_age(self.place.clock.steady())
        watch = measured(self.place.env.boot, "encode")
        with watch:
            ack = await self.writer.append(drafted.records, closing=self.owner.one_shot and last)
        operation.laps.credit(ack.phases if self.writer.files is not None else watch.laps.end())
        with during("help"):
            await self.appended()
        return ack

    async def prove(self) -> None:
        """Make sure, once per store, that it refuses broken preconditions. Raises ``PreconditionsIgnored``."""
        if not self._proved:
            async with self._proving.turn("proof"):  # of many who come at once, one asks the store
                if not self._proved:
                    await self._prove()

    async def _prove(self) -> None:
        owner = self.owner
        proof = cached_proof(owner.url, owner.env)
        if proof is None:
            seen = self.register.last
            kept = (seen.root.proof if seen else None) or (await self.register.read()).root.proof
            proof = Proof(kept.time, kept.version) if kept else await prove_preconditions(owner.bare, owner.env)
            cache_proof(owner.url, proof, owner.env)
        self.register.proof = Proved(proof.time, proof.version)
        self._proved = True

    async def appended(self, most_s: float | None = None) -> None:
        """Fold when the log has grown long and nobody does it: looked at once in a while, never on every append.

        ``most_s`` bounds the wait for it.
        """
        self._appends += 1
        if self.writer.files is not None:
            if self.writer.files.take_help_due():
                await self.help(listed=True, most_s=most_s)
                await self._hold_back(self.writer.files)
        elif self.owner.one_shot:
            if self.owner.env.random() * LIST_AFTER_APPEND_ODDS < 1:
                await self.help(most_s=most_s)
        elif self._appends % HELP_FOLD_SEGMENTS == 0:
            await self.help(listed=True, most_s=most_s)

    async def help_if_deep(self) -> None:
        """After a commit in a shared lane: it has looked at the log, so its depth is known for nothing."""
        self._commits += 1
        if self.reader.log_depth > HELP_FOLD_SEGMENTS and (self.owner.one_shot or self._commits >= HELP_EVERY_COMMITS):
            self._commits = 0
            await self.help(listed=True)

    async def help(self, *, listed: bool = False, most_s: float | None = None) -> None:
        """Fold (and merge when due) once, if the log holds more than 256 unfolded segments and nobody leads.

        ``listed`` skips the look. An error here is logged, not raised: the caller's own work is done and acknowledged.
        After ``most_s`` it goes on unwatched.
        """
        try:
            work = self._help(listed=listed)
            await (work if most_s is None else self.place.env.within(most_s, work))
        except (SwampError, TimeoutError) as error:
            _log.warning("namespace %s: could not help to fold the log: %s", self.name, error)

    async def _hold_back(self, files: LaneWriter) -> None:
        """Back-pressure: while too much that was appended here waits to be folded, fold it here, whoever leads."""
        try:
            for _ in range(READ_RESTARTS):
                waiting = files.unfolded((await self.register.read()).root)
                if waiting <= DEEP_LANE_BYTES:
                    return
                _log.warning("namespace %s: %d bytes wait to be folded: appends wait for that", self.name, waiting)
                with during("admission_wait", apart=True):
                    await self.compactor().round(stay=False, insist=True)
        except SwampError as error:
            _log.warning("namespace %s: the log is deep and could not be folded: %s", self.name, error)

    async def _help(self, *, listed: bool) -> None:
        if listed or await self._is_deep():
            with during("help", apart=True):
                if self.writer.files is None or not await self._is_led():
                    await self.compactor().round(stay=False, insist=False)

    async def _is_led(self) -> bool:
        """Whether a compactor is at work: the root alone tells, without a look at all the lane files hold."""
        from swampstore.workers.leadership import led

        return led(await self.register.read())

    async def _is_deep(self) -> bool:
        """Whether the log holds more than 256 unfolded segments: a list and a root, and none of the segments."""
        listing, seen = await list_and_root(self.place, self.register)
        return len(unfolded(listing, seen.root)) > HELP_FOLD_SEGMENTS

    async def leave(self) -> None:
        """Before the process closes the store: those who appended look after the log, one in 64 appends on average."""
        seldom = self.writer.files.counts.unhelped if self.writer.files else self._appends % HELP_FOLD_SEGMENTS
        self.writer.close()
        await self.writer.finish()
        if seldom and not self.owner.one_shot and self.owner.env.random() * LIST_AFTER_APPEND_ODDS < seldom:
            await self.help()

    # --- shared lanes -------------------------------------------------------------------------------------------

    def _lane(self, name: str) -> CommitLane:
        from swampstore.protocols.commit import CommitLane

        held = self._lanes.get(name)  # one is made only when it is wanted: it holds references to itself
        return held or self._lanes.setdefault(name, CommitLane(self.place, self.register, self.reader, name))

    @property
    def updates(self) -> Updates:
        """Read-modify-write on this namespace."""
        if self._updates is None:
            from swampstore.protocols.update import Updates

            self._updates = Updates(self.place, self.reader, self.writer, self._lane(COMMIT_LANE))
        return self._updates

    async def update(
        self, keys: Sequence[str], decide: Decide, *, lock: str | None = None, deadline: float | None = None
    ) -> Updated:
        self.owner.check()
        done = await self.updates.update(keys, decide, lock=lock, deadline_s=deadline, ready=self.prove)
        await self.help_if_deep()
        return done

    async def put_if(self, delta: Put, *, if_version: bytes | str | None, if_absent: bool) -> Ack:
        """Put if the key's version is ``if_version``, or if it is absent. Raises ``VersionConflict``."""
        expected = if_version.hex() if isinstance(if_version, bytes) else if_version
        if expected is not None and (not isinstance(expected, str) or not expected or set(expected) - _HEX):
            raise Misuse(f"if_version={if_version!r}", hint="pass on an entry's version, or its hexadecimal form")
        if if_absent and expected is not None:
            raise Misuse("both if_version and if_absent", hint="give one of them")
        check_deltas([delta])

        def decide(held: dict[str, SeenEntry]) -> dict[str, Put]:
            entry = held[delta.key].entry
            current = entry.version.hex() if entry else None
            if current != expected:
                raise VersionConflict(
                    f"{delta.key!r} is at version {current}, not {expected}" if current else f"{delta.key!r} is absent",
                    expected=expected,
                    current=current,
                    hint="read it again and decide again",
                )
            return {delta.key: delta}

        self.owner.check()
        done = await self.updates.update([delta.key], decide, bodies=False, ready=self.prove)
        return Ack(done.lane, done.slot, done.versions, done.phases)

    async def resolve(self, error: AmbiguousAppend) -> bool | None:
        """Whether the commit that ``error`` names has landed; ``None`` if nobody can tell. Raises ``Misuse`` for others."""
        self.owner.check()
        if not isinstance(error, AmbiguousAppend) or not error.lane.startswith("s"):
            raise Misuse(
                "only a commit of an update, a lock or a stream can be resolved",
                hint="a blind write may simply be written again",
            )
        return await resolve(self.place, self.register, error.lane, error.slot, error.write_id)

    def open_stream(self, name: str) -> Stream:
        """The stream ``name``. Raises ``BadName``."""
        from swampstore.protocols.stream import Stream, check_stream, stream_lane

        self.owner.check()
        lane = self._lane(stream_lane(check_stream(name), SHARED_LANES))
        return Stream(self.place, self.reader, lane, name, self.help_if_deep, self.prove)

    # --- reading ------------------------------------------------------------------------------------------------

    async def snapshot(self, *, max_age: float = 0.0) -> Snapshot:
        self.owner.check()
        with Operation(self.place.env, "snapshot", "segments"):
            return await self.reader.open(max_age=max_age)

    async def pinned(self) -> PinnedSnapshot:
        """A snapshot that the sweep leaves alone until it is released. Costs a write, and a read of the root."""
        from swampstore.protocols.pins import pin_snapshot

        self.owner.check()
        return await pin_snapshot(self.place, self.register, self.reader).__aenter__()

    async def get(self, key: str, *, max_age: float = 0.0) -> Entry | None:
        with Operation(self.place.env, "get", "lookup") as operation:
            check_key(key)
            operation.records = 1
            return await self._entry(key, max_age)

    async def get_many(self, keys: Iterable[str], *, max_age: float = 0.0) -> dict[str, Entry | None]:
        """Entries of one snapshot."""
        with Operation(self.place.env, "get", "lookup") as operation:
            wanted = [check_key(key) for key in keys]
            operation.records = len(wanted)
            return await self._entries(wanted, max_age)

    async def _entries(self, wanted: Sequence[str], max_age: float = 0.0) -> dict[str, Entry | None]:
        return await self._of_snapshot(lambda snapshot: snapshot.get_many(wanted), max_age)

    async def _entry(self, key: str, max_age: float = 0.0) -> Entry | None:
        return await self._of_snapshot(lambda snapshot: snapshot.get(key), max_age)

    async def _of_snapshot(self, read: Callable[[Snapshot], Awaitable[T]], max_age: float) -> T:
        """What ``read`` reads of a snapshot; starts again when a compaction overtakes it."""
        self.owner.check()
        for last in range(READ_RESTARTS, 0, -1):
            try:
                return await read(await self.reader.open(max_age=max_age))
            except SnapshotExpired:
                if last == 1:
                    raise
        raise AssertionError("unreachable")

    async def read(self, key: str) -> bytes:
        """Contents, checked. Raises ``NotFound`` for a key that is not there."""
        with Operation(self.place.env, "read", "content") as operation:
            operation.records = 1
            return await read_content(self.place, await self._require(key))

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        async for chunk in stream_content(self.place, await self._require(key)):
            yield chunk

    async def read_entries(self, entries: Sequence[Entry]) -> Sequence[bytes | SwampError]:
        """Contents of many small entries side by side; the error of each in its place."""
        return await read_many(self.place, entries)

    async def _require(self, key: str) -> Entry:
        with during("lookup"):
            entry = await self._entry(check_key(key))
        if entry is None:
            raise NotFound(f"no entry {key!r} in namespace {self.name!r}", hint="list keys with: swamp object list")
        return entry

    def compactor(self) -> Compactor:
        from swampstore.workers.compactor import Compactor

        return Compactor(self.place, self.register)

    # --- upkeep -------------------------------------------------------------------------------------------------

    async def compact(self, *, full: bool = True) -> CompactReport:
        """Fold, merge (all of level 0 when ``full``) and sweep once, now, whoever leads."""
        self.owner.check()
        await self.prove()
        return await self.compactor().round(stay=False, insist=True, full=full)

    async def remove(self, *, dry_run: bool) -> Removal:
        """Delete the namespace. This process begins anew in it: a lane that went on would leave a gap at its begin."""
        from swampstore.client.namespaces import remove_namespace

        self.owner.check()
        removal = await remove_namespace(self.place, dry_run=dry_run)
        if not dry_run:
            self.writer.drop()
            self._begin()
        return removal

    async def status(self, *, queues: bool = False) -> NamespaceStatus:
        """Cheap enough to poll: one list and one conditional read; ``queues`` costs more, by their number."""
        from swampstore.client.status import status_of

        self.owner.check()
        status = await status_of(self.place, self.register, queues=queues)
        return msgspec.structs.replace(status, spool=self.delivery.status())


def puts(items: Mapping[str, object]) -> list[Delta]:
    """One put per item of a mapping from key to contents, or to a :class:`Put` made ready (its key is replaced)."""
    return [
        msgspec.structs.replace(value, key=key) if isinstance(value, Put) else Put(key=key, data=value)
        for key, value in items.items()
    ]
