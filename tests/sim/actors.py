"""What the simulated processes do, and the books that the checks are made from."""

from __future__ import annotations

from dataclasses import dataclass, field

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.client.data import CoreItem
from swampstore.errors import AmbiguousAppend, FenceConflict, SwampError, TryAgain, Undecided
from swampstore.protocols.update import Seen
from swampstore.protocols.versions import NewVersion, check_version, draft_version
from swampstore.stores.memory import MemoryStore
from swampstore.testing.sim import Process, Sim
from swampstore.testing.sim_store import Faults, SimStore
from swampstore.values.deltas import Delete, Put
from swampstore.workers.compactor import Compactor

HARSH = Faults(lost=0.03, late=0.02, refused=0.03, busy=0.03, short=0.2, pause=0.01)
MILD = Faults(short=0.2)

KEYS = ("a", "b/1", "b/2", "c")


@dataclass
class Books:
    """What was promised: every acknowledged write by key, in order of acknowledgement, and those left undecided."""

    acked: dict[str, list[tuple[bytes, bytes | None]]] = field(default_factory=dict)
    """key -> (version, contents or None for a delete)"""
    unsure: dict[str, list[bytes | None]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    increments: int = 0
    maybe_increments: int = 0
    stream: list[bytes] = field(default_factory=list)
    maybe_stream: list[bytes] = field(default_factory=list)
    fenced: list[tuple[str, str]] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    """ids of versions of data that were acknowledged"""
    numbered: dict[str, int] = field(default_factory=dict)
    """id -> the ordinal that somebody has seen"""


class World:
    """Some processes on one store. Build it, spawn actors, run, then ask :meth:`settle`."""

    def __init__(self, seed: int, faults: Faults = HARSH) -> None:
        self.sim = Sim(seed)
        self.inner = MemoryStore(self.sim.process("store").env, url=f"memory://sim-{seed}")
        self.faults = faults
        self.books = Books()
        self.processes: list[Process] = []

    def join(self, name: str, faults: Faults | None = None) -> tuple[Process, CoreNamespace]:
        """A new process with an open namespace. Its clock is a little off."""
        process = self.sim.process(name, skew_ms=self.sim.dice.randint(-3000, 3000))
        store = SimStore(process, self.inner, faults or self.faults)
        namespace = CoreStore(store, process.env).namespace("ops")
        namespace._proved = True  # the probe is tested elsewhere; here it would only cost steps
        self.processes.append(process)
        return process, namespace

    # --- actors -------------------------------------------------------------------------------------------------

    def writer(self, name: str, count: int) -> None:
        process, ns = self.join(name)
        process.spawn(self._write(ns, name, count))

    async def _write(self, ns: CoreNamespace, name: str, count: int) -> None:
        dice, books = self.sim.dice, self.books
        for number in range(count):
            key, data = dice.choice(KEYS), f"{name}-{number}".encode()
            gone = dice.random() < 0.25
            try:
                ack = await ns.append([Delete(key=key)] if gone else [Put(key=key, data=data)])
            except SwampError:
                books.unsure.setdefault(key, []).append(None if gone else data)
            else:
                books.acked.setdefault(key, []).append((ack.version, None if gone else data))

    def reader(self, name: str, count: int) -> None:
        process, ns = self.join(name)
        process.spawn(self._read(ns, count))

    async def _read(self, ns: CoreNamespace, count: int) -> None:
        """Every write acknowledged before the read began is visible: the version seen is at least as high."""
        newest: dict[str, bytes] = {}
        for _ in range(count):
            await ns.owner.env.sleep(self.sim.dice.random())
            before = {key: max(version for version, _ in acks) for key, acks in self.books.acked.items()}
            try:
                snapshot = await ns.snapshot()
                found = {key: await snapshot.record(key) for key in KEYS}
            except TryAgain:
                continue
            for key in KEYS:
                version = found[key].version if found[key] else b""
                if version < before.get(key, b""):
                    self.books.faults.append(f"{key}: saw {version.hex()}, acknowledged {before[key].hex()}")
                if version < newest.get(key, b""):
                    self.books.faults.append(f"{key}: a read went back to {version.hex()}")
                newest[key] = version

    def compactor(self, name: str) -> None:
        process, ns = self.join(name)
        process.spawn(Compactor(ns.place, ns.register).run(process.env.event(), on_error=self._compactor_error))

    def _compactor_error(self, namespace: str, error: Exception) -> None:
        if not isinstance(error, TryAgain | Undecided):
            self.books.faults.append(f"{namespace}: {type(error).__name__}: {error}")

    def counter(self, name: str, count: int) -> None:
        process, ns = self.join(name)
        process.spawn(self._count(ns, count))

    async def _count(self, ns: CoreNamespace, count: int) -> None:
        def one_more(held: dict[str, Seen]) -> dict[str, bytes]:
            return {"n": str(int(held["n"].data or b"0") + 1).encode()}

        for _ in range(count):
            try:
                await ns.update(["n"], one_more)
            except (AmbiguousAppend, TryAgain, Undecided):
                self.books.maybe_increments += 1
            else:
                self.books.increments += 1

    def signaller(self, name: str, count: int, *, fenced: bool) -> None:
        process, ns = self.join(name)
        process.spawn(self._signal(ns, name, count, fenced=fenced))

    async def _signal(self, ns: CoreNamespace, name: str, count: int, *, fenced: bool) -> None:
        stream, books = ns.open_stream("run"), self.books
        for number in range(count):
            data = f"{name}-{number}".encode()
            try:
                tail = await stream.tail() if fenced else None
                ack = await stream.append([data], expected_tail=tail)
            except FenceConflict:
                continue
            except (AmbiguousAppend, TryAgain, Undecided):
                books.maybe_stream.append(data)
            else:
                books.stream.append(data)
                if tail is not None:
                    books.fenced.append((tail, ack.tail))

    def collector(self, name: str, count: int) -> None:
        process, ns = self.join(name)
        process.spawn(self._collect(ns, name, count))

    async def _collect(self, ns: CoreNamespace, name: str, count: int) -> None:
        """Put versions of one datum; what stayed undecided is appended again, as the same version."""
        item = CoreItem(ns, "sim:model", "state")
        for number in range(count):
            new = check_version(NewVersion(model="sim:model", name="state", data=f"{name}-{number}"))
            drafted = await draft_version(ns.place, ns.writer, new)
            try:
                await ns.send(drafted)
            except AmbiguousAppend:
                try:
                    await ns.send(drafted)
                except SwampError:
                    continue
            except SwampError:
                continue
            self.books.versions.add(drafted.records[0].version.hex())
            if self.sim.dice.random() < 0.3:
                try:
                    ack = await item.put(b"at once", ordinal=True)
                    self._saw_number(ack.id, ack.ordinal)
                    self.books.versions.add(ack.id)
                except SwampError:
                    continue

    def _saw_number(self, id_: str, ordinal: int | None) -> None:
        if ordinal is not None and self.books.numbered.setdefault(id_, ordinal) != ordinal:
            self.books.faults.append(f"{id_} was {self.books.numbered[id_]} and is {ordinal}")

    def historian(self, name: str, count: int) -> None:
        process, ns = self.join(name)
        process.spawn(self._look_back(ns, count))

    async def _look_back(self, ns: CoreNamespace, count: int) -> None:
        """Every version acknowledged before the read is there, and keeps the number it was seen with."""
        item = CoreItem(ns, "sim:model", "state")
        for _ in range(count):
            await ns.owner.env.sleep(self.sim.dice.random() * 5)
            before = set(self.books.versions)
            try:
                versions = await item.versions()
            except TryAgain:
                continue
            for version in versions:
                self._saw_number(version.id, version.ordinal)
            missing = before - {version.id for version in versions}
            if missing or len({version.id for version in versions}) < len(versions):
                self.books.faults.append(f"missing {missing}, or seen twice, in {[v.id for v in versions]}")

    # --- the end ------------------------------------------------------------------------------------------------

    def run(self, seconds: float = 900.0) -> None:
        self.sim.run(seconds=seconds)

    def settled_versions(self) -> list[tuple[int | None, str]]:
        """Ordinals and ids of the datum that the collectors wrote, as a calm process folds and reads it."""
        process, ns = self.join("end", Faults())
        found: list[tuple[int | None, str]] = []

        async def look() -> None:
            await ns.compact()
            for version in await CoreItem(ns, "sim:model", "state").versions():
                self._saw_number(version.id, version.ordinal)
                found.append((version.ordinal, version.id))

        actor = process.spawn(look())
        self.sim.run(seconds=300)
        if actor.error is not None:
            raise actor.error
        assert actor.done
        self.sim.close()
        return found

    def settle(self) -> dict[str, bytes | None]:
        """What a calm process reads in the end, for :data:`KEYS` and ``n``, and the stream under ``run``."""
        process, ns = self.join("end", Faults())
        found: dict[str, bytes | None] = {}

        async def look() -> None:
            for key in (*KEYS, "n"):
                entry = await ns.get(key)
                found[key] = await ns.read(key) if entry else None
            found["run"] = b"\n".join([record.data for record in await ns.open_stream("run").read()])

        actor = process.spawn(look())
        self.sim.run(seconds=300)
        if actor.error is not None:
            raise actor.error
        assert actor.done
        self.sim.close()
        return found
