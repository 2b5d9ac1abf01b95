"""What the simulated processes do to plain entries: write, read, mirror, compact, sweep.

Every role goes on until its count is used up; what it was promised goes to the books.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swampstore.errors import AmbiguousAppend, SwampError
from swampstore.protocols.drafting import check_deltas, draft_records
from swampstore.protocols.pins import PinnedSnapshot
from swampstore.protocols.snapshot import Snapshot
from swampstore.protocols.writer import Ack
from swampstore.values.deltas import Delete, Delta, Put
from swampstore.values.entry import Record
from swampstore.workers.compactor import Compactor
from swampstore.workers.sync.mirror import Mirror
from swampstore.workers.sync.options import Scope, SyncOptions
from swampstore.workers.sync.state import State
from tests.sim.world import HOUR_S, Part

KEYS = ("a", "b/1", "b/2", "c/x", "d")
STATE_KEYS = ("s/1", "s/2")
"""Written as runtime state most of the time, and sometimes as plain entries."""


# --- writing ---------------------------------------------------------------------------------------------------------


async def writer(part: Part) -> None:
    """Blind puts and deletes of all sizes; an undecided one is sent again as it is, some are sent very late."""
    while part.left > 0:
        part.left -= 1
        deltas = _deltas(part)
        await part.attempt(_write(part, deltas, late=part.dice.random() < 0.15))
        await part.rest()


def _deltas(part: Part) -> list[Delta]:
    dice = part.dice
    keys = dice.sample(KEYS, dice.choice((1, 1, 1, 3)))
    if dice.random() < 0.3:
        return [Delete(key=key) for key in keys]
    size = dice.choice((10, 10, 70, 150))
    return [Put(key=key, data=f"{part.name}-{part.left}-{key}".encode().ljust(size, b".")) for key in keys]


async def _write(part: Part, deltas: Sequence[Delta], *, late: bool = False) -> None:
    ns = part.ns
    drafted = await draft_records(ns.place, ns.writer, deltas, check_deltas(deltas))
    if late:
        await part.rest(4)
    try:
        ack = await ns.send(drafted)
    except AmbiguousAppend:
        if part.dice.random() < 0.4:
            raise  # never mind: what comes next is another write
        await part.rest(0.5)
        ack = await ns.send(drafted)
    acknowledged(part, ack, drafted.records)


def acknowledged(part: Part, ack: Ack, records: Sequence[Record]) -> None:
    """Enter an acknowledged append into the books."""
    part.auditor.acknowledged(ack.lane, ack.slot, [record.version for record in records])
    for record in records:
        held = part.books.acked.get(record.key)
        if held is None or record.version > held[0]:
            part.books.acked[record.key] = (record.version, record.gone, record.expires)


async def pusher(part: Part) -> None:
    """Puts and deletes with a base, as a sync makes them: of what was read a while ago."""
    while part.left > 0:
        part.left -= 1
        await part.attempt(_push(part, part.dice.choice(KEYS)))
        await part.rest()


async def _push(part: Part, key: str) -> None:
    snapshot = await part.ns.snapshot()
    entry = await snapshot.get(key)
    await part.rest(part.dice.choice((0.1, 1)))
    if entry is not None and part.dice.random() < 0.3:
        await _write(part, [Delete(key=key, base=entry.version)])
        return
    base = entry.version if entry else None
    await _write(part, [Put(key=key, data=f"push {part.name} {part.left}".encode(), base=base)])


async def keeper(part: Part) -> None:
    """Runtime state: overwritten, deleted, left to expire, now and then put as a plain entry."""
    while part.left > 0:
        part.left -= 1
        key, dice = part.dice.choice(STATE_KEYS), part.dice
        data = f"state {part.name} {part.left}".encode().ljust(dice.choice((10, 60)), b".")
        delta: Delta = Put(key=key, data=data, ttl=part.world.pace_s * dice.choice((1, 5)), record_class="ephemeral")
        if dice.random() < 0.2:
            delta = Put(key=key, data=data)
        elif dice.random() < 0.2:
            delta = Delete(key=key, record_class=dice.choice(("ephemeral", "indexed")))
        await part.attempt(_write(part, [delta]))
        await part.rest()


# --- reading ---------------------------------------------------------------------------------------------------------


class Seeing:
    """What one process may expect of its next read, and the check of what it gets."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._newest: dict[str, bytes] = {}
        self.before: dict[str, tuple[bytes, bool, int]] = {}

    def begin(self) -> None:
        self.before = dict(self._part.books.acked)

    def check(self, key: str, found: Record | None) -> None:
        """Every write acknowledged before the read began is seen; no read goes back."""
        part, acked = self._part, self.before.get(key)
        version = found.version if found else b""
        if acked is not None and version < acked[0] and not self.may_be_gone(key, found is None or found.gone, acked):
            part.fail(f"{key!r}: saw {version.hex()}, acknowledged {acked[0].hex()}")
        if version < self._newest.get(key, b"") and found is not None and not found.gone:
            part.fail(f"{key!r}: a read went back to {version.hex()}")
        self._newest[key] = max(version, self._newest.get(key, b""))

    def may_be_gone(self, key: str, gone: bool, acked: tuple[bytes, bool, int]) -> bool:
        """A tombstone, or what had expired, is forgotten in the end, with all below it; an older tombstone may stay."""
        buried = self._part.auditor.truth.buried.get(key, b"")
        return gone and (acked[1] or 0 < acked[2] <= self._part.now_ms or buried > acked[0])


