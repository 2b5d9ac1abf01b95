"""What the processes of a soak do with entries, counters, locks, streams and audit records; and how each is checked.

The one who writes says so in a ledger before, and afterwards what came of it; whoever reads compares. A reader notes what
is sure before it reads, and what may have been said after it has read: what it finds lies between the two.
"""

from __future__ import annotations

import time
from collections import OrderedDict

import swampstore
from swampstore import Delete, Put
from swampstore.errors import AmbiguousAppend, NotFound, SwampError
from swampstore.values.deltas import Delta
from tests.soak.desk import Deed, Desk, contents, number_in
from tests.soak.ledger import NOT_DONE, SURE, Marks

KEYS = 48
COUNTERS = 3
DELETE_EVERY = 7
"""Every seventh write of a key is a deletion."""
STREAM_RECORDS = 120
"""Of each pusher in one stream; then the next stream begins."""
LOCK_WAIT_S = 25.0


def size_of(number: int) -> int:
    """Of the contents of a key: inline, packed, and a few alone."""
    return 120_000 if number % 24 == 0 else 6_000 if number % 4 == 1 else 40


def key_of(part: int, number: int) -> str:
    return f"a/{part}/{number}"


# --- entries ----------------------------------------------------------------------------------------------------------


def writer(desk: Desk) -> None:
    """Puts and deletes, alone and in batches, of keys that are its own."""
    cells = desk.cells(f"writer-{desk.index}", KEYS)
    while desk.working():
        chosen = desk.dice.sample(range(KEYS), 4 if desk.dice.random() < 0.2 else 1)
        deltas: list[Delta] = []
        numbers = [cells.say(number) for number in chosen]
        for number, count in zip(chosen, numbers, strict=True):
            key = key_of(desk.index, number)
            gone = count % DELETE_EVERY == 0
            deltas.append(Delete(key=key) if gone else Put(key=key, data=contents(key, count, size_of(number))))
        with desk.doing("put" if len(chosen) == 1 else "put_many") as deed:
            desk.ns.append(deltas)
        if deed.ok:
            for number, count in zip(chosen, numbers, strict=True):
                cells.settle(number, count)


def reader(desk: Desk) -> None:
    """Points, listings, counters and versions of everybody; no value goes back."""
    seen: dict[str, int] = {}
    while desk.working():
        roll = desk.dice.random()
        if roll < 0.6:
            check_key(desk, desk.any("writer"), desk.dice.randrange(KEYS), seen)
        elif roll < 0.75:
            check_listing(desk, desk.any("writer"))
        else:
            check_counter(desk, desk.dice.choice("cl"), desk.dice.randrange(COUNTERS))


def check_key(desk: Desk, part: int, number: int, seen: dict[str, int]) -> None:
    cells, key = desk.cells(f"writer-{part}", KEYS), key_of(part, number)
    found: bytes | None = None
    sure = cells.sure(number)
    with desk.doing("read") as deed:
        try:
            found = desk.ns.read(key)
        except NotFound:
            found = None
    if not deed.ok:
        return
    said = cells.said(number)
    if found is None:
        last = said // DELETE_EVERY * DELETE_EVERY
        desk.require(sure == 0 or last >= sure, f"{key} is not there; write {sure} was acknowledged")
        return
    count = number_in(found)
    desk.require(sure <= count <= said, f"{key} holds write {count}, {sure} was acknowledged, {said} tried")
    desk.require(found == contents(key, count, size_of(number)), f"{key} holds other bytes than were written")
    desk.require(count >= seen.get(key, 0), f"{key} went back from {seen.get(key)} to {count}")
    seen[key] = count


