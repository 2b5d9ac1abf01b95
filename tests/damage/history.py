"""A seeded history of a namespace in whose log segments are damaged now and then, before any fold has met them.

    History(7).play()          # raises AssertionError

What must hold is worked out from what was acknowledged and what was damaged: the damaged records are gone, and nothing else
is; nobody is held up; what is damaged is named, and stays where it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

from swampstore import Namespace
from swampstore.env.blocking import run
from swampstore.errors import NotFound
from swampstore.stores.base import Overwrite
from swampstore.stores.memory import MemoryStore
from swampstore.values.deltas import Delete, Delta, Put
from swampstore.values.names import Names
from swampstore.values.root import NO_ROOT, Root, decode_root
from tests.golden.store import NAMESPACE, GoldenEnv, opened
from tests.sim.world import TINY, sizes

KEYS = ("a", "b/1", "b/2", "c", "d/e")
HOUR_S = 3600.0
STEPS = 40
STREAM = "run"


class History:
    """See the module."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.env = GoldenEnv(seed)
        self.store = MemoryStore(self.env)
        self.names = Names(NAMESPACE)
        self.people = [opened(self.store, self.env) for _ in range(3)]
        self.written: dict[str, list[tuple[bytes, str, bytes | None]]] = {}
        """By segment: version, key, and what was put."""
        self.streamed: list[tuple[str, bytes]] = []
        self.damaged: dict[str, bytes] = {}
        self.commits_damaged = False

    def play(self) -> None:
        with sizes(TINY):
            for _ in range(STEPS):
                self._step()
            self._rest()

    def _step(self) -> None:
        ns, roll = self.dice.choice(self.people), self.dice.random()
        if roll < 0.5:
            self._write(ns)
        elif roll < 0.6:
            self._push(ns)
        elif roll < 0.7:
            ns.compact(full=self.dice.random() < 0.3)
        elif roll < 0.8:
            self.env.advance(self.dice.choice((1.0, 60.0, HOUR_S, 20 * HOUR_S)))
        elif roll < 0.9:
            self._damage()
        else:
            self.check()

    # --- what is done --------------------------------------------------------------------------------------------

    def _write(self, ns: Namespace) -> None:
        deltas: list[Delta] = []
        for key in self.dice.sample(KEYS, self.dice.choice((1, 1, 3))):
            data = self.dice.randbytes(self.dice.choice((8, 60, 150)))
            deltas.append(Delete(key=key) if self.dice.random() < 0.2 else Put(key=key, data=data))
        ack = ns.append(deltas)
        self.written[self.names.segment(ack.lane, ack.slot)] = [
            (version, delta.key, bytes(delta.data) if isinstance(delta, Put) else None)  # type: ignore[arg-type]
            for version, delta in zip(ack.versions, deltas, strict=True)
        ]

    def _push(self, ns: Namespace) -> None:
        data = self.dice.randbytes(8)
        ack = ns.stream(STREAM).append([data])
        self.streamed.append((self.names.segment(ack.lane, ack.slot), data))

    def _damage(self) -> None:
        """One segment that no root covers, of a writer or of a stream."""
        root = self._root()
        waiting = [
            name
            for name in (*self.written, *(name for name, _ in self.streamed))
            if name not in self.damaged
            and self._body(name)
            and (slot := self.names.parse_segment(name)) is not None
            and slot[1] > root.watermark(slot[0])
        ]
        if not waiting:
            return
        name = self.dice.choice(waiting)
        body = bytearray(self._body(name) or b"")
        change: Callable[[], None] = self.dice.choice(
            (
                lambda: body.__setitem__(at := self.dice.randrange(len(body)), body[at] ^ 1 << self.dice.randrange(8)),
                lambda: body.__delitem__(slice(self.dice.randrange(len(body)), None)),
                lambda: body.extend(b"more"),
                lambda: body.__setitem__(slice(None), self.dice.randbytes(len(body))),
            )
        )
        change()
        run(self.store.put(name, bytes(body), Overwrite()))
        self.damaged[name] = bytes(body)
        for person in self.people:
            if self.dice.random() < 0.5:  # a new process; others have read the segment while it was whole
                self.people[self.people.index(person)] = opened(self.store, self.env)

    # --- what must hold ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What a new process reads."""
        ns, expected = opened(self.store, self.env), self._expected()
        for key in KEYS:
            found: bytes | None = None
            with suppress(NotFound):
                found = ns.read(key)
            assert found == expected[key], f"{key} is {found!r}, not {expected[key]!r}"
        listed = {entry.key for entry in ns.scan()}
        assert listed == {key for key, data in expected.items() if data is not None}
        told, wanted = [record.data for record in ns.stream(STREAM).read()], self._records()
        assert told == wanted, f"the stream holds {told}, not {wanted}"

    def _lost(self) -> set[str]:
        """The damaged segments that count no more. One that a fold took in as it was read before is whole in the root."""
        root = self._root()
        aside = {item.name for item in root.quarantine}
        assert aside <= set(self.damaged), "a whole segment is in the quarantine"
        covered = {
            name
            for name in self.damaged
            if (slot := self.names.parse_segment(name))
            and (self._body(name) is None or slot[1] <= root.watermark(slot[0]))
        }
        return set(self.damaged) - (covered - aside)

    def _expected(self) -> dict[str, bytes | None]:
        best: dict[str, tuple[bytes, bytes | None]] = {}
        lost = self._lost()
        for name, records in self.written.items():
            for version, key, data in () if name in lost else records:
                if key not in best or version > best[key][0]:
                    best[key] = (version, data)
        return {key: best[key][1] if key in best else None for key in KEYS}

    def _records(self) -> list[bytes]:
        lost = self._lost()
        return [data for name, data in self.streamed if name not in lost]

    def _rest(self) -> None:
        """Fold everything, sweep for days; then what was damaged is named and untouched, and all else is well."""
        for days in (0, 1, 3):
            self.env.advance(days * 24 * HOUR_S)
            opened(self.store, self.env).compact()
            opened(self.store, self.env).prune(dry_run=False)
            self.check()
        lost = self._lost()
        assert {item.name for item in self._root().quarantine} == lost
        assert all(self._body(name) == self.damaged[name] for name in lost), "what was set aside is not what it was"
        report = opened(self.store, self.env).doctor(deep=True, guards=False)
        named = {finding.name for finding in report.findings}
        assert named >= lost, f"the doctor does not name {lost - named}"
        wrong = [finding for finding in report.of("error") if finding.name not in lost]
        assert not wrong, wrong

    def _root(self) -> Root:
        body = self._body(self.names.root)
        return decode_root(body, "root") if body else NO_ROOT

    def _body(self, name: str) -> bytes | None:
        found = self.store._objects.get(name)
        return found.body if found else None
