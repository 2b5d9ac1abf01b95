"""The blocking client. Its names, arguments and meaning are those of :mod:`swampstore.client.aio`.

Safe to share between threads: appends of many threads travel together (group commit). After a fork the child opens the
store anew; using the parent's raises ``Misuse``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from swampstore.client.audits_blocking import Audits
from swampstore.client.care_blocking import Care
from swampstore.client.core import CoreNamespace, CoreStore, puts
from swampstore.client.trees_blocking import Trees
from swampstore.client.upkeep_blocking import Upkeep
from swampstore.env.blocking import BlockingEnv, each, run
from swampstore.errors import AmbiguousAppend
from swampstore.protocols.snapshot import Listed
from swampstore.protocols.snapshot import Snapshot as CoreSnapshot
from swampstore.protocols.writer import Ack
from swampstore.stores.open import open_store
from swampstore.values.deltas import Delete, Delta, Put
from swampstore.values.entry import Entry
from swampstore.workers.spool_place import spool_for

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.blocking_shared import HeldLock, Queue, Stream
    from swampstore.client.data_blocking import DataItem
    from swampstore.client.namespaces import Removal
    from swampstore.client.status import NamespaceStatus
    from swampstore.protocols.data_search import DataFilter
    from swampstore.protocols.pins import PinnedSnapshot
    from swampstore.protocols.saved import Saved
    from swampstore.protocols.update import Updated
    from swampstore.values.data import Model
    from swampstore.values.data_version import DataVersion
    from swampstore.workers.report import CompactReport
    from swampstore.workers.restore import RestoreReport

T = TypeVar("T")


def open(
    url: str, *, create: bool = False, timeout: float = 60.0, one_shot: bool = False, spool_dir: str | None = None
) -> Datastore:
    """Open a store: a path, ``file:///path``, ``memory://name`` or ``s3://bucket/prefix?endpoint=...``.

    ``create`` makes a missing directory. ``timeout`` is the total time in seconds that one request and its retries may
    take. ``one_shot`` promises that the process makes one append and exits. ``spool_dir`` is where audit records wait on
    this machine while the store cannot be reached (default: ``SWAMP_SPOOL_DIR``, else in the user's state folder). Nothing
    is sent yet, so a bucket that cannot be reached shows at the first use, and so does a directory that is gone where there
    was a store: until it is back, audit records wait on this machine.

    Raises ``BadURL``, ``StoreMissing`` (no such directory, and never a store there), ``StoreForbidden``, ``UnsupportedPlatform``.
    """
    env = BlockingEnv()
    store = open_store(url, env=env, create=create, timeout=timeout)
    spool = spool_for(store.url, spool_dir)
    return Datastore(CoreStore(store, env, timeout=timeout, one_shot=one_shot, spool=spool))


class Datastore:
    """An open store. Use it as a context manager, or call :meth:`close`."""

    def __init__(self, core: CoreStore) -> None:
        self._core = core

    @property
    def url(self) -> str:
        """The store's URL without credentials."""
        return self._core.url

    def namespace(self, name: str) -> Namespace:
        """The namespace ``name`` (it comes into being with its first write). Raises ``BadName``."""
        return Namespace(self._core.namespace(name))

    def namespaces(self) -> list[str]:
        """Names of the namespaces that exist, in order."""
        return run(self._core.namespaces())

    def delete_namespace(self, name: str, *, dry_run: bool = True) -> Removal:
        """Delete everything of a namespace; by default only say what would go. Stop its writers first."""
        return run(self._core.namespace(name).remove(dry_run=dry_run))

    def close(self) -> None:
        """Close connections. Appends in flight finish with their callers; later calls raise ``Misuse``."""
        run(self._core.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Namespace(Audits, Care, Upkeep, Trees):
    """One namespace. Made by :meth:`Datastore.namespace`."""

    def __init__(self, core: CoreNamespace) -> None:
        self._core = core

    @property
    def name(self) -> str:
        return self._core.name

    def put(
        self,
        key: str,
        data: object,
        *,
        content_type: str = "",
        tags: dict[str, str] | None = None,
        expires: int = 0,
        ttl: float = 0,
        record_class: str = "indexed",
        if_version: bytes | str | None = None,
        if_absent: bool = False,
    ) -> Ack:
        """Write contents (bytes, text or a ``FileSource``) under ``key``: one append, no lock, no read.

        ``expires`` is ms since the epoch, 0 = never; ``ttl`` seconds from now. ``record_class="ephemeral"`` is runtime
        state (see :class:`swampstore.Put`). With ``if_version`` (an entry's version) or ``if_absent`` the write
        is an update: it commits only if the key is as said, else ``VersionConflict``.

        Returns when the write is durable. Raises ``BadKey``, ``TooLarge``, ``AmbiguousAppend``, or what the store refuses
        with.
        """
        plain = if_version is None and not if_absent
        short = self._core.small
        if short and plain and not (content_type or tags or expires or ttl or record_class != "indexed"):
            ack = short.put_now(key, data)
            if ack is not None:
                return ack
        delta = Put(
            key=key,
            data=data,
            content_type=content_type,
            tags=tags or {},
            expires=expires,
            ttl=ttl,
            record_class=record_class,
        )
        if plain:
            return run(self._core.put(delta))
        return run(self._core.put_if(delta, if_version=if_version, if_absent=if_absent))

    def put_many(self, items: Mapping[str, object]) -> Ack:
        """Write many keys as one atomic batch. Values are contents, or :class:`swampstore.Put` for more than that."""
        ack = run(self._core.small.put_many(items)) if self._core.small else None
        return ack or run(self._core.append(puts(items)))

    def delete(self, key: str, *, record_class: str = "indexed") -> Ack:
        """Delete ``key`` as of now, whether it is there or not: one append."""
        return run(self._core.append([Delete(key=key, record_class=record_class)]))

    def append(self, deltas: Sequence[Delta]) -> Ack:
        """Append any mix of :class:`swampstore.Put`, ``Index`` and ``Delete`` as one atomic batch."""
        return run(self._core.append(deltas))

    def update(
        self,
        keys: str | Sequence[str],
        fn: Callable[[Any], Any],
        *,
        lock: str | None = None,
        deadline: float | None = None,
        entries: bool = False,
    ) -> Updated:
        """Read, decide, write, with nobody's commit in between; ``fn`` is called again after a conflict.

        For one key ``fn`` gets its contents or ``None`` and returns contents, ``DELETE`` or ``SKIP``; for several it gets
        and returns a dict (all are written, or none). ``entries=True`` gives ``(entry, contents)``. Updates that share a
        key, or a ``lock`` name, are serial; others never wait for each other. ``deadline`` (s) bounds the waiting.

        Raises ``DeadlinePassed``, ``AmbiguousAppend``, ``Misuse``, and what ``fn`` raises (nothing is written then).
        """
        from swampstore.client.deciding import deciding

        names, decide = deciding(keys, fn, entries=entries, awaits=False)
        return run(self._core.update(names, decide, lock=lock, deadline=deadline))

    def lock(self, name: str, *, deadline: float | None = None, purpose: str = "") -> AbstractContextManager[HeldLock]:
        """Hold a lock over several steps: ``with ns.lock("deploy") as held: held.put(...)``. FIFO; fenced."""
        from swampstore.client.blocking_shared import held_lock

        return held_lock(self._core, name, deadline, purpose)

    def stream(self, name: str) -> Stream:
        """The stream ``name``: an ordered sequence of records, appended with or without a fence."""
        from swampstore.client.blocking_shared import Stream

        return Stream(self._core.open_stream(name))

    def data(self, model: Model | str, name: str) -> DataItem:
        """The datum ``name`` of ``model`` (a :class:`swampstore.Model`, or ``type:id``): its versions. Raises ``BadName``."""
        from swampstore.client.data import CoreItem
        from swampstore.client.data_blocking import DataItem

        return DataItem(CoreItem(self._core, model, name))

    def search_data(self, **wanted: Unpack[DataFilter]) -> Iterator[DataVersion]:
        """Versions that match all that is said, item by item; of each only the newest, unless ``latest_only=False``.

        ``model``, ``model_type``, ``lifetime``; ``name`` and ``content_type`` with ``*`` and ``?``; ``tags`` that are among
        the version's; ``owner``: part of its fields, or one of their values; ``since``, ``until``; at most ``limit``.
        """
        from swampstore.client.data_blocking import find_data

        return find_data(self._core, wanted)

    def queue(self, name: str, capacity: int | None = None) -> Queue:
        """The FIFO queue ``name``; ``capacity`` is used when it does not exist yet (default 1)."""
        from swampstore.client.blocking_shared import Queue
        from swampstore.protocols.queue import fair_queue

        return Queue(self._core, fair_queue(self._core.place, name, capacity=capacity))

    def queues(self) -> Sequence[str]:
        """The names of all queues and locks that were ever waited for, sorted."""
        from swampstore.protocols.queue_status import queue_names

        return run(queue_names(self._core.place))

    def resolve(self, error: AmbiguousAppend) -> bool | None:
        """Whether the commit of an ``AmbiguousAppend`` (an update, a held write, a stream's append) has landed.

        ``None`` when nobody can tell any more. The answer is final: what has not landed by then never will.
        """
        return run(self._core.resolve(error))

    def get(self, key: str, *, max_age: float = 0.0) -> Entry | None:
        """The entry of ``key`` or ``None``. Sees every write acknowledged before the call (or ``max_age`` s before)."""
        return run(self._core.get(key, max_age=max_age))

    def get_many(self, keys: Iterable[str], *, max_age: float = 0.0) -> dict[str, Entry | None]:
        """The entries of many keys, of one snapshot."""
        return run(self._core.get_many(keys, max_age=max_age))

    def read(self, key: str) -> bytes:
        """The contents of ``key``, hash checked. Raises ``NotFound``, ``CorruptObject``, ``MissingObject``."""
        return run(self._core.read(key))

    def read_chunks(self, key: str) -> Iterator[bytes]:
        """The contents of ``key`` in pieces of at most 16 MB; the hash is checked before the last piece is given."""
        return each(self._core.stream(key))

    def list(self, prefix: str = "", *, start_after: str = "", limit: int | None = None, delimiter: str = "") -> Listed:
        """Entries under ``prefix`` in key order; iterate it. With ``delimiter``, deeper keys become ``.prefixes``."""
        return self.snapshot().list(prefix, start_after=start_after, limit=limit, delimiter=delimiter)

    def scan(self, prefix: str = "", *, start_after: str = "") -> Iterator[Entry]:
        """Every entry under ``prefix`` in key order, however many, in bounded memory."""
        return self.snapshot().scan(prefix, start_after=start_after)

    def snapshot(self, *, max_age: float = 0.0, pin: bool = False, saved: str | None = None) -> Snapshot:
        """What the namespace holds now (or held at most ``max_age`` seconds ago, or when snapshot ``saved`` was made).

        With ``pin`` nothing it names is swept while it is used; end it (``with``, or ``close``). For scans of an hour
        and more; an unpinned one then raises ``SnapshotExpired``. A saved one needs no pin.
        """
        if saved is not None:
            from swampstore.client.saving import open_saved

            return Snapshot(run(open_saved(self._core, saved)))
        if not pin:
            return Snapshot(run(self._core.snapshot(max_age=max_age)))
        pinned = run(self._core.pinned())
        return Snapshot(pinned.snapshot, pinned)

    def set_classes(self, rules: Mapping[str, str]) -> dict[str, str]:
        """Say which prefixes belong to which class of records (``"ephemeral"``), instead of what was said before.

        The rules lie in the namespace: they hold for every writer, whether it knows them or not. Returns them.
        """
        from swampstore.client.classes import set_classes

        return run(set_classes(self._core, rules))

    def save(self, name: str) -> Saved:
        """Keep what the namespace holds now as snapshot ``name``, until it is deleted. Raises ``AlreadyExists``."""
        from swampstore.client.saving import save

        return run(save(self._core, name))

    def saved(self) -> Sequence[Saved]:
        """The saved snapshots, by name."""
        from swampstore.client.saving import list_saved

        return run(list_saved(self._core))

    def delete_saved(self, name: str) -> Saved:
        """Delete a saved snapshot; what only it held may then be swept. Raises ``NotFound``."""
        from swampstore.client.saving import delete_saved

        return run(delete_saved(self._core, name))

    def restore(self, name: str, *, dry_run: bool = True, prefix: str = "", full: bool = False) -> RestoreReport:
        """Bring the entries back to snapshot ``name`` by appending the difference; by default only say what it is.

        ``full`` reads and hashes every content that is to come back before anything is changed. Raises ``NotFound``,
        ``MissingObject`` or ``CorruptObject`` (then nothing was changed).
        """
        from swampstore.client.saving import restore_saved

        return run(restore_saved(self._core, name, dry_run=dry_run, prefix=prefix, full=full))

    def compact(self, *, full: bool = True) -> CompactReport:
        """Fold the log, merge level 0 into shards and sweep, once, now."""
        return run(self._core.compact(full=full))

    def status(self, *, queues: bool = False) -> NamespaceStatus:
        """Sizes, log depth, leader, garbage: two requests, cheap enough to poll.

        With ``queues`` also who holds and who waits where: some six requests for each queue.
        """
        return run(self._core.status(queues=queues))


class Snapshot:
    """An immutable view. Made by :meth:`Namespace.snapshot`."""

    def __init__(self, core: CoreSnapshot, pinned: PinnedSnapshot | None = None) -> None:
        self._core = core
        self._pinned = pinned

    def close(self) -> None:
        """Give up the pin, if there is one. Idempotent."""
        pinned, self._pinned = self._pinned, None
        if pinned is not None:
            run(pinned.release())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def root_version(self) -> int:
        return self._core.root.version

    def get(self, key: str) -> Entry | None:
        """The entry of ``key`` or ``None``. Raises ``SnapshotExpired`` when what it needs was swept."""
        return run(self._core.get(key))

    def get_many(self, keys: Iterable[str]) -> dict[str, Entry | None]:
        return run(self._core.get_many(keys))

    def read(self, key: str) -> bytes:
        """The contents that ``key`` has in this snapshot, hash checked. Raises as :meth:`Namespace.read`."""
        return b"".join(self.read_chunks(key))

    def read_chunks(self, key: str) -> Iterator[bytes]:
        """See :meth:`Namespace.read_chunks`."""
        from swampstore.client.saving import chunks_in

        return each(chunks_in(self._core, key))

    def list(self, prefix: str = "", *, start_after: str = "", limit: int | None = None, delimiter: str = "") -> Listed:
        """Entries under ``prefix`` in key order; see :meth:`Namespace.list`."""
        return run(self._core.page(prefix, start_after=start_after, limit=limit, delimiter=delimiter))

    def scan(self, prefix: str = "", *, start_after: str = "") -> Iterator[Entry]:
        """Every entry under ``prefix`` in key order, in bounded memory."""
        for chunk in each(self._core.scan(prefix, start_after=start_after)):
            if self._pinned is not None:
                run(self._pinned.keep())
            yield from chunk


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run core code over a blocking store (for the command line and for tests)."""
    return run(work)