def check_listing(desk: Desk, part: int) -> None:
    cells = desk.cells(f"writer-{part}", KEYS)
    sure = [cells.sure(number) for number in range(KEYS)]
    with desk.doing("list") as deed:
        listed = {entry.key for entry in desk.ns.scan(f"a/{part}/")}
    if not deed.ok:
        return
    for number in range(KEYS):
        said, key = cells.said(number), key_of(part, number)
        settled = sure[number] == said and said > 0
        if settled and (key in listed) == (said % DELETE_EVERY == 0):
            desk.require(False, f"{key} is {'' if key in listed else 'not '}listed after write {said}")
    strange = listed - {key_of(part, number) for number in range(KEYS)}
    desk.require(not strange, f"listed, and written by nobody: {sorted(strange)[:3]}")


# --- counters ---------------------------------------------------------------------------------------------------------


def updater(desk: Desk) -> None:
    """Increments counters, sometimes two at once."""
    cells = desk.cells(f"updater-{desk.index}", COUNTERS)
    while desk.working():
        chosen = desk.dice.sample(range(COUNTERS), 2 if desk.dice.random() < 0.3 else 1)
        keys = [f"c/{number}" for number in chosen]
        for number in chosen:
            cells.say(number)
        with desk.doing("update") as deed:
            desk.ns.update(
                keys,
                lambda held: {key: str(int(data or b"0") + 1).encode() for key, data in held.items()},
                deadline=LOCK_WAIT_S,
            )
        landed = settled(desk, deed)
        for number in chosen:
            if landed:
                cells.count_sure(number)
            elif landed is False:
                cells.unsay(number)


def settled(desk: Desk, deed: Deed) -> bool | None:
    """Whether a commit has landed; ``None`` when nobody can tell."""
    if deed.ok or deed.not_done:
        return deed.ok
    if isinstance(deed.error, AmbiguousAppend):
        try:
            return desk.ns.resolve(deed.error)
        except SwampError:
            return None
    return None


def locker(desk: Desk) -> None:
    """Increments a counter in several steps under a lock."""
    cells = desk.cells(f"locker-{desk.index}", COUNTERS)
    while desk.working():
        number = desk.dice.randrange(COUNTERS)
        key, deed = f"l/{number}", Deed()
        with (
            desk.doing("lock"),
            desk.ns.lock(f"lock-{number}", deadline=LOCK_WAIT_S, purpose=desk.name) as held,
        ):
            entry = desk.ns.get(key)
            value = int(desk.ns.read(key)) if entry else 0
            time.sleep(desk.dice.random() * 0.01)
            cells.say(number)
            with desk.doing("held put") as deed:
                held.put(key, str(value + 1))
            landed = settled(desk, deed)
            if landed:
                cells.count_sure(number)
            elif landed is False:
                cells.unsay(number)


def check_counter(desk: Desk, kind: str, number: int) -> None:
    role = "updater" if kind == "c" else "locker"
    ledgers = [desk.cells(f"{role}-{index}", COUNTERS) for index in desk.many(role)]
    sure = sum(cells.sure(number) for cells in ledgers)
    value = 0
    with desk.doing("read counter") as deed:
        try:
            value = int(desk.ns.read(f"{kind}/{number}"))
        except NotFound:
            value = 0
    said = sum(cells.said(number) for cells in ledgers)
    if deed.ok:
        desk.require(sure <= value <= said, f"{kind}/{number} is {value}; {sure} increments acknowledged, {said} tried")


# --- streams ----------------------------------------------------------------------------------------------------------


def pusher(desk: Desk) -> None:
    """Appends to a stream that it shares with others, fenced and not; to the next one after a while."""
    marks = desk.marks(f"pusher-{desk.index}")
    while desk.working():
        number = marks.say()
        stream = desk.ns.stream(f"s/{number // STREAM_RECORDS}")
        record = f"{desk.index}:{number}".encode()
        with desk.doing("push") as deed:
            if desk.dice.random() < 0.5:
                stream.append([record])
            else:
                stream.append([record], expected_tail=stream.tail())
        landed = settled(desk, deed)
        if landed is not None:
            marks.settle(number, SURE if landed else NOT_DONE)


def follower(desk: Desk) -> None:
    while desk.working():
        newest = max(len(desk.marks(f"pusher-{index}")) for index in desk.many("pusher")) // STREAM_RECORDS
        check_stream(desk, max(newest - desk.dice.choice((0, 0, 1, 5)), 0))