async def reader(part: Part) -> None:
    """Points, ranges and contents of one strict snapshot after the other."""
    seeing = Seeing(part)
    while part.left > 0:
        part.left -= 1
        await part.rest()
        await part.attempt(_look(part, seeing))


async def _look(part: Part, seeing: Seeing) -> None:
    seeing.begin()
    snapshot = await part.ns.snapshot()
    keys = (*KEYS, *STATE_KEYS)
    found = await snapshot.winners(keys)
    for key in keys:
        seeing.check(key, found[key])
    scanned = await _scan(snapshot)
    wrong = [key for key in keys if found[key] is not None and scanned.get(key) != found[key]]
    if wrong:
        part.fail(f"a scan and a look-up differ in {wrong[0]!r}: {scanned.get(wrong[0])}, {found[wrong[0]]}")
    entries = [entry for entry in (await snapshot.get_many(KEYS)).values() if entry is not None]
    for body in await part.ns.read_entries(entries):
        if isinstance(body, SwampError):
            part.refused(body)


async def _scan(snapshot: Snapshot) -> dict[str, Record]:
    found: dict[str, Record] = {}
    async for records in snapshot.records():
        found |= {record.key: record for record in records}
    return found


async def scholar(part: Part) -> None:
    """Pins a snapshot and reads it again and again: it never changes, and never goes while it is pinned."""
    while part.left > 0:
        part.left -= 1
        await part.rest()
        await part.attempt(_study(part))


async def _study(part: Part) -> None:
    pinned: PinnedSnapshot = await part.ns.pinned()
    assert pinned._hold is not None
    part.auditor.hold(pinned._hold._name, pinned.snapshot.root)
    first = await _scan(pinned.snapshot)
    for _ in range(40 if part.world.pace_s > HOUR_S else 4):  # garbage of an hour may go, if nobody pins it
        await part.process.env.sleep(part.dice.random() * 600)
        await pinned.keep()
        part.ns.owner.caches.blocks.clear()
        part.ns.owner.caches.indexes.clear()
        if await _scan(pinned.snapshot) != first:
            part.fail("a pinned snapshot has changed")
    await pinned.release()


async def mirror(part: Part) -> None:
    """What a sync knows of the namespace: read from changes only, and never behind what was acknowledged."""
    state, seeing = State(None, part.ns.owner.url, part.ns.name), Seeing(part)
    while part.left > 0:
        part.left -= 1
        await part.rest()
        await part.attempt(_mirror(part, state, seeing))


async def _mirror(part: Part, state: State, seeing: Seeing) -> None:
    seeing.begin()
    looked = Mirror(part.ns.place, part.ns.reader, state, Scope(SyncOptions()))
    await looked.refresh()
    if looked.reset:
        part.fail("the mirror takes the namespace for another one")
    known = state.known(KEYS)
    for key in KEYS:
        acked = seeing.before.get(key)
        version, gone = known[key][:2] if key in known else (b"", True)
        if acked and version < acked[0] and not seeing.may_be_gone(key, gone, acked):
            part.fail(f"the mirror knows {version.hex()} of {key!r}, acknowledged {acked[0].hex()}")


# --- looking after the namespace -------------------------------------------------------------------------------------


async def compactor(part: Part) -> None:
    """Round after round, as a daemon; in a slow world with long pauses in between."""
    work = Compactor(part.ns.place, part.ns.register)
    delay = 1.0
    while part.left > 0:
        delay = await work.step(delay, 2.0, None, lambda _namespace, error: part.refused(error))
        if part.world.pace_s > HOUR_S:
            part.left -= 1
            await part.rest(0.5)
        await part.process.env.sleep(delay)


async def sweeper(part: Part) -> None:
    """Somebody who orders a compaction or a sweep now and then, whoever leads."""
    while part.left > 0:
        part.left -= 1
        await part.rest(2)
        choice = part.dice.random()
        if choice < 0.3:
            await part.attempt(part.ns.compact(full=choice < 0.15))
        elif choice < 0.5:
            await part.attempt(_retire(part))
        else:
            await part.attempt(part.ns.compactor().sweep_once(insist=True))


async def _retire(part: Part) -> Any:
    """Two rounds of one process, so that the second knows a root from before its list."""
    work = part.ns.compactor()
    await work.round(stay=False, insist=True)
    await part.process.env.sleep(40)
    return await work.round(stay=False, insist=True)
