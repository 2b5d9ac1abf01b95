"""Writes the golden files: ``python -m tests.golden.write``.

Run it when a format has changed on purpose, and say in the commit what older programs make of it. Files of a format that
was released are never written again: a new format gets a folder of its own.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.values.audit import audit_key, encode_data, encode_value
from swampstore.values.entry import AUDIT, OPAQUE, Record
from swampstore.values.spool import Bundle, bundle_name, encode_bundle
from swampstore.values.version import hlc_of, make_version, make_writer_id
from swampstore.workers.audit_spool import ABOUT, FORMAT, _About
from swampstore.workers.sync import SyncOptions, sync
from tests.golden.store import NAMESPACE, TOPIC, make, new_env, observe, opened, store_of

FOLDER = Path(__file__).parent / "v2"
WITH_FILES = Path(__file__).parent / "v2-files"
"""The same with lanes that are files and audit archives that are Parquet files."""
OLD = tuple(Path(__file__).parent / name for name in ("v1", "v2-unsaid", "v2-unchecked", "v2-unborn"))
"""Of formats that are read and not written any more: blocks of runs as arrays of records; a root that does not say where
in its runs lies what expires first; archives without a checksum of what they say of themselves; a root without the life it belongs to."""
SPOOL = Path(__file__).parent / "spool"
"""What a process leaves on its machine while the store is away: whose it is, and one write of each kind of record."""
FILES = "objects"
STATE = "sync-state.db"
VERSION = make_version(hlc_of(1_800_000_000_000), make_writer_id(1_800_000_000_000, b"golden"), 0)
TIMES = ("at_ms", "mtime_ns", "inode")
"""Columns of the state that differ from machine to machine."""


def plain(value: Any) -> Any:
    """``value`` as it comes back from JSON."""
    return json.loads(json.dumps(value, sort_keys=True))


def observed(objects: dict[str, bytes]) -> Any:
    """What a reader sees in the store that ``objects`` are."""
    env = new_env()
    return plain(observe(opened(store_of(objects, env), env)))


def sync_state(objects: dict[str, bytes], folder: Path) -> Path:
    """The state of a tree that was synced with the store once, as one file."""
    env = new_env()
    tree = folder / "tree"
    tree.mkdir()
    run(sync(CoreStore(store_of(objects, env), env).namespace(NAMESPACE), tree, SyncOptions(push=False)))
    (made,) = (tree / ".swampstore").glob("*.db")
    with closing(sqlite3.connect(made, isolation_level=None)) as db:
        for column in TIMES:
            db.execute(f"UPDATE files SET {column} = 1")
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("VACUUM")
    return made


def schema_of(file: Path) -> list[str]:
    """The statements that make the tables of a state, and its version."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        found = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    return [f"user_version {version}", *(" ".join(sql.split()) for (sql,) in found)]


def spool_files() -> dict[str, bytes]:
    """The files of a spool into which two records were written."""
    records = [
        Record(audit_key(TOPIC, 1_800_000_000_000 + at, f"id{at}"), VERSION, AUDIT | OPAQUE, 0, encode_value(value))
        for at, value in enumerate((encode_data({"provider": "a", "why": "é" * 300}), encode_data(b"\x00raw")))
    ]
    bundle = encode_bundle(Bundle("memory://private", NAMESPACE, records))
    name = bundle_name(1, 1_800_000_000_000, records, len(bundle), b"goldens!")
    about = msgspec.json.encode(_About(FORMAT, "memory://private"))
    return {ABOUT: about, f"{NAMESPACE}/{name}": bundle}


def write_store(folder: Path, objects: dict[str, bytes]) -> None:
    """Keep the objects, what is seen in them, and by what they were made."""
    shutil.rmtree(folder, ignore_errors=True)
    write_files(folder / FILES, objects)
    (folder / "seen.json").write_text(json.dumps(observed(objects), indent=1, sort_keys=True) + "\n", "utf-8")
    made_by = {"zstd": list(zstandard.ZSTD_VERSION), "objects": len(objects), "bytes": sum(map(len, objects.values()))}
    (folder / "made-by.json").write_text(json.dumps(made_by, sort_keys=True) + "\n", "utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(sync_state(objects, Path(scratch)), folder / STATE)
    print(f"{len(objects)} objects, {made_by['bytes']} bytes in {folder}")


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def main(which: Sequence[str]) -> int:
    """Write all of them, or ``which`` by their folders' names."""
    for folder, files in ((FOLDER, False), (WITH_FILES, True)):
        if not which or folder.name in which:
            write_store(folder, make(files=files))
    if not which or SPOOL.name in which:
        shutil.rmtree(SPOOL, ignore_errors=True)
        write_files(SPOOL, spool_files())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
