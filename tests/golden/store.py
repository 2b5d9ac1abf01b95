"""A small store that holds every kind of object, made by the public interface: what the golden files keep.

Invariant: the same program makes the same objects: clocks, dice and names are fixed, only the compressor may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from swampstore import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.stores.base import Got, Overwrite
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values import lane_file
from swampstore.values.deltas import Delete, Put
from swampstore.workers import archive, fold, side_runs

NAMESPACE = "ops"
LOCK, QUEUE, STREAM, TOPIC, MODEL, DATUM, SAVED = (
    "deploy",
    "sandbox",
    "run-1",
    "decisions",
    "aws/ec2:web",
    "state",
    "v1",
)
LARGE = bytes(range(256)) * 40
LANE_FILE = lane_file.MAGIC
KINDS = ("root", "log/s", "log/w", "l0", "shard", "blob", "pack", "eph", "audit", "pin", "saved", "queue")


class Still:
    """A heartbeat that does not beat."""

    async def stop(self) -> None:
        """Nothing runs."""


class GoldenEnv(FakeEnv):
    """A fake environment without anything in the background."""

    def every(self, seconds: float, beat: Any) -> Still:
        """See :class:`swampstore.env.base.Env`."""
        return Still()


def opened(store: MemoryStore, env: FakeEnv) -> Namespace:
    """The namespace as a process sees it."""
    core = CoreStore(store, env)
    core.namespace(NAMESPACE)._proved = True
    return Datastore(core).namespace(NAMESPACE)


@contextmanager
def small_sizes() -> Iterator[None]:
    """Runs at sizes that a small store reaches."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(fold, "INLINE_LEVEL0_BYTES", 600))
        stack.enter_context(mock.patch.object(side_runs, "INLINE_EPHEMERAL_BYTES", 300))
        stack.enter_context(mock.patch.object(archive, "INLINE_AUDIT_BYTES", 300))
        stack.enter_context(mock.patch.object(archive, "AUDIT_FRESH_FILES", 2))
        yield


def objects_of(store: MemoryStore) -> dict[str, bytes]:
    """Every object, by name."""
    found: dict[str, bytes] = {}
    for info in run(store.list("", limit=10_000)).items:
        got = run(store.get(info.name))
        assert isinstance(got, Got)
        found[info.name] = got.body
    return found


def store_of(objects: Mapping[str, bytes], env: FakeEnv) -> MemoryStore:
    """A store that holds ``objects``; lanes may be files in it if there is one among them."""
    store = MemoryStore(env, lanes=any(body[:4] == LANE_FILE for body in objects.values()))
    for name, body in objects.items():
        run(store.put(name, body, Overwrite()))
    return store


def new_env(seed: int = 1) -> FakeEnv:
    """The clock of a reader: a minute after the objects were made."""
    env = GoldenEnv(seed + 1000)  # not the dice of those who made it
    env.advance(60.0 + 3 * 3600)
    return env


def make(*, files: bool = False) -> dict[str, bytes]:
    """The objects of the store. With ``files`` lanes are files, and audit archives are Parquet files."""
    env = GoldenEnv(7)
    store = MemoryStore(env, lanes=files)
    ns = opened(store, env)
    with small_sizes():
        if files:
            ns.put("first", b"1")
            ns.set_audit_format("parquet")
        _first_life(ns, env)
        env.advance(3600.0)
        ns = opened(store, env)
        _second_life(ns, env)
        env.advance(3600.0)
        return _open_ends(opened(store, env), store)


def _first_life(ns: Namespace, env: FakeEnv) -> None:
    ns.put("reports/a.json", b'{"a": 1}', content_type="application/json", tags={"type": "report", "place": "Zürich"})
    ns.put_many({f"packed/{number}": LARGE[number : number + 5000] for number in range(3)})
    ns.put("large", LARGE)
    ns.append(
        [Put(key="expiring", data=b"soon", expires=env.wall_ms() + 10**10, modified=1_700_000_000_000, mode=0o640)]
    )
    ns.update("counter", lambda current: str(int(current or b"0") + 1))
    ns.stream(STREAM).append([b"one", b"two"])
    for number in range(6):
        ns.audit(TOPIC).write({"provider": "a", "number": number, "why": "x" * 60}, ts=env.wall_ms() + number)
        ns.put(f"agents/{number}", f"state {number} ".encode() * 10, record_class="ephemeral", ttl=5 * 86_400)
        if number % 2:
            ns.compact()
    ns.data(MODEL, DATUM).put(b"first", tags={"type": "resource"}, lifetime="30d", keep="5", owner={"ref": "x"})
    ns.compact()
    ns.save(SAVED)


def _second_life(ns: Namespace, env: FakeEnv) -> None:
    ns.delete("packed/1")
    ns.data(MODEL, DATUM).put(b"second", content_type="text/plain", extra={"note": [1, "two", None]})
    old = ns.get("reports/a.json")
    assert old is not None
    ns.put("reports/a.json", b'{"a": 2}')
    ns.append([Put(key="reports/a.json", data=b'{"a": 3}', base=old.version)])
    ns.append([Delete(key="expiring", base=old.version)])
    ns.put_many({f"many/{number:02d}": b"x" * number for number in range(20)})
    ns.compact(full=False)
    ns.audit(TOPIC).write(b"\x00raw")
    ns.put("agents/0", b"late", record_class="ephemeral", ttl=5 * 86_400)
    ns.compact(full=False)


def _open_ends(ns: Namespace, store: MemoryStore) -> dict[str, bytes]:
    """What is not folded yet, a pin, a held lock and a queue with two places."""
    ns.put("tail", b"unfolded")
    ns.data(MODEL, DATUM).put(b"third")
    ns.audit(TOPIC).write({"late": True})
    ns.stream(STREAM).append([b"three"])
    with ns.snapshot(pin=True), ns.lock(LOCK, purpose="golden") as held, ns.queue(QUEUE, 2).acquire() as place:
        held.put("locked", b"by the holder")
        place.progress()
        return objects_of(store)


def observe(ns: Namespace) -> dict[str, Any]:
    """Everything that a reader sees, in plain values."""
    entries = {entry.key: entry.describe() for entry in ns.scan()}
    saved = ns.snapshot(saved=SAVED)
    datum = ns.data(MODEL, DATUM)
    return {
        "entries": entries,
        "contents": {key: ns.read(key).hex() for key in entries},
        "counter": ns.read("counter").decode(),
        "stream": [(record.position, record.data.decode()) for record in ns.stream(STREAM).read()],
        "audit": [(record.id, record.ts, repr(record.data)) for record in ns.audit(TOPIC).read()],
        "versions": [version.describe() for version in datum.versions()],
        "newest": datum.read().decode(),
        "saved": {entry.key: saved.read(entry.key).hex() for entry in saved.scan()},
        "saved list": [(one.name, one.time, one.root_version, one.problem) for one in ns.saved()],
        "queues": sorted(ns.queues()),
        "lock": [(row.ticket, row.host, row.purpose) for row in ns.queue(LOCK).status().tickets],
    }
