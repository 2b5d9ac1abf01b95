"""The same for what lies in files: lanes, audit archives for other programs, and what waits on a machine."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from swampstore import Namespace
from swampstore.env.blocking import run
from swampstore.errors import CorruptObject, SpoolUnusable, UnknownFormat
from swampstore.values.audit_parquet import SUFFIX, decode_whole
from swampstore.values.lane_file import FORMAT, HEADER_BYTES, MAGIC
from swampstore.values.spool import decode_bundle, encode_bundle
from swampstore.workers.audit_spool import ABOUT
from swampstore.workers.spool_place import store_folder
from tests.fuzz.mutate import frame, unframe
from tests.golden.store import NAMESPACE, STREAM, TOPIC, make, new_env, objects_of, opened, store_of
from tests.golden.test_golden import HINT, golden
from tests.golden.write import SPOOL, WITH_FILES, spool_files
from tests.spool.desk import Machine

GOLDEN = golden(WITH_FILES)
LANES = [name for name, body in GOLDEN.items() if body[:4] == MAGIC]
ARCHIVES = [name for name in GOLDEN if name.endswith(SUFFIX)]
KEPT_SPOOL = {path.relative_to(SPOOL).as_posix(): path.read_bytes() for path in SPOOL.rglob("*") if path.is_file()}


def test_both_kinds_are_kept() -> None:
    assert len(LANES) == 3
    assert len(ARCHIVES) > 1


def test_todays_code_writes_them() -> None:
    """Lane files to the byte; archives with the same rows, for their bytes are those of another library's version."""
    made = make(files=True)
    assert sorted(made) == sorted(GOLDEN), HINT
    for name in LANES:
        assert made[name] == GOLDEN[name], f"{name}: {HINT}"
    for name in ARCHIVES:
        assert decode_whole(made[name], "x", name)[2] == decode_whole(GOLDEN[name], "x", name)[2], f"{name}: {HINT}"


def newer(name: str) -> bytes:
    """The object as a program of the next format may write it."""
    body = GOLDEN[name]
    if name in ARCHIVES:
        return body.replace(b"swampstore.blocks", b"swampstore.blockz")  # another description of it, as long as ours
    head = MAGIC + bytes([FORMAT + 1]) + body[5 : HEADER_BYTES - 4]
    return head + zlib.crc32(head).to_bytes(4) + body[HEADER_BYTES:]


