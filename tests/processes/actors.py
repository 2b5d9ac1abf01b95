"""What the processes of a round do, over and over until their time is up, each keeping a record of it.

The name of an actor says which; ``ACTORS`` has them all. None knows when it will be killed or stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import swampstore
from swampstore import Model
from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv
from swampstore.errors import Conflict, FenceConflict, FencedError, NotDelivered, TryAgain
from tests.histories.record import Doing, Recorder
from tests.processes.drivers import DRIVERS, open_with
from tests.processes.root_watch import RootWatch

MODEL = Model("kill", "one")
LOCK_WAIT_S = 25.0
TIMEOUT_S = 20.0


class Desk:
    """One process at work: its record, its dice, its namespace."""

    def __init__(
        self,
        url: str,
        namespace: str,
        record: Path,
        seed: int,
        seconds: float,
        turn: int,
        driver: str = DRIVERS[0],
        timeout: float = TIMEOUT_S,
    ) -> None:
        self.recorder = Recorder(record)
        self.name = record.stem
        self.url = url
        self.dice = random.Random(seed)
        self.until = time.monotonic() + seconds
        self.turn = turn
        env = BlockingEnv()
        self.bare = RootWatch(open_with(driver, url, env, timeout), self.recorder, namespace)
        self.store = Datastore(CoreStore(self.bare, env, timeout=timeout))
        self.ns: Namespace = self.store.namespace(namespace)
        self.count = 0
        self.pause_s = 0.0

    @property
    def working(self) -> bool:
        if self.pause_s:
            time.sleep(self.dice.random() * self.pause_s)
        return time.monotonic() < self.until

    def next(self) -> str:
        """A name that nobody else forms."""
        self.count += 1
        return f"{self.name}-{self.count}"


def contents(key: str) -> bytes:
    """What is put at ``key``: as long as the key says, and different everywhere."""
    size = {"b": 300_000, "p": 9_000}.get(key[2:3], 40)
    return (f"{key}:" * (size // len(key) + 1)).encode()


def told(data: bytes) -> str:
    return f"{len(data)}-{hashlib.sha256(data).hexdigest()[:12]}"


# --- reading ----------------------------------------------------------------------------------------------------------


def read_list(desk: Desk, prefix: str = "a/") -> None:
    with desk.recorder.doing("list", fails=(TryAgain,), prefix=prefix) as doing:
        doing.gave = {entry.key: f"{entry.size}-{entry.sha256[:12]}" for entry in desk.ns.snapshot().scan(prefix)}


def look(desk: Desk, key: str) -> str | None:
    with desk.recorder.doing("look", key=key) as doing:
        found = desk.ns.read(key) if desk.ns.get(key) else None
        doing.gave = found.decode() if found is not None else None
    return doing.gave


def tell(desk: Desk, stream: str) -> list[swampstore.StreamRecord]:
    with desk.recorder.doing("tell", stream=stream) as doing:
        records = desk.ns.stream(stream).read()
        doing.gave = [record.data.decode() for record in records]
    return records


def versions(desk: Desk) -> None:
    with desk.recorder.doing("versions") as doing:
        found = desk.ns.data(MODEL, "report").versions()
        doing.gave = {version.id: [version.ordinal, version.size, version.sha256[:12]] for version in found}


def audited(desk: Desk) -> None:
    with desk.recorder.doing("audited") as doing:
        doing.gave = [record.data for record in desk.ns.audit("kills").read()]
        doing.gave = [data.decode() if isinstance(data, bytes) else data["n"] for data in doing.gave]


# --- the actors -------------------------------------------------------------------------------------------------------


def appender(desk: Desk) -> None:
    mine: list[str] = []
    while desk.working:
        roll = desk.dice.random()
        if roll < 0.12 and mine:
            keys = [mine.pop(desk.dice.randrange(len(mine)))]
            with desk.recorder.doing("delete", keys=keys):
                desk.ns.delete(keys[0])
            continue
        kind = "b" if roll < 0.2 else "p" if roll < 0.35 else "s"
        keys = [f"a/{kind}/{desk.next()}" for _ in range(3 if roll > 0.8 else 1)]
        items = {key: contents(key) for key in keys}
        with desk.recorder.doing("append", items={key: told(data) for key, data in items.items()}) as doing:
            doing.gave = desk.ns.put_many(items).slot
        if doing.gave:
            mine += keys


def reader(desk: Desk) -> None:
    while desk.working:
        read_list(desk)
        look(desk, f"c/{desk.turn}/{desk.dice.randrange(2)}")
        tell(desk, f"s/{desk.turn}")
        versions(desk)


def updater(desk: Desk) -> None:
    while desk.working:
        update(desk, f"c/{desk.turn}/{desk.dice.randrange(2)}")


def update(desk: Desk, key: str) -> None:
    with desk.recorder.doing("update", fails=(TryAgain,), key=key) as doing:

        def decide(current: bytes | None) -> bytes:
            doing.gave = [current.decode() if current is not None else None, desk.next()]
            doing.trying(doing.gave)
            return doing.gave[1].encode()

        desk.ns.update(key, decide, deadline=LOCK_WAIT_S)


def pusher(desk: Desk) -> None:
    while desk.working:
        push(desk, f"s/{desk.turn}")


def push(desk: Desk, name: str) -> None:
    stream, record = desk.ns.stream(name), desk.next()
    if desk.dice.random() < 0.4:
        with desk.recorder.doing("push", fails=(TryAgain,), stream=name, record=record, expected=None):
            stream.append([record.encode()])
        return
    records = tell(desk, name)
    expected = records[-1].data.decode() if records else ""
    tail = records[-1].position if records else swampstore.EMPTY
    with desk.recorder.doing("push", fails=(FenceConflict,), stream=name, record=record, expected=expected):
        stream.append([record.encode()], expected_tail=tail)


def locker(desk: Desk) -> None:
    while desk.working:
        locked(desk, f"l/{desk.turn}")


def locked(desk: Desk, name: str) -> None:
    """Read and write in a lock: as an update that must see all before it."""
    key = f"{name}/n"
    with (
        desk.recorder.doing("update", fails=(FencedError, TryAgain), key=key) as doing,
        desk.ns.lock(name, deadline=LOCK_WAIT_S, purpose=desk.name) as held,
    ):
        found = desk.ns.read(key) if desk.ns.get(key) else None
        doing.gave = [found.decode() if found is not None else None, desk.next()]
        time.sleep(desk.dice.random() * 0.005)
        doing.trying(doing.gave)
        held.put(key, doing.gave[1])


def versioner(desk: Desk) -> None:
    item = desk.ns.data(MODEL, "report")
    while desk.working:
        data = contents(desk.next())
        with desk.recorder.doing("version", said=told(data)) as doing:
            ack = item.put(data, ordinal=desk.dice.random() < 0.2)
            doing.gave = [ack.id, ack.ordinal]


def auditor(desk: Desk) -> None:
    topic = desk.ns.audit("kills")
    while desk.working:
        text = desk.next()
        with contextlib.suppress(NotDelivered), desk.recorder.doing("audit", n=text) as doing:  # then it is unknown
            doing.gave = topic.write({"n": text}).slot


def compactor(desk: Desk) -> None:
    while desk.working:
        with desk.recorder.doing("compact", fails=(TryAgain, Conflict)):
            desk.ns.compact(full=desk.dice.random() < 0.3)


def syncer(desk: Desk) -> None:
    """Three trees of one namespace of their own; two processes may sync one of them at once. Files come and go."""
    tree = Path(desk.recorder.folder) / f"tree-{desk.dice.randrange(3)}"
    tree.mkdir(exist_ok=True)
    namespace = desk.store.namespace(f"{desk.ns.name}-tree")
    mine: list[Path] = []
    while desk.working:
        for _ in range(desk.dice.randint(1, 4)):
            name = desk.next()
            path = tree / f"f{desk.dice.randrange(3)}" / name
            path.parent.mkdir(exist_ok=True)
            with desk.recorder.doing("file", path=f"{path.parent.name}/{name}", said=told(contents(f"a/p/{name}"))):
                fresh = tree.parent / f"{name}.part"  # a tree never holds half a file of an editor's
                fresh.write_bytes(contents(f"a/p/{name}"))
                fresh.replace(path)
            mine.append(path)
        if len(mine) > 4:
            gone = mine.pop(0)
            with desk.recorder.doing("unfile", path=f"{gone.parent.name}/{gone.name}"):
                gone.unlink(missing_ok=True)
        with desk.recorder.doing("sync", fails=(TryAgain,)):
            namespace.sync(tree)


ACTORS: dict[str, Callable[[Desk], None]] = {
    "appender1": appender, "appender2": appender, "reader": reader, "updater1": updater, "updater2": updater,
    "pusher1": pusher, "pusher2": pusher, "locker1": locker, "locker2": locker, "versioner": versioner,
    "auditor": auditor, "compactor1": compactor, "compactor2": compactor, "syncer1": syncer, "syncer2": syncer,
}  # fmt: skip

__all__ = ["ACTORS", "Desk", "Doing"]
