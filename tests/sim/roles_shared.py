"""What the simulated processes do together: update, lock, queue, stream, number, archive."""

from __future__ import annotations

from collections.abc import Callable

from swampstore.client.audit import CoreTopic
from swampstore.client.data import CoreItem
from swampstore.client.tidying import gc
from swampstore.errors import AmbiguousAppend, FenceConflict, NotFound, NotNumbered
from swampstore.protocols.lock import hold
from swampstore.protocols.queue import fair_queue
from swampstore.protocols.stream import EMPTY
from swampstore.protocols.update import Seen
from swampstore.protocols.versions import NewVersion, check_version, draft_version
from swampstore.values.deltas import Put
from swampstore.values.tickets import queue_folder
from tests.sim.roles import KEYS
from tests.sim.world import Part

COUNTERS = ("n/1", "n/2", "n/3")
LOCK = "deploy"
QUEUE = "sandbox"
CAPACITY = 2
CAPACITIES = (1, 2, 3)
"""What a resizer chooses from."""
STREAMS = ("run-1", "run-2")
MODEL, DATUM, KEPT = "sim:model", "state", "kept"
TOPIC = "decisions"


def number_in(data: bytes | None) -> int:
    """The value of a counter: it stands before the name of the deed that wrote it."""
    return int((data or b"0").split()[0])


def _one_more(deed: str) -> Callable[[dict[str, Seen]], dict[str, bytes]]:
    return lambda held: {key: f"{number_in(seen.data) + 1} {deed}".encode() for key, seen in held.items()}


async def counter(part: Part) -> None:
    """Updates of one or several counters; some under the name of a lock, some of what others write blindly."""
    while part.left > 0:
        part.left -= 1
        if part.dice.random() < 0.2:
            await part.attempt(_overrule(part, part.dice.choice(KEYS)))
            continue
        keys = part.dice.sample(COUNTERS[:2], part.dice.choice((1, 1, 2)))
        lock = LOCK if part.dice.random() < 0.25 else None
        done = await part.attempt(part.ns.update(keys, _one_more(f"{part.name}/{part.left}"), lock=lock))
        if done is not None:
            part.auditor.acknowledged(done.lane, done.slot, done.versions)
            for key in keys:
                part.books.increments[key] = part.books.increments.get(key, 0) + 1
        await part.rest()


async def _overrule(part: Part, key: str) -> None:
    """An update of a plain entry lies above everything that was acknowledged before it."""
    before = part.books.acked.get(key)
    data = f"update {part.name} {part.left}".encode()
    done = await part.ns.update([key], lambda _held: {key: data})
    (version,) = done.versions
    if before is not None and version < before[0]:
        part.fail(f"an update of {key!r} wrote {version.hex()}, below {before[0].hex()}, which it must have seen")
    part.auditor.acknowledged(done.lane, done.slot, done.versions)
    if key not in part.books.acked or version > part.books.acked[key][0]:
        part.books.acked[key] = (version, False, 0)


async def holder(part: Part) -> None:
    """Counts under a held lock, in several steps; sometimes so slowly that it is passed over."""
    while part.left > 0:
        part.left -= 1
        await part.attempt(_hold(part))
        await part.rest()


async def _hold(part: Part) -> None:
    key = COUNTERS[2]
    held = await hold(part.ns.updates, LOCK)
    try:
        for step in range(part.dice.choice((1, 2))):
            entry = await part.ns.get(key)
            value = number_in(await part.ns.read(key)) if entry else 0
            await part.process.env.sleep(part.dice.choice((0.0, 0.5, 20.0)))
            ack = await held.append([Put(key=key, data=f"{value + 1} {part.name}/{part.left}/{step}".encode())])
            part.auditor.acknowledged(ack.lane, ack.slot, ack.versions)
            part.books.increments[key] = part.books.increments.get(key, 0) + 1
    finally:
        await held.release()


async def queuer(part: Part) -> None:
    """Takes places in a queue of capacity 2; holds them for a while."""
    while part.left > 0:
        part.left -= 1
        await part.attempt(_queue(part))
        await part.rest()


async def _queue(part: Part) -> None:
    queue = fair_queue(part.ns.place, QUEUE, capacity=CAPACITY)
    deadline = part.dice.choice((None, None, 5.0))
    grant = await queue.acquire(deadline_s=deadline)
    part.auditor.queues.granted(part.process.name, queue_folder(QUEUE), grant.number, CAPACITY)
    await part.process.env.sleep(part.dice.random() * 10)
    await grant.release()


async def signaller(part: Part) -> None:
    """Appends to streams, with a fence and without."""
    while part.left > 0:
        part.left -= 1
        await part.attempt(_signal(part, part.dice.choice(STREAMS)))
        await part.rest()


async def _signal(part: Part, name: str) -> None:
    stream = part.ns.open_stream(name)
    data = [f"{part.name}-{part.left}-{n}".encode() for n in range(part.dice.choice((1, 2)))]
    fence = await stream.tail() if part.dice.random() < 0.6 else None
    try:
        ack = await stream.append(data, expected_tail=fence)
    except FenceConflict:
        return
    except AmbiguousAppend as error:
        await part.rest(0.3)
        landed = await part.ns.resolve(error)
        segment = part.auditor.slots.get((error.lane, error.slot))
        there = segment is not None and segment.header.write_id == error.write_id
        if landed is not None and landed != there:
            part.fail(f"resolve() says {landed} of slot {error.slot} of {error.lane}, the lane says {there}")
        return
    held = dict(part.auditor.shared.streams.get(name, ()))
    if [held.get(position) for position in ack.positions] != data:
        part.fail(f"stream {name}: {ack.positions} were acknowledged and hold {[held.get(p) for p in ack.positions]}")
    if fence is not None:
        if (name, fence) in part.books.fenced:
            part.fail(f"stream {name}: two appends were fenced on {fence}")
        part.books.fenced.add((name, fence))
        part.auditor.shared.check_fence(name, fence, ack.positions[0])
    part.books.stream.setdefault(name, []).extend(data)


