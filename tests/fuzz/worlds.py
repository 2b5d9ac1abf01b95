"""A small store in which one object is hostile, and everything that can be done with a store.

Only ``SwampError`` may come out of any of it, and nothing may be written outside the folder given to sync and export.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import random
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from swampstore import Namespace
from swampstore.env.blocking import run
from swampstore.errors import SwampError
from swampstore.stores.memory import MemoryStore
from swampstore.values.frame import Kind, compress, decompress
from swampstore.values.names import Names
from swampstore.values.root import RunRef, decode_root
from swampstore.values.run import FOOTER, decode_index, index_span
from swampstore.workers.sync import SyncOptions, sync
from tests.fuzz.mutate import frame, packed, raw_bytes, reframed, segment_body, text
from tests.golden.store import (
    DATUM,
    LOCK,
    MODEL,
    NAMESPACE,
    QUEUE,
    SAVED,
    STREAM,
    TOPIC,
    make,
    new_env,
    opened,
    store_of,
)

NAMES = Names(NAMESPACE)


@functools.cache
def objects() -> dict[str, bytes]:
    """The good store."""
    return make()


def hostile(seed: int) -> tuple[str, dict[str, bytes]]:
    """The name of the object that is hostile in the world of ``seed``, and all objects of that world."""
    dice = random.Random(f"world {seed}")
    held = dict(objects())
    name = dice.choice([*held, NAMES.root, NAMES.root, NAMES.root])
    root = decode_root(held[NAMES.root], "root")
    refs = {f"{NAMESPACE}/{ref.name}": ref for ref in root.runs}
    if name in refs and dice.random() < 0.9:
        held |= mutated_run(name, held[name], refs[name], dice)
    elif NAMES.parse_segment(name):
        held[name] = reframed(segment_body)(held[name], dice)
    elif held[name][:4] == b"SWMP":
        held[name] = reframed()(held[name], dice)
    else:
        held[name] = dice.choice((raw_bytes, text))(held[name], dice)
    return name, held


def mutated_run(name: str, data: bytes, ref: RunRef, dice: random.Random) -> dict[str, bytes]:
    """The run with changed records, its index and the root's reference in keeping with them."""
    at, length = index_span(ref)
    parts: list[bytes] = []
    infos = []
    for info in decode_index(data[at : at + length], name):
        raw = decompress(data[info.offset : info.offset + info.size], info.raw_size, name)
        if dice.random() < 0.7:
            raw = packed(raw, dice)
        stored = compress(raw)
        count = info.count
        try:
            count = len(msgspec.msgpack.decode(raw))
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError):
            count += 1
        offset = sum(map(len, parts))
        size, raw_size, crc = len(stored), len(raw), zlib.crc32(stored)
        infos.append(
            msgspec.structs.replace(info, offset=offset, size=size, raw_size=raw_size, crc=crc, count=max(count, 1))
        )
        parts.append(stored)
    raw_index = msgspec.msgpack.encode(infos)
    if dice.random() < 0.3:
        raw_index = packed(raw_index, dice)
    index = frame(Kind.RUN_INDEX, 1, raw_index)
    body = b"".join(parts)
    new = body + index + FOOTER.pack(len(body), len(index), b"SWRN")
    changed = msgspec.structs.replace(ref, size=len(new), index_at=len(body), digest=hashlib.sha256(new).digest())
    root = msgspec.msgpack.decode(msgspec.msgpack.encode(decode_root(objects()[NAMES.root], "root")))
    return {name: new, NAMES.root: frame(Kind.ROOT, 1, msgspec.msgpack.encode(_exchanged(root, ref.name, changed)))}


def _exchanged(tree: object, name: str, ref: RunRef) -> object:
    """``tree`` with the reference of ``name`` exchanged, wherever it stands."""
    if isinstance(tree, list):
        if len(tree) > 10 and tree[2] == name:
            return ref
        return [_exchanged(item, name, ref) for item in tree]
    if isinstance(tree, dict):
        return {key: _exchanged(value, name, ref) for key, value in tree.items()}
    return tree


# --- what is done ---------------------------------------------------------------------------------------------------


