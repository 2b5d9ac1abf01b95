"""The asyncio client. Its names, arguments and meaning are those of :mod:`swampstore.client.blocking`.

A store belongs to the event loop it was opened in. Appends of many tasks travel together (group commit). Cancelling a
task never cancels a write that is in flight.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from swampstore.client.audits_aio import AsyncAudits
from swampstore.client.care_aio import AsyncCare
from swampstore.client.core import CoreNamespace, CoreStore, puts
from swampstore.client.trees_aio import AsyncTrees
from swampstore.client.upkeep_aio import AsyncUpkeep
from swampstore.env.aio import AioEnv
from swampstore.errors import AmbiguousAppend
from swampstore.protocols.snapshot import Listed
from swampstore.protocols.snapshot import Snapshot as CoreSnapshot
from swampstore.protocols.writer import Ack
from swampstore.stores.open import open_store
from swampstore.values.deltas import Delete, Delta, Put
from swampstore.values.entry import Entry
from swampstore.workers.spool_place import spool_for

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.aio_shared import AsyncHeldLock, AsyncQueue, AsyncStream
    from swampstore.client.data_aio import AsyncDataItem
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


async def open_async(
    url: str, *, create: bool = False, timeout: float = 60.0, one_shot: bool = False, spool_dir: str | None = None
) -> AsyncDatastore:
    """Open a store; see :func:`swampstore.client.blocking.open` for the URL, the arguments and the errors."""
    env = AioEnv()
    store = open_store(url, env=env, asynchronous=True, create=create, timeout=timeout)
    spool = spool_for(store.url, spool_dir)
    return AsyncDatastore(CoreStore(store, env, timeout=timeout, one_shot=one_shot, spool=spool))


class AsyncDatastore:
    """An open store. Use it as an asynchronous context manager, or await :meth:`close`."""

    def __init__(self, core: CoreStore) -> None:
        self._core = core

    @property
    def url(self) -> str:
        """The store's URL without credentials."""
        return self._core.url

    def namespace(self, name: str) -> AsyncNamespace:
        """The namespace ``name`` (it comes into being with its first write). Raises ``BadName``."""
        return AsyncNamespace(self._core.namespace(name))

    async def namespaces(self) -> list[str]:
        """Names of the namespaces that exist, in order."""
        return await self._core.namespaces()

    async def delete_namespace(self, name: str, *, dry_run: bool = True) -> Removal:
        """Delete everything of a namespace; by default only say what would go. Stop its writers first."""
        return await self._core.namespace(name).remove(dry_run=dry_run)

    async def close(self) -> None:
        """Close connections. Appends in flight finish with their callers; later calls raise ``Misuse``."""
        await self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncNamespace(AsyncAudits, AsyncCare, AsyncUpkeep, AsyncTrees):
    """One namespace. Made by :meth:`AsyncDatastore.namespace`."""

    def __init__(self, core: CoreNamespace) -> None:
        self._core = core

    @property
    def name(self) -> str:
        return self._core.name

    async def put(
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
        """See :meth:`swampstore.client.blocking.Namespace.put`."""
        plain = if_version is None and not if_absent
        short = self._core.small
        if short and plain and not (content_type or tags or expires or ttl or record_class != "indexed"):
            ack = await short.put(key, data)
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
            return await self._core.put(delta)
        return await self._core.put_if(delta, if_version=if_version, if_absent=if_absent)

    async def put_many(self, items: Mapping[str, object]) -> Ack:
        """See :meth:`swampstore.client.blocking.Namespace.put_many`."""
        ack = await self._core.small.put_many(items) if self._core.small else None
        return ack or await self._core.append(puts(items))

    async def delete(self, key: str, *, record_class: str = "indexed") -> Ack:
        """See :meth:`swampstore.client.blocking.Namespace.delete`."""
        return await self._core.append([Delete(key=key, record_class=record_class)])

    async def append(self, deltas: Sequence[Delta]) -> Ack:
        """See :meth:`swampstore.client.blocking.Namespace.append`."""
        return await self._core.append(deltas)

    async def update(
        self,
        keys: str | Sequence[str],
        fn: Callable[[Any], Any],
        *,
        lock: str | None = None,
        deadline: float | None = None,
        entries: bool = False,
    ) -> Updated:
        """See :meth:`swampstore.client.blocking.Namespace.update`; ``fn`` may return an awaitable."""
        from swampstore.client.deciding import deciding

        names, decide = deciding(keys, fn, entries=entries, awaits=True)
        return await self._core.update(names, decide, lock=lock, deadline=deadline)

    def lock(
        self, name: str, *, deadline: float | None = None, purpose: str = ""
    ) -> AbstractAsyncContextManager[AsyncHeldLock]:
        """See :meth:`swampstore.client.blocking.Namespace.lock`."""
        from swampstore.client.aio_shared import held_lock

        return held_lock(self._core, name, deadline, purpose)

    def stream(self, name: str) -> AsyncStream:
        """See :meth:`swampstore.client.blocking.Namespace.stream`."""
        from swampstore.client.aio_shared import AsyncStream

        return AsyncStream(self._core.open_stream(name))

    def data(self, model: Model | str, name: str) -> AsyncDataItem:
        """See :meth:`swampstore.client.blocking.Namespace.data`."""
        from swampstore.client.data import CoreItem
        from swampstore.client.data_aio import AsyncDataItem

        return AsyncDataItem(CoreItem(self._core, model, name))

    def search_data(self, **wanted: Unpack[DataFilter]) -> AsyncIterator[DataVersion]:
        """See :meth:`swampstore.client.blocking.Namespace.search_data`."""
        from swampstore.client.data_aio import find_data

        return find_data(self._core, wanted)

    def queue(self, name: str, capacity: int | None = None) -> AsyncQueue:
        """See :meth:`swampstore.client.blocking.Namespace.queue`."""
        from swampstore.client.aio_shared import AsyncQueue
        from swampstore.protocols.queue import fair_queue

        return AsyncQueue(self._core, fair_queue(self._core.place, name, capacity=capacity))

    async def queues(self) -> Sequence[str]:
        """The names of all queues and locks that were ever waited for, sorted."""
        from swampstore.protocols.queue_status import queue_names

        return await queue_names(self._core.place)

    async def resolve(self, error: AmbiguousAppend) -> bool | None:
        """Whether the commit of an ``AmbiguousAppend`` (an update, a held write, a stream's append) has landed.

        ``None`` when nobody can tell any more. The answer is final: what has not landed by then never will.
        """
        return await self._core.resolve(error)

    async def get(self, key: str, *, max_age: float = 0.0) -> Entry | None:
        """See :meth:`swampstore.client.blocking.Namespace.get`."""
        return await self._core.get(key, max_age=max_age)

    async def get_many(self, keys: Iterable[str], *, max_age: float = 0.0) -> dict[str, Entry | None]:
        """See :meth:`swampstore.client.blocking.Namespace.get_many`."""
        return await self._core.get_many(keys, max_age=max_age)

    async def read(self, key: str) -> bytes:
        """See :meth:`swampstore.client.blocking.Namespace.read`."""
        return await self._core.read(key)

    def read_chunks(self, key: str) -> AsyncIterator[bytes]:
        """See :meth:`swampstore.client.blocking.Namespace.read_chunks`."""
        return self._core.stream(key)

    async def list(
        self, prefix: str = "", *, start_after: str = "", limit: int | None = None, delimiter: str = ""
    ) -> Listed:
        """See :meth:`swampstore.client.blocking.Namespace.list`."""
        snapshot = await self.snapshot()
        return await snapshot.list(prefix, start_after=start_after, limit=limit, delimiter=delimiter)

    async def scan(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[Entry]:
        """See :meth:`swampstore.client.blocking.Namespace.scan`."""
        async for entry in (await self.snapshot()).scan(prefix, start_after=start_after):
            yield entry

    async def snapshot(self, *, max_age: float = 0.0, pin: bool = False, saved: str | None = None) -> AsyncSnapshot:
        """See :meth:`swampstore.client.blocking.Namespace.snapshot`."""
        if saved is not None:
            from swampstore.client.saving import open_saved

            return AsyncSnapshot(await open_saved(self._core, saved))
        if not pin:
            return AsyncSnapshot(await self._core.snapshot(max_age=max_age))
        pinned = await self._core.pinned()
        return AsyncSnapshot(pinned.snapshot, pinned)

    async def set_classes(self, rules: Mapping[str, str]) -> dict[str, str]:
        """See :meth:`swampstore.client.blocking.Namespace.set_classes`."""
        from swampstore.client.classes import set_classes

        return await set_classes(self._core, rules)

    async def save(self, name: str) -> Saved:
        """See :meth:`swampstore.client.blocking.Namespace.save`."""
        from swampstore.client.saving import save

        return await save(self._core, name)

    async def saved(self) -> Sequence[Saved]:
        """See :meth:`swampstore.client.blocking.Namespace.saved`."""
        from swampstore.client.saving import list_saved

        return await list_saved(self._core)

    async def delete_saved(self, name: str) -> Saved:
        """See :meth:`swampstore.client.blocking.Namespace.delete_saved`."""
        from swampstore.client.saving import delete_saved

        return await delete_saved(self._core, name)

    async def restore(self, name: str, *, dry_run: bool = True, prefix: str = "", full: bool = False) -> RestoreReport:
        """See :meth:`swampstore.client.blocking.Namespace.restore`."""
        from swampstore.client.saving import restore_saved

        return await restore_saved(self._core, name, dry_run=dry_run, prefix=prefix, full=full)

    async def compact(self, *, full: bool = True) -> CompactReport:
        """See :meth:`swampstore.client.blocking.Namespace.compact`."""
        return await self._core.compact(full=full)

    async def status(self, *, queues: bool = False) -> NamespaceStatus:
        """See :meth:`swampstore.client.blocking.Namespace.status`."""
        return await self._core.status(queues=queues)


class AsyncSnapshot:
    """An immutable view. Made by :meth:`AsyncNamespace.snapshot`."""

    def __init__(self, core: CoreSnapshot, pinned: PinnedSnapshot | None = None) -> None:
        self._core = core
        self._pinned = pinned

    async def close(self) -> None:
        """See :meth:`swampstore.client.blocking.Snapshot.close`."""
        pinned, self._pinned = self._pinned, None
        if pinned is not None:
            await pinned.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def root_version(self) -> int:
        return self._core.root.version

    async def get(self, key: str) -> Entry | None:
        """See :meth:`swampstore.client.blocking.Snapshot.get`."""
        return await self._core.get(key)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Entry | None]:
        """See :meth:`swampstore.client.blocking.Snapshot.get_many`."""
        return await self._core.get_many(keys)

    async def read(self, key: str) -> bytes:
        """See :meth:`swampstore.client.blocking.Snapshot.read`."""
        return b"".join([chunk async for chunk in self.read_chunks(key)])

    async def read_chunks(self, key: str) -> AsyncIterator[bytes]:
        """See :meth:`swampstore.client.blocking.Snapshot.read_chunks`."""
        from swampstore.client.saving import chunks_in

        async for chunk in chunks_in(self._core, key):
            yield chunk

    async def list(
        self, prefix: str = "", *, start_after: str = "", limit: int | None = None, delimiter: str = ""
    ) -> Listed:
        """See :meth:`swampstore.client.blocking.Snapshot.list`."""
        return await self._core.page(prefix, start_after=start_after, limit=limit, delimiter=delimiter)

    async def scan(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[Entry]:
        """See :meth:`swampstore.client.blocking.Snapshot.scan`."""
        async for chunk in self._core.scan(prefix, start_after=start_after):
            if self._pinned is not None:
                await self._pinned.keep()
            for entry in chunk:
                yield entry