async def follower(part: Part) -> None:
    """Reads streams on from where it was; nothing is skipped."""
    at = dict.fromkeys(STREAMS, EMPTY)
    while part.left > 0:
        part.left -= 1
        await part.rest()
        name = part.dice.choice(STREAMS)
        before = set(part.books.stream.get(name, ()))
        records = await part.attempt(part.ns.open_stream(name).read(after=at[name]))
        if records is None:
            continue
        part.auditor.shared.check_read(name, at[name], [(record.position, record.data) for record in records])
        earlier = {data for position, data in part.auditor.shared.streams.get(name, ()) if position <= at[name]}
        missing = before - earlier - {record.data for record in records}
        if missing:
            part.fail(f"stream {name}: {missing} were acknowledged before and not read")
        at[name] = records[-1].position if records else at[name]


# --- the data model --------------------------------------------------------------------------------------------------


async def collector(part: Part) -> None:
    """Puts versions of a datum; an undecided one is appended again as the same version; some ask for the number at once."""
    while part.left > 0:
        part.left -= 1
        await part.attempt(_collect(part, DATUM if part.dice.random() < 0.7 else KEPT))
        await part.rest()


async def _collect(part: Part, name: str) -> None:
    ns, books = part.ns, part.books
    if part.dice.random() < 0.2:
        try:
            ack = await CoreItem(ns, MODEL, name).put(b"at once", ordinal=True, keep="3" if name == KEPT else None)
        except NotNumbered:
            return
        saw_number(part, ack.id, ack.ordinal)
        books.versions |= {ack.id} if name == DATUM else set()
        return
    data = f"{part.name}-{part.left}".ljust(part.dice.choice((10, 60, 120)), ".")
    new = check_version(NewVersion(model=MODEL, name=name, data=data, keep="3" if name == KEPT else None))
    drafted = await draft_version(ns.place, ns.writer, new)
    try:
        ack = await ns.send(drafted)
    except AmbiguousAppend:
        await part.rest(0.5)
        ack = await ns.send(drafted)
    part.auditor.acknowledged(ack.lane, ack.slot, [record.version for record in drafted.records])
    books.versions |= {drafted.records[0].version.hex()} if name == DATUM else set()


def saw_number(part: Part, id_: str, ordinal: int | None) -> None:
    """A version has one number for ever."""
    if ordinal is not None and part.books.numbered.setdefault(id_, ordinal) != ordinal:
        part.fail(f"{id_} was version {part.books.numbered[id_]} and is {ordinal}")


async def historian(part: Part) -> None:
    """Every version acknowledged before the read is there and keeps its number; some are removed, one item is retained."""
    while part.left > 0:
        part.left -= 1
        await part.rest(2)
        choice = part.dice.random()
        if choice < 0.15:
            await part.attempt(gc(part.ns, dry_run=False))
        elif choice < 0.25 and part.books.versions - part.books.removed:
            await part.attempt(_remove(part, part.dice.choice(sorted(part.books.versions - part.books.removed))))
        else:
            await part.attempt(check_versions(part))


async def _remove(part: Part, id_: str) -> None:
    part.books.removed.add(id_)
    try:
        await CoreItem(part.ns, MODEL, DATUM).delete(id_)
    except NotFound:
        return


async def check_versions(part: Part) -> None:
    """All versions that were acknowledged, each once, with the number they had before."""
    before = set(part.books.versions)
    versions = await CoreItem(part.ns, MODEL, DATUM).versions()
    for version in versions:
        saw_number(part, version.id, version.ordinal)
    ids = [version.id for version in versions]
    missing = before - part.books.removed - set(ids)
    if missing or len(set(ids)) < len(ids):
        part.fail(f"missing {missing}, or seen twice, in {[(version.ordinal, version.id) for version in versions]}")


# --- audit -----------------------------------------------------------------------------------------------------------


async def scribe(part: Part) -> None:
    """Writes audit records and reads them back: each once."""
    topic = CoreTopic(part.ns, TOPIC)
    while part.left > 0:
        part.left -= 1
        if part.dice.random() < 0.75:
            items = [{"by": part.name, "n": part.left, "i": i} for i in range(part.dice.choice((1, 3)))]
            ack = await part.attempt(topic.write(items))
            part.books.audit |= set(ack.ids) if ack is not None else set()
        else:
            await part.attempt(check_audit(part, topic))
        await part.rest()


async def check_audit(part: Part, topic: CoreTopic) -> None:
    """Every audit record acknowledged before is found, once."""
    before = set(part.books.audit)
    ids = [record.id async for record in topic.read(None, None, None)]
    if before - set(ids) or len(set(ids)) < len(ids):
        part.fail(f"audit records {sorted(before - set(ids))[:3]} are missing, or seen twice, in {len(ids)}")
