"""Pins: a long reader asks the sweep to leave what its snapshot names.

A pin is an object that holds the version of a root. It lives for a TTL after its last write, by the store's own time; its
reader renews it. Saved snapshots hold what they name in the same way, until they are deleted.

Invariants:
- After writing a pin its reader reads the root again: if the sweep floor has passed the pinned version, what it names may
  be gone, and it starts over. The sweep raises the floor first and lists pins afterwards, so one of them sees the other.
- A pin renewed later than its TTL counts as written anew.
- A live pin or a saved snapshot that cannot be read holds everything.
"""

from __future__ import annotations

from types import TracebackType

import msgspec

from swampstore.env.clock import Span
from swampstore.errors import CorruptObject, NotFound, SnapshotExpired, SwampError
from swampstore.limits import CLOCK_OFF_MS, LIST_PAGES, PIN_TTL_MS, READ_RESTARTS, STORE_TIME_GRAIN_MS
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.stores.base import Create, Get, Got, Info, Overwrite
from swampstore.values.frame import UNREADABLE, Kind, pack, unpack
from swampstore.values.names import unique_ms
from swampstore.values.root import Garbage, Root, decode_root

FORMAT = 1
_PIN_MAX_BYTES = 4096
_ROOT_NAMES = ("l0/", "shard/", "eph/")
"""Kinds that a root names itself, one by one."""


class Pin(msgspec.Struct, frozen=True):
    """``version`` is the root's that is pinned; ``who`` is for people."""

    version: int
    who: str = ""


_decode_pin = msgspec.msgpack.Decoder(Pin).decode


class Held(msgspec.Struct, frozen=True):
    """A live pin or a saved snapshot: garbage since a version above ``version`` must stay. ``name`` is the object's.

    Of a saved snapshot it is known what it can name: ``runs`` are those of its root, and contents only such as were made
    before it was saved (``made_ms``, store's time). Of a pin, and of one that cannot be read, ``runs`` is ``None``.
    """

    name: str
    version: int
    runs: frozenset[str] | None = None
    made_ms: int = 0

    def holds(self, item: Garbage) -> bool:
        """Whether ``item`` may be named by this."""
        return item.since > self.version and self.may_name(item.name)

    def may_name(self, name: str) -> bool:
        """Whether the object ``<kind>/<unique>`` may be named by this, garbage or not."""
        if self.runs is None or name in self.runs:
            return True
        if name.startswith(_ROOT_NAMES):
            return False
        # The maker of a name may have been ahead of the store by as much as a writer's clock may be off.
        return unique_ms(name.rpartition("/")[2]) <= self.made_ms + CLOCK_OFF_MS + 2 * STORE_TIME_GRAIN_MS


def encode_pin(pin: Pin) -> bytes:
    return pack(Kind.PIN, FORMAT, msgspec.msgpack.encode(pin))


def decode_pin(data: bytes, name: str) -> Pin:
    """Raises ``CorruptObject`` or ``UnknownFormat``, naming the object."""
    _, raw = unpack(Kind.PIN, FORMAT, data, name, _PIN_MAX_BYTES)
    try:
        return _decode_pin(raw)
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error


class Hold:
    """One pin object: nothing that the root of ``version`` names is swept while it is renewed.

    A pin alone proves nothing of what was swept before it was written: its maker has to look after :meth:`take`.
    """

    def __init__(self, place: Place, version: int) -> None:
        self._place = place
        self._version = version
        _, self._name = place.new_object("pin")
        self._written_ms = 0
        self._since: Span | None = None

    async def take(self) -> None:
        """Write the pin."""
        await self._write(Create())

    async def keep(self) -> bool:
        """Renew it if it is time (a third of the TTL); whether it held without a break until now."""
        assert self._since is not None
        if self._since.seconds() * 1000 < PIN_TTL_MS / 3:
            return True
        before = self._written_ms
        await self._write(Overwrite())
        return self.held_until(self._written_ms, since=before)

    def held_until(self, store_ms: int, *, since: int = 0) -> bool:
        """Whether the pin, last written at ``since`` (default: last of all), was alive at ``store_ms``."""
        return store_ms - (since or self._written_ms) < PIN_TTL_MS - 2 * STORE_TIME_GRAIN_MS

    async def release(self) -> None:
        """Delete the pin. Idempotent."""
        await self._place.store.delete([self._name])

    async def _write(self, when: Create | Overwrite) -> None:
        host, pid = self._place.env.identity()
        since = Span(self._place.env)
        stored = await self._place.store.put(self._name, encode_pin(Pin(self._version, f"{host}:{pid}")), when)
        since.saw(stored.time)
        self._since, self._written_ms = since, stored.time