def check_stream(desk: Desk, which: int) -> None:
    ledgers = [desk.marks(f"pusher-{index}") for index in desk.many("pusher")]
    mine = range(which * STREAM_RECORDS, (which + 1) * STREAM_RECORDS)
    before = [[marks[number] for number in mine] for marks in ledgers]
    with desk.doing("read stream") as deed:
        records = [record.data.decode() for record in desk.ns.stream(f"s/{which}").read()]
    if deed.ok:
        check_marks(desk, f"stream s/{which}", records, ledgers, before, mine)


def check_marks(
    desk: Desk, what: str, records: list[str], ledgers: list[Marks], before: list[list[int]], mine: range
) -> None:
    """Each record once, none that was refused or never tried, every one that was acknowledged."""
    found = [(int(part), int(number)) for part, number in (record.split(":") for record in records)]
    desk.require(len(set(found)) == len(found), f"{what} holds a record twice")
    held = set(found)
    for part, number in held:
        desk.require(number in mine and number < len(ledgers[part]), f"{what} holds {part}:{number}, said by nobody")
        desk.require(before[part][number - mine.start] != NOT_DONE, f"{what} holds {part}:{number}, which was refused")
    for part, marks in enumerate(before):
        for number, mark in zip(mine, marks, strict=False):
            desk.require(mark != SURE or (part, number) in held, f"{what} lacks {part}:{number}")


# --- audit records ----------------------------------------------------------------------------------------------------


def auditor(desk: Desk) -> None:
    marks = desk.marks(f"auditor-{desk.index}")
    topic = desk.ns.audit("soak")
    while desk.working():
        number = marks.say()
        with desk.doing("audit") as deed:
            topic.write({"n": f"{desk.index}:{number}"})
        if deed.ok:
            marks.settle(number, SURE)


def poller(desk: Desk) -> None:
    """Follows the audit topic by what is new, and looks at the namespace's state."""
    follow = Following(desk)
    while desk.working():
        follow.poll()
        with desk.doing("status"):
            desk.ns.status()
        with desk.doing("bounded get"):
            desk.ns.get(key_of(0, 1), max_age=2.0)


class Following:
    """What one poller has seen of the audit topic."""

    RECENT = 5000

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._after: swampstore.AuditPosition | None = None
        self._seen = [bytearray() for _ in desk.many("auditor")]
        self._ids: OrderedDict[tuple[int, int], str] = OrderedDict()

    def poll(self) -> None:
        """Everything acknowledged before is seen; what comes twice is one record."""
        desk = self._desk
        ledgers = [desk.marks(f"auditor-{index}") for index in desk.many("auditor")]
        before = [marks.copy() for marks in ledgers]
        more = True
        while more:
            with desk.doing("changes") as deed:
                changes = desk.ns.audit("soak").changes(after=self._after, limit=500)
            if not deed.ok:
                return
            self._after, more = changes.after, changes.more
            for record in changes.records:
                assert isinstance(record.data, dict)
                part, number = map(int, record.data["n"].split(":"))
                self._note(part, number, record.id, len(ledgers[part]))
        for part, marks in enumerate(before):
            seen = self._seen[part]
            missing = [
                number
                for number, mark in enumerate(marks)
                if mark == SURE and not (number < len(seen) and seen[number])
            ]
            desk.require(not missing, f"audit records of auditor-{part} are missing: {missing[:5]}")

    def _note(self, part: int, number: int, name: str, said: int) -> None:
        desk, seen = self._desk, self._seen[part]
        desk.require(number < said, f"audit record {part}:{number} was said by nobody")
        if number >= len(seen):
            seen.extend(bytes(number + 1 - len(seen)))
        known = self._ids.get((part, number))
        desk.require(not seen[number] or known == name, f"audit record {part}:{number} came twice")
        seen[number] = 1
        self._ids[part, number] = name
        if len(self._ids) > self.RECENT:
            self._ids.popitem(last=False)
