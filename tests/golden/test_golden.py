"""Bytes of every format are kept: today's code reads them, still writes them, and leaves a newer format alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from swampstore import Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.errors import StoreForbidden, SwampError, UnknownFormat
from swampstore.stores.memory import MemoryStore
from swampstore.values.frame import HEADER_BYTES, MAGIC
from swampstore.values.names import Names
from swampstore.values.root import decode_root
from swampstore.values.run import FOOTER
from swampstore.values.tickets import queue_folder
from swampstore.workers.sync import SyncOptions, sync
from swampstore.workers.sync.database import SCHEMA
from swampstore.workers.sync.state import state_path
from tests.fuzz.mutate import frame, unframe
from tests.golden.store import (
    KINDS,
    LOCK,
    NAMESPACE,
    QUEUE,
    SAVED,
    STREAM,
    TOPIC,
    make,
    new_env,
    objects_of,
    opened,
    store_of,
)
from tests.golden.write import FILES, FOLDER, OLD, STATE, WITH_FILES, observed, schema_of, sync_state

NAMES = Names(NAMESPACE)
HINT = "a format has changed: see tests/golden/write.py"


def golden(kept: Path = FOLDER) -> dict[str, bytes]:
    folder = kept / FILES
    paths = sorted(folder.rglob("*"))  # the file system gives them in any order, and tests take the first of a kind
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


GOLDEN = golden()


def test_every_kind_is_kept() -> None:
    for kind in KINDS:
        assert any(name.startswith(f"{NAMESPACE}/{kind}") for name in GOLDEN), kind
    kinds = {body[4] for body in GOLDEN.values() if body[:4] == MAGIC}
    kinds |= {unframe(body[FOOTER.unpack(body[-16:])[0] : -16])[0] for body in GOLDEN.values() if body[-4:] == b"SWRN"}
    assert kinds == {1, 2, 3, 4, 6, 7, 8}  # 5 is not written: a saved snapshot is a root


@pytest.mark.parametrize("kept", [FOLDER, WITH_FILES, *OLD], ids=lambda kept: kept.name)
def test_todays_code_reads_them(kept: Path) -> None:
    assert observed(golden(kept)) == json.loads((kept / "seen.json").read_text("utf-8"))


@pytest.mark.parametrize("kept", [FOLDER, WITH_FILES, *OLD], ids=lambda kept: kept.name)
def test_todays_code_goes_on_with_them(kept: Path) -> None:
    """Fold, merge, sweep and write over old objects; what was there is still there."""
    env = new_env()
    store = store_of(golden(kept), env)
    seen = json.loads((kept / "seen.json").read_text("utf-8"))
    opened(store, env).put("new", b"1")
    opened(store, env).compact()
    opened(store, env).gc(dry_run=False)
    after = opened(store, env)
    for key, contents in seen["contents"].items():
        assert after.read(key).hex() == contents, key
    assert [record.data.decode() for record in after.stream(STREAM).read()] == ["one", "two", "three"]
    assert not [one for one in after.doctor(deep=True).findings if one.severity == "error"]


def test_todays_code_writes_them() -> None:
    made = make()
    assert sorted(made) == sorted(GOLDEN), HINT
    same_compressor = json.loads((FOLDER / "made-by.json").read_text())["zstd"] == list(zstandard.ZSTD_VERSION)
    for name, body in made.items():
        if same_compressor:
            assert body == GOLDEN[name], f"{name}: {HINT}"
        elif body[:4] == MAGIC and name != NAMES.root and "/saved/" not in name:  # those hold hashes of compressed runs
            assert unframe(body) == unframe(GOLDEN[name]), f"{name}: {HINT}"


# --- a newer format ----------------------------------------------------------------------------------------------------


def newer(name: str) -> bytes:
    """Object ``name`` as a program of the next format may write it: whole, and unreadable here."""
    body = GOLDEN[name]
    if body[:4] == MAGIC:
        kind, form, _ = unframe(body)
        return frame(kind, form + 1, b"what nobody here can read")
    at, length, magic = FOOTER.unpack(body[-FOOTER.size :])
    kind, form, raw = unframe(body[at : at + length])
    index = frame(kind, form + 1, raw)  # of the same size, as the root says where it lies
    assert len(index) == length
    return body[:at] + index + FOOTER.pack(at, length, magic)


def first(part: str, kind: int | None = None) -> str:
    return next(name for name, body in GOLDEN.items() if f"/{part}" in name and (kind is None or body[4] == kind))


def the_lock(ns: Namespace) -> None:
    with ns.lock(LOCK, deadline=1):
        raise AssertionError("it was granted")


ROOT = decode_root(GOLDEN[NAMES.root], "root")
UNFOLDED = next(
    name
    for name in sorted(GOLDEN)
    if (at := NAMES.parse_segment(name)) and at[0][0] == "w" and at[1] > ROOT.watermark(at[0])
)
CASES: dict[str, tuple[str, Callable[[Namespace], Any]]] = {
    "root, read": (NAMES.root, lambda ns: ns.get("large")),
    "root, put under a condition": (NAMES.root, lambda ns: ns.put("x", b"1", if_absent=True)),
    "root, fold": (NAMES.root, lambda ns: ns.compact(full=False)),
    "root, gc": (NAMES.root, lambda ns: ns.gc(dry_run=False)),
    "segment, read": (UNFOLDED, lambda ns: ns.get("large")),
    "segment, fold": (UNFOLDED, lambda ns: ns.compact(full=False)),
    "segment of the commit lane, update": (first("log/s00"), lambda ns: ns.update("counter", lambda old: b"7")),
    "segment of a stream, append": (first("log/s03"), lambda ns: ns.stream(STREAM).append([b"x"])),
    "level 0, read": (f"ops/{ROOT.level0[0].name}", lambda ns: list(ns.scan())),
    "level 0, merge": (f"ops/{ROOT.level0[0].name}", lambda ns: ns.compact()),
    "shard, read": (f"ops/{ROOT.shards[0].name}", lambda ns: list(ns.scan())),
    "runtime state, read": (f"ops/{ROOT.eph.runs[0].name}", lambda ns: list(ns.scan())),
    "audit catalog, read": (f"ops/{ROOT.audit.catalog[0].name}", lambda ns: list(ns.audit(TOPIC).read())),
    "saved snapshot, read": (NAMES.saved(SAVED), lambda ns: list(ns.snapshot(saved=SAVED).scan())),
    "saved snapshot, restore": (NAMES.saved(SAVED), lambda ns: ns.restore(SAVED, dry_run=False)),
    "register, look": (first("register"), lambda ns: ns.queue(QUEUE).status()),
    "register, pass over": (first("register"), lambda ns: ns.queue(QUEUE).pass_over(1)),
    "register, take a place": (first("register"), lambda ns: ns.queue(QUEUE).acquire(deadline=1).__enter__()),
    "sync": (NAMES.root, lambda ns: None),
}


def refused(store: MemoryStore, work: Callable[[], object]) -> SwampError:
    with pytest.raises(SwampError) as caught:
        work()
    return caught.value


@pytest.mark.parametrize("case", CASES)
def test_a_newer_format_is_refused_and_nothing_is_changed(case: str, tmp_path: Path) -> None:
    name, work = CASES[case]
    env = new_env()
    store = store_of(GOLDEN | {name: newer(name)}, env)
    before = objects_of(store)
    ns = opened(store, env)
    if case == "sync":
        (tmp_path / "file").write_bytes(b"mine")
        error = refused(store, lambda: run(sync(ns._core, tmp_path, SyncOptions())))
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["file"]
    else:
        error = refused(store, lambda: work(ns))
    assert isinstance(error, UnknownFormat)
    assert error.name == name
    assert "upgrade" in error.hint
    assert "newer" in str(error)
    after = objects_of(store)
    assert {one: body for one, body in after.items() if one in before} == before
    added = [one for one in after if one not in before]
    assert all("/queue/" in one for one in added), added  # at most a ticket


def test_a_put_goes_on_beside_a_newer_segment() -> None:
    """A blind put reads nothing, so it is not in the way of a newer program, nor that in its."""
    env = new_env()
    held = GOLDEN | {UNFOLDED: newer(UNFOLDED)}
    store = store_of(held, env)
    opened(store, env).put("x", b"1")
    assert {one: body for one, body in objects_of(store).items() if one in held} == held


def ticket_of(queue: str) -> str:
    return first(f"{queue_folder(queue)}/t/")


@pytest.mark.parametrize(
    "name", [ticket_of(QUEUE), first("h/"), first("pin/")], ids=["ticket beside a register", "sign", "pin"]
)
def test_newer_tickets_signs_and_pins_are_left_alone(name: str) -> None:
    """Nobody needs to read those of others to be safe: a ticket counts by its number, a pin holds everything."""
    env = new_env()
    store = store_of(GOLDEN | {name: newer(name)}, env)
    ns = opened(store, env)
    ns.status(queues=True)
    ns.compact()
    assert objects_of(store)[name] == newer(name)


def test_a_newer_ticket_that_alone_names_its_queue_is_not_taken_for_damage() -> None:
    """Nor is anything said of deleting it: a lock that is held has no register before it was released once."""
    name = ticket_of(LOCK)
    env = new_env()
    store = store_of(GOLDEN | {name: newer(name)}, env)
    ns = opened(store, env)
    for look in (ns.queues, lambda: ns.status(queues=True)):
        error = refused(store, look)
        assert isinstance(error, UnknownFormat)
        assert error.name == name
        assert "upgrade" in error.hint
    ns.compact()
    assert objects_of(store)[name] == newer(name)


# --- the state of sync --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [FOLDER, WITH_FILES, *OLD], ids=lambda kept: kept.name)
@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_the_state_of_sync_is_read_and_upgraded(tmp_path: Path, kept: Path, schema: int) -> None:
    """A tree with the kept state is in step with the store: nothing is fetched again, nothing pushed."""
    env = new_env()
    objects = golden(kept)
    store = store_of(objects, env)
    tree = tmp_path / "tree"
    tree.mkdir()
    run(sync(CoreStore(store, env).namespace(NAMESPACE), tree, SyncOptions(push=False)))
    place = state_path(tree, store.url, NAMESPACE)
    assert place.exists()
    shutil.copy(kept / STATE, place)
    if schema == 1:  # as programs of the first days left it
        with sqlite3.connect(place) as db:
            db.execute("DROP INDEX files_expires")
            db.execute("PRAGMA user_version = 1")
    report = run(sync(CoreStore(store_of(objects, env), env).namespace(NAMESPACE), tree, SyncOptions(push=False)))
    assert report.pulled == 0
    assert schema_of(place) == schema_of(FOLDER / STATE)


def test_the_state_of_sync_has_the_tables_that_were_kept(tmp_path: Path) -> None:
    assert schema_of(sync_state(GOLDEN, tmp_path)) == schema_of(FOLDER / STATE), HINT


def test_a_newer_state_of_sync_is_refused(tmp_path: Path) -> None:
    env = new_env()
    store = store_of(GOLDEN, env)
    place = state_path(tmp_path, store.url, NAMESPACE)
    place.parent.mkdir()
    shutil.copy(FOLDER / STATE, place)
    with sqlite3.connect(place) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    (tmp_path / "file").write_bytes(b"mine")
    kept = place.read_bytes()
    with pytest.raises(StoreForbidden, match="newer version"):
        run(sync(CoreStore(store, env).namespace(NAMESPACE), tmp_path, SyncOptions()))
    assert objects_of(store) == GOLDEN
    assert place.read_bytes() == kept


def test_the_marks_are_what_is_looked_at() -> None:
    """The canary: a byte of a golden object that is different is seen."""
    changed = dict(GOLDEN)
    changed[NAMES.root] = GOLDEN[NAMES.saved(SAVED)]
    assert observed_or_error(changed) != json.loads((FOLDER / "seen.json").read_text("utf-8"))
    assert HEADER_BYTES == 20


def observed_or_error(objects: dict[str, bytes]) -> object:
    try:
        return observed(objects)
    except SwampError as error:
        return error