def operations(ns: Namespace, store: MemoryStore, folder: Path) -> dict[str, Callable[[], object]]:
    """Everything that can be done, by name. Readers first, then what changes the store."""
    datum = ns.data(MODEL, DATUM)

    def read_all() -> None:
        for entry in ns.scan():
            entry.describe()
            one(lambda key=entry.key: ns.read(key))  # type: ignore[misc]

    def read_saved() -> None:
        with ns.snapshot(saved=SAVED) as snapshot:
            for entry in snapshot.scan():
                one(lambda key=entry.key: snapshot.read(key))  # type: ignore[misc]

    def lock() -> None:
        with ns.lock(LOCK, deadline=30) as held:
            held.put("locked", b"again")

    def queue() -> None:
        with ns.queue(QUEUE).acquire(deadline=30):
            return

    tree = folder / "tree"
    return {
        "read": read_all,
        "get": lambda: [ns.get(key) for key in ("tail", "large", "many/03", "nothing", "agents/2")],
        "list": lambda: ns.list("", delimiter="/"),
        "saved": read_saved,
        "saved list": lambda: [one.name for one in ns.saved()],
        "stream": lambda: (ns.stream(STREAM).tail(), ns.stream(STREAM).read()),
        "audit": lambda: list(ns.audit(TOPIC).read()),
        "changes": lambda: ns.audit(TOPIC).changes(),
        "versions": lambda: [version.describe() for version in datum.versions()],
        "datum": datum.read,
        "search": lambda: [version.describe() for version in ns.search_data()],
        "status": lambda: ns.status(queues=True),
        "queues": lambda: [ns.queue(name).status() for name in ns.queues()],
        "doctor": lambda: ns.doctor(deep=True),
        "sync": lambda: run(sync(ns._core, tree, SyncOptions())),
        "restore": lambda: ns.restore(SAVED),
        "put": lambda: ns.put("new", b"x"),
        "update": lambda: ns.update("counter", lambda old: b"9"),
        "append": lambda: ns.stream(STREAM).append([b"x"]),
        "put data": lambda: datum.put(b"more"),
        "fold": lambda: ns.compact(full=False),
        "gc preview": lambda: ns.gc(),
        "gc": lambda: ns.gc(dry_run=False),
        "prune": lambda: ns.prune(dry_run=False),
        "compact": ns.compact,
        "lock": lock,
        "queue": queue,
        "read after": read_all,
        "pass on": lambda: ns.queue(LOCK).pass_over(1),
        "restore it": lambda: ns.restore(SAVED, dry_run=False),
        "delete saved": lambda: ns.delete_saved(SAVED),
    }


def one(work: Callable[[], object]) -> SwampError | None:
    """The typed error of ``work``; any other one goes on."""
    try:
        work()
    except SwampError as error:
        return error
    return None


def visit(seed: int) -> Mapping[str, SwampError | None]:
    """Do everything in the world of ``seed``; what each operation was refused with."""
    _, held = hostile(seed)
    env = new_env(seed)
    store = store_of(held, env)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        folder = Path(name)
        (folder / "tree").mkdir()
        (folder / "guard").write_bytes(b"untouched")
        ns = opened(store, env)
        found = {what: one(work) for what, work in operations(ns, store, folder).items()}
        assert sorted(path.name for path in folder.iterdir()) == ["guard", "tree"], f"seed {seed}: outside the tree"
        assert (folder / "guard").read_bytes() == b"untouched"
    return found


def main(seconds: float, first: int = 0) -> int:
    """Visit worlds until the time is over; 1 when something came out that is no ``SwampError``."""
    logging.disable(logging.CRITICAL)
    end, seed, faults = time.monotonic() + seconds, first, 0
    refused: Counter[str] = Counter()
    while time.monotonic() < end:
        try:
            refused.update(type(error).__name__ for error in visit(seed).values() if error is not None)
        except Exception:  # noqa: BLE001 - the finding
            faults += 1
            print(f"seed {seed}, {hostile(seed)[0]}:\n{traceback.format_exc()}")
        seed += 1
    print(f"{seed - first:,} hostile stores, {faults} faults, refused with {dict(refused.most_common())}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *map(int, sys.argv[2:3])))
