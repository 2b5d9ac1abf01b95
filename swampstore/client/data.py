"""The data model of a namespace, written once: what the blocking and the asyncio face drive.

Invariants:
- A put is one append and nothing else; who asks for the ordinal at once pays for a fold (anybody may fold).
- Reads answer from one snapshot, renamings followed in it included, and start again when a compaction overtakes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from swampstore.client.core import CoreNamespace
from swampstore.errors import DeadForward, Misuse, NotFound, NotNumbered, SnapshotExpired, SwampError, TryAgain
from swampstore.limits import DATA_NUMBER_TRIES, DATA_RENAMES, READ_RESTARTS, SEGMENT_DELTAS
from swampstore.protocols.contents import read_content, stream_content
from swampstore.protocols.data import DataView
from swampstore.protocols.data_search import DataFilter, Wanted, search
from swampstore.protocols.drafting import Drafted
from swampstore.protocols.snapshot import Snapshot
from swampstore.protocols.versions import NewVersion, check_version, draft_removal, draft_rename, draft_version, removed
from swampstore.protocols.writer import Ack
from swampstore.values.data import Model, decode_ordinal, id_key, is_id, item_path, latest_path, parse_model
from swampstore.values.data_version import DataVersion
from swampstore.values.entry import Record

T = TypeVar("T")
LATEST = "latest"
MOST_ORDINAL = 10**15 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER_PAUSE_S = 0.05


class DataAck(Ack, frozen=True):
    """An ack of a version: its stable ``id``, and its ``ordinal`` when it was asked for."""

    id: str = ""
    ordinal: int | None = None


class DataRemoval(Ack, frozen=True):
    """An ack of a removal, with the versions ``removed``, newest first."""

    removed: tuple[DataVersion, ...] = ()


class CoreItem:
    """One datum of one model of a namespace."""

    def __init__(self, core: CoreNamespace, model: Model | str, name: str) -> None:
        self.core = core
        self.model = parse_model(model)
        self.name = name
        self.path = item_path(self.model, name)

    # --- writing ------------------------------------------------------------------------------------------------

    async def put(self, data: object, *, ordinal: bool, **fields: Any) -> DataAck:
        """One append; with ``ordinal`` also folds until the version has its number. Raises ``NotNumbered``."""
        core = self.core
        core.owner.check()
        checked = check_version(NewVersion(model=self.model, name=self.name, data=data, **fields))
        await core.prove()
        ack = await core.send(await draft_version(core.place, core.writer, checked))
        number = await self._number(ack.version) if ordinal else None
        return _ack(DataAck, ack, id=ack.version.hex(), ordinal=number)

    async def _number(self, version: bytes) -> int:
        """Fold until ``version`` has its ordinal. Several callers at once help each other: whoever folds folds for all."""
        core, key, reason = self.core, id_key(self.path, version), ""
        compactor = core.compactor()
        for attempt in range(DATA_NUMBER_TRIES):
            try:
                _, read = await compactor.fold_once(insist=True)
                known = next((record for record in read.seen.root.inline if record.key == key), None)
                known = known or await (await core.snapshot()).record(key)
            except TryAgain as error:
                reason, known = f": {error}", None
            except SwampError as error:
                raise self._not_numbered(version, f": {error}") from error
            if known is not None and known.gone:
                raise NotFound(f"{self.path!r} {version.hex()} was removed before it had a number")
            if known is not None and known.version != version:
                return decode_ordinal(known.value, key)
            await core.owner.env.sleep(core.owner.env.random() * _NUMBER_PAUSE_S * min(attempt + 1, 10))
        raise self._not_numbered(version, reason)

    def _not_numbered(self, version: bytes, reason: str) -> NotNumbered:
        return NotNumbered(
            f"a version of {self.path!r} is stored but has no number yet{reason}",
            id=version.hex(),
            hint="do not put it again: ask for it by its id",
        )

    async def delete(self, version: object = None) -> DataRemoval:
        """Remove one version, or all there are. Raises ``NotFound`` when there is nothing to remove."""
        core = self.core
        core.owner.check()
        snapshot, versions = await self._ask(lambda snapshot: self._to_remove(snapshot, version))
        if not versions:
            which = "" if version is None else f" version {version}"
            raise NotFound(f"no data {self.path!r}{which} in namespace {core.name!r}", hint="see: versions()")
        groups = await draft_removal(snapshot, versions)
        if version is None:
            groups.append(await self._latest_file(snapshot))
        await core.prove()
        ack: Ack | None = None
        batches = list(_batches(groups))
        for number, records in enumerate(batches, 1):
            ack = await core.send(Drafted(records, uploaded=None), last=number == len(batches))
        assert ack is not None
        return _ack(DataRemoval, ack, removed=tuple(versions))

    async def _to_remove(self, snapshot: Snapshot, version: object) -> tuple[Snapshot, list[DataVersion]]:
        view = DataView(self.core.place, snapshot)
        if version is None:
            return snapshot, (await view.find(self.path)).versions
        found = await self._pick(view, self.path, _which(version), None)
        return snapshot, [found] if found else []

    async def _latest_file(self, snapshot: Snapshot) -> list[Record]:
        """The tombstone of a ``latest`` that an import has left; without versions it means nothing."""
        held = await snapshot.record(latest_path(self.path))
        return [removed(held.key, held.version)] if held is not None and not held.gone else []

    async def rename(self, new_name: str) -> DataAck:
        """Forward to a new name, under which the newest version lies from now on."""
        core = self.core
        core.owner.check()
        item_path(self.model, new_name)
        await core.prove()
        drafted = await self._ask(
            lambda snapshot: draft_rename(core.place, core.writer, snapshot, self.model, self.name, new_name)
        )
        ack = await core.send(drafted)
        return _ack(DataAck, ack, id=ack.version.hex())

    # --- reading ------------------------------------------------------------------------------------------------

    async def get(self, version: object, *, as_of: int | datetime | None, follow: bool) -> DataVersion | None:
        """One version, or ``None``. Raises ``BelowHorizon``, ``DeadForward``, ``Misuse``."""
        wanted, moment = _which(version), as_ms(as_of, "as_of")
        if moment is not None and wanted != LATEST:
            raise Misuse("both a version and as_of", hint="give one of them")
        return await self._ask(lambda snapshot: self._get(snapshot, wanted, moment, follow))

    async def _get(self, snapshot: Snapshot, wanted: str | int, moment: int | None, follow: bool) -> DataVersion | None:
        view, path, seen = DataView(self.core.place, snapshot), self.path, [self.name]
        while True:
            found = await self._pick(view, path, wanted, moment)
            if found is None or not found.deleted or not follow or wanted != LATEST:
                return found
            if not found.renamed_to:
                return None
            path = self._forward(found.renamed_to, seen)

    def _forward(self, name: str, seen: list[str]) -> str:
        """The path of the next name. Raises ``DeadForward``."""
        way = " -> ".join([*seen, name])
        hint = "ask for a version by its number, or with follow=False"
        if name in seen:
            raise DeadForward(f"{self.path!r} was renamed in a circle: {way}", hint=hint)
        if len(seen) > DATA_RENAMES:
            raise DeadForward(f"{self.path!r} was renamed more than {DATA_RENAMES} times: {way}", hint=hint)
        seen.append(name)
        try:
            return item_path(self.model, name)
        except SwampError as error:
            raise DeadForward(f"{self.path!r} was renamed to what is no name: {way}", hint=hint) from error

    @staticmethod
    async def _pick(view: DataView, path: str, wanted: str | int, moment: int | None) -> DataVersion | None:
        if moment is not None:
            return await view.as_of(path, moment)
        if wanted == LATEST:
            return await view.latest(path)
        return await (view.by_ordinal(path, wanted) if isinstance(wanted, int) else view.by_id(path, wanted))

    async def versions(self, limit: int | None = None) -> list[DataVersion]:
        """The versions there are, newest first, at most ``limit``."""
        if limit is not None and (type(limit) is not int or limit < 1):
            raise Misuse(f"limit={limit!r}", hint="1 or more, or None for all")
        found = await self._ask(lambda snapshot: DataView(self.core.place, snapshot).find(self.path))
        return found.versions[:limit]

    async def require(self, version: object, *, as_of: int | datetime | None) -> DataVersion:
        """Like :meth:`get`, following renamings. Raises ``NotFound``."""
        found = await self.get(version, as_of=as_of, follow=True)
        if found is None:
            which = "" if version == LATEST else f" version {version}"
            raise NotFound(f"no data {self.path!r}{which} in namespace {self.core.name!r}", hint="see: versions()")
        return found

    async def read(self, version: object, *, as_of: int | datetime | None) -> bytes:
        """Contents, checked."""
        return await read_content(self.core.place, (await self.require(version, as_of=as_of)).entry)

    async def stream(self, version: object, *, as_of: int | datetime | None) -> AsyncIterator[bytes]:
        """Contents in pieces."""
        found = await self.require(version, as_of=as_of)
        async for chunk in stream_content(self.core.place, found.entry):
            yield chunk

    async def _ask(self, question: Callable[[Snapshot], Awaitable[T]]) -> T:
        """The answer of one snapshot; a new one when a compaction overtakes it."""
        for last in range(READ_RESTARTS, 0, -1):
            try:
                return await question(await self.core.snapshot())
            except SnapshotExpired:
                if last == 1:
                    raise
        raise AssertionError("unreachable")


async def search_data(core: CoreNamespace, wanted: DataFilter) -> AsyncIterator[DataVersion]:
    """The versions that match, of one snapshot."""
    fields: dict[str, Any] = {**wanted, "tags": wanted.get("tags") or {}}
    for moment in ("since", "until"):
        fields[moment] = as_ms(fields.get(moment), moment)
    unknown = set(fields).difference(Wanted.__struct_fields__)
    if unknown:
        raise Misuse(f"a search by {min(unknown)!r}", hint=f"one of: {', '.join(Wanted.__struct_fields__)}")
    asked = Wanted(**fields)
    asked.prefix()
    snapshot = await core.snapshot()
    async for version in search(core.place, snapshot, asked):
        yield version


def as_ms(moment: int | datetime | None, what: str) -> int | None:
    """Milliseconds since the epoch of a time given as such or as a ``datetime`` (UTC if it has no zone)."""
    if isinstance(moment, datetime):
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    if moment is None or (type(moment) is int and abs(moment) < 1 << 63):
        return moment
    raise Misuse(f"{what}={moment!r}", hint="milliseconds since the epoch, or a datetime")


def _which(version: object) -> str | int:
    if version == LATEST or is_id(version):
        return str(version)
    if type(version) is int and 0 <= version <= MOST_ORDINAL:
        return version
    raise Misuse(f"version={version!r}", hint='a number, "latest", or the id of a version')


A = TypeVar("A", bound=Ack)


def _ack(kind: type[A], ack: Ack, **more: Any) -> A:
    return kind(**{field: getattr(ack, field) for field in Ack.__struct_fields__}, **more)


def _batches(groups: list[list[Record]]) -> list[list[Record]]:
    """``groups`` put together into as few appends as they fit; a group is never cut."""
    batches: list[list[Record]] = [[]]
    for group in groups:
        if len(batches[-1]) + len(group) > SEGMENT_DELTAS // 2:
            batches.append([])
        batches[-1] += group
    return batches
