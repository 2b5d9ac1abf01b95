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
from contextlib import closing
from pathlib import Path
from typing import Any

import zstandard

from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.workers.sync import SyncOptions, sync
from tests.golden.store import NAMESPACE, make, new_env, observe, opened, store_of

FOLDER = Path(__file__).parent / "v2"
OLD = (Path(__file__).parent / "v1",)
"""Of formats that are read and not written any more: blocks of runs as arrays of records."""
FILES = "objects"
STATE = "sync-state.db"
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


def main() -> int:
    objects = make()
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name, body in objects.items():
        path = FOLDER / FILES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (FOLDER / "seen.json").write_text(json.dumps(observed(objects), indent=1, sort_keys=True) + "\n", "utf-8")
    made_by = {"zstd": list(zstandard.ZSTD_VERSION), "objects": len(objects), "bytes": sum(map(len, objects.values()))}
    (FOLDER / "made-by.json").write_text(json.dumps(made_by, sort_keys=True) + "\n", "utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(sync_state(objects, Path(scratch)), FOLDER / STATE)
    print(f"{len(objects)} objects, {made_by['bytes']} bytes in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