class PinnedSnapshot:
    """An async context manager over a snapshot whose runs and contents stay while it is renewed.

    Call :meth:`keep` between chunks of a scan; it costs a request only when a third of the TTL has passed.
    """

    def __init__(self, place: Place, register: Register, reader: SnapshotReader) -> None:
        self._place = place
        self._register = register
        self._reader = reader
        self._hold: Hold | None = None
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot:
        assert self._snapshot is not None, "use it as a context manager"
        return self._snapshot

    async def __aenter__(self) -> PinnedSnapshot:
        for _ in range(READ_RESTARTS):
            snapshot = await self._reader.open()
            self._snapshot, self._hold = snapshot, Hold(self._place, snapshot.root.version)
            await self._hold.take()
            if not passed((await self._register.read()).root, snapshot.root):
                return self
            await self.release()
        raise SnapshotExpired(
            f"{self._place.names.namespace}: the sweep passed {READ_RESTARTS} snapshots in a row", hint="try again"
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()

    async def keep(self) -> None:
        """Renew the pin if it is time. Raises ``SnapshotExpired`` when that came too late."""
        assert self._hold is not None
        if not await self._hold.keep() and passed((await self._register.read()).root, self.snapshot.root):
            raise SnapshotExpired("the pin of this snapshot ran out", hint="call keep() more often in a long scan")

    async def release(self) -> None:
        """Delete the pin. Happens by itself at the end of the context."""
        if self._hold is not None:
            await self._hold.release()


def pin_snapshot(place: Place, register: Register, reader: SnapshotReader) -> PinnedSnapshot:
    """A snapshot that the sweep leaves alone: ``async with pin_snapshot(...) as pinned: pinned.snapshot ...``."""
    return PinnedSnapshot(place, register, reader)


def passed(now: Root, pinned: Root) -> bool:
    """Whether the sweep may have deleted what ``pinned`` names."""
    return now.sweep_floor > pinned.version


def live(item: Info, store_ms: int) -> bool:
    """Whether the pin in a listing has been renewed within its TTL."""
    return store_ms - item.modified < PIN_TTL_MS + 2 * STORE_TIME_GRAIN_MS


async def list_held(place: Place) -> list[Held]:
    """Every live pin and every saved snapshot. One that cannot be read holds everything (version 0).

    Saved snapshots are listed before and after the pins: who makes a saved snapshot gives up its pin once the snapshot
    is there, and who uses one gives it up (to whoever deletes it) once the pin is there. One of the two is always seen.
    """
    saved = await _list(place, place.names.saved(""))
    pins = [item.name for item, now in await _list(place, place.names.folder("pin")) if live(item, now)]
    saved += await _list(place, place.names.saved(""))
    made = {item.name: item.modified for item, _ in saved}
    held: list[Held] = []
    names = [*pins, *made]
    answers = await place.store.many([Get(name) for name in names])
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, NotFound):
            held.append(Held(name, 0))  # gone just now: what took its place may be too young to be listed
            continue
        if isinstance(answer, SwampError):
            raise answer
        assert isinstance(answer, Got)
        held.append(_held_by(name, answer.body, made.get(name)))
    return held


async def _list(place: Place, folder: str) -> list[tuple[Info, int]]:
    """What lies in ``folder``, each with the store's time of the listing."""
    found: list[tuple[Info, int]] = []
    after = ""
    for _ in range(LIST_PAGES):
        page = await place.store.list(folder, start_after=after)
        found += [(item, page.time) for item in page.items]
        if not page.more:
            break
        after = page.items[-1].name
    return found


def _held_by(name: str, body: bytes, made_ms: int | None) -> Held:
    """What a pin, or a saved snapshot with the time it was made, holds."""
    try:
        if made_ms is None:
            return Held(name, decode_pin(body, name).version)
        root = decode_root(body, name)
    except SwampError:
        return Held(name, 0)
    return Held(name, root.version, frozenset(run.name for run in root.runs), made_ms)