UNFOLDED = max(LANES)
CASES: dict[str, tuple[str, Callable[[Namespace], Any]]] = {
    "lane file, read": (UNFOLDED, lambda ns: ns.get("large")),
    "lane file, scan": (UNFOLDED, lambda ns: list(ns.scan())),
    "lane file, fold": (UNFOLDED, lambda ns: ns.compact(full=False)),
    "lane file, update": (UNFOLDED, lambda ns: ns.update("counter", lambda old: b"7")),
    "lane file, gc": (UNFOLDED, lambda ns: ns.gc(dry_run=False)),
    "archive, read": (ARCHIVES[0], lambda ns: list(ns.audit(TOPIC).read())),
    "archive, sql": (ARCHIVES[0], lambda ns: ns.audit_sql("select count(*) from audit")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_newer_format_is_refused_and_nothing_is_changed(case: str) -> None:
    name, work = CASES[case]
    env = new_env()
    store = store_of(GOLDEN | {name: newer(name)}, env)
    before = objects_of(store)
    with pytest.raises(UnknownFormat, match="newer") as caught:
        work(opened(store, env))
    assert caught.value.name == name
    assert "upgrade" in caught.value.hint
    assert objects_of(store) == before


@pytest.mark.parametrize("at", [200, -100])
def test_a_changed_archive_is_not_queried(at: int) -> None:
    """DuckDB does not look at checksums: what is handed to it is what was archived."""
    body = bytearray(GOLDEN[ARCHIVES[0]])
    body[at] ^= 1
    env = new_env()
    store = store_of(GOLDEN | {ARCHIVES[0]: bytes(body)}, env)
    with pytest.raises(CorruptObject) as caught:
        opened(store, env).audit_sql("select count(*) from audit")
    assert caught.value.name == ARCHIVES[0]


def told(objects: dict[str, bytes]) -> list[tuple[str, int, str]]:
    env = new_env()
    return [(one.id, one.ts, repr(one.data)) for one in opened(store_of(objects, env), env).audit(TOPIC).read()]


@pytest.mark.parametrize("step", [61, pytest.param(3, marks=pytest.mark.prove)])
def test_a_flipped_bit_of_an_archive_is_never_served(step: int) -> None:
    """Pages have checksums, and so has what the file says of itself: a key changed there would leave records out."""
    good = told(GOLDEN)
    refused: set[str] = set()
    for name in ARCHIVES:
        for at in range(0, len(GOLDEN[name]), step):
            body = bytearray(GOLDEN[name])
            body[at] ^= 1 << at % 8
            try:
                assert told(GOLDEN | {name: bytes(body)}) == good, (name, at)
            except (CorruptObject, UnknownFormat) as error:
                refused.add(error.name)
    assert refused  # of those that were not replaced meanwhile


def test_without_its_checksum_a_changed_key_hides_records() -> None:
    name = next(name for name in ARCHIVES if b"id" in GOLDEN[name])
    at = GOLDEN[name].index(b"swampstore.blocks") + len(b"swampstore.blocks") + 12
    hidden = 0
    for offset in range(at, at + 60):
        body = bytearray(GOLDEN[name])
        body[offset] ^= 1
        assert body.count(b"swampstore.crc") >= 1
        bare = bytes(body).replace(b"swampstore.crc", b"swampstxre.crc")
        with suppress(CorruptObject, UnknownFormat):
            hidden += told(GOLDEN | {name: bare}) != told(GOLDEN)
    assert hidden


def test_the_rest_goes_on_beside_a_newer_archive() -> None:
    env = new_env()
    store = store_of(GOLDEN | {ARCHIVES[0]: newer(ARCHIVES[0])}, env)
    ns = opened(store, env)
    ns.put("x", b"1")
    assert ns.read("x") == b"1"
    assert len(ns.stream(STREAM).read()) == 3
    ns.compact()
    assert objects_of(store)[ARCHIVES[0]] == newer(ARCHIVES[0])


# --- spools -----------------------------------------------------------------------------------------------------------


def placed(machine: Machine, files: dict[str, bytes]) -> Path:
    """Lay the files where the spool of the machine's store is; its namespace is the golden one."""
    folder = store_folder(machine.base, machine.store.url)
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(body)
    return folder


def test_todays_code_writes_the_spool() -> None:
    assert spool_files() == KEPT_SPOOL, HINT
    (name,) = KEPT_SPOOL.keys() - {ABOUT}
    bundle = decode_bundle(KEPT_SPOOL[name], name)
    assert encode_bundle(bundle) == KEPT_SPOOL[name]
    assert [json.loads(KEPT_SPOOL[ABOUT])["store"], NAMESPACE] == [bundle.store, bundle.namespace]


def test_what_waited_in_it_is_delivered(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.env.wall = 1_800_000_060_000
    placed(machine, KEPT_SPOOL)
    ns = machine.process().namespace(NAMESPACE)
    assert ns.drain_spool().records == 2
    assert [record.data for record in ns.audit(TOPIC).read()] == [{"provider": "a", "why": "é" * 300}, b"\x00raw"]


def test_a_newer_spool_is_left_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    about = json.dumps(json.loads(KEPT_SPOOL[ABOUT]) | {"format": 2}).encode()
    folder = placed(machine, KEPT_SPOOL | {ABOUT: about})
    with pytest.raises(SpoolUnusable, match="format 2"):
        machine.process().namespace(NAMESPACE).drain_spool()
    assert {name: (folder / name).read_bytes() for name in KEPT_SPOOL} == KEPT_SPOOL | {ABOUT: about}


def test_a_newer_write_in_it_is_left_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (name,) = KEPT_SPOOL.keys() - {ABOUT}
    kind, form, raw = unframe(KEPT_SPOOL[name])
    folder = placed(machine, KEPT_SPOOL | {name: frame(kind, form + 1, raw)})
    report = machine.process().namespace(NAMESPACE).drain_spool()
    assert (report.records, report.left, report.set_aside) == (0, 1, 0)
    assert (folder / name).read_bytes() == frame(kind, form + 1, raw)
    assert run(machine.store.inner.list("")).items == ()
