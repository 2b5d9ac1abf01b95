"""What goes wrong in real legacy stores, one function per case; each changes a made tree and says so in ``Made``.

The cases of ``CASES`` run before the index is written, those of ``AFTER_INDEX`` of the same name after it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from swampstore.testing.legacy_tree import Made

Case: TypeAlias = "Callable[[Made], None]"

NOT_DATA = (
    ".push-queue.json",
    ".datastore-sync-state.json",
    ".catalog-export.json",
    "_catalog.db",
    "_catalog.db-wal",
    "_control/commit.json",
    "secrets/token.json",
    "bundles/a.js",
    "model-bundles/a.js",
    "data/command/shell/.lock",
)


def _latests(made: Made) -> list[str]:
    return [rel for rel in made.entries if rel.startswith("data/") and rel.endswith("/latest")]


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def no_latest(made: Made) -> None:
    """A datum without ``latest``."""
    rel = _latests(made)[0]
    (made.base / rel).unlink()
    del made.entries[rel]


def wrong_latest(made: Made) -> None:
    """A ``latest`` that names a version that is not there, and one that is not a number."""
    for rel, said in zip(_latests(made)[1:3], (b"999", b"newest"), strict=True):
        made.add(rel, said)


def link_latest(made: Made) -> None:
    """A ``latest`` that is a symbolic link to a version's folder, as old clients made it. Not in the index."""
    rel = _latests(made)[-1]
    path = made.base / rel
    path.unlink()
    del made.entries[rel]
    path.symlink_to("1/", target_is_directory=True)


def not_a_version(made: Made) -> None:
    """A numeric folder without ``metadata.yaml``: contents of nobody's version."""
    folder = _latests(made)[0].removesuffix("/latest")
    made.add(f"{folder}/77/raw", b"half a version")


def dangling(made: Made) -> None:
    """Entries whose object is nowhere."""
    for rel in [rel for rel in made.entries if rel.endswith("/1/raw")][:2]:
        (made.base / rel).unlink()
        made.dangling.add(rel)


def old_entries(made: Made) -> None:
    """An index from before hashes were kept."""
    for entry in made.entries.values():
        entry.pop("sha256", None)


def at_root(made: Made) -> None:
    """Objects of a namespace that lie at the prefix: one that an index there lists, one that nobody lists."""
    if not made.namespace:
        return
    listed, unlisted = [rel for rel in made.entries if rel.endswith("/2/raw")][:2]
    for rel in (listed, unlisted):
        body = (made.base / rel).read_bytes()
        (made.base / rel).unlink()
        _write(made.out / rel, body)
    index = {"version": 1, "lastPulled": None, "entries": {listed: made.entries[listed]}}
    _write(made.out / ".datastore-index.json", json.dumps(index).encode())
    made.at_root.add(listed)
    made.dangling.add(unlisted)


def not_data(made: Made) -> None:
    """Files of the old client that are not data, some of them listed in its index."""
    for rel in NOT_DATA:
        made.add(rel, b"{}")
        made.not_data.add(rel)


def nested(made: Made) -> None:
    """A namespace written into itself."""
    if made.namespace:
        rel = f"{made.namespace}/data/command/shell/x/state/1/raw"
        made.add(rel, b"twice")
        made.not_data.add(rel)


def other_namespaces(made: Made) -> None:
    """Two namespaces beside this one, one of them also listed in this index."""
    for name in ("neighbour", "zz-last"):
        mark = {"namespace": name, "repoId": "other", "registeredAt": "2026-06-01T00:00:00.000Z"}
        _write(made.out / name / ".namespace.json", json.dumps(mark).encode())
        _write(made.out / name / "data/command/shell/m/state/1/raw", b"of somebody else")
    rel = "neighbour/data/command/shell/m/state/1/raw"
    made.enter(rel, 16, "0" * 64)
    made.not_data.add(rel)


def live_locks(made: Made) -> None:
    """A live lock in each place where one may lie, and one that nobody has renewed for long."""
    lock = {"holder": "sync", "hostname": "box-1", "pid": 4711, "acquiredAt": "2026-06-01T00:00:00.000Z"}
    body = json.dumps(lock | {"ttlMs": 600_000, "nonce": "n"}).encode()
    _write(made.base / ".datastore.lock", body)
    _write(made.base / "data/command/shell/m/.lock", body)
    if made.namespace:
        _write(made.out / ".locks" / f"{made.namespace}.lock", body)
        _write(made.out / ".datastore.lock", body)
    dead = made.base / "data/command/shell/dead/.lock"
    _write(dead, body)
    long_ago = time.time() - 86_400
    os.utime(dead, (long_ago, long_ago))


def _shards(made: Made) -> list[Path]:
    return sorted(path for path in (made.base / "_index").glob("data--*.json"))


def stale_monolith(made: Made) -> None:
    """An old monolith beside a v2 index, with an entry that is long gone."""
    if (made.base / "_index").exists():
        entry = {"key": "gone", "size": 1, "lastModified": "2026-01-01T00:00:00.000Z"}
        index = {"version": 1, "lastPulled": None, "entries": {"gone": entry}}
        _write(made.base / ".datastore-index.json", json.dumps(index).encode())


def _unlist(made: Made, shard: Path) -> None:
    path = made.base / "_index" / "_meta.json"
    meta = json.loads(path.read_bytes())
    meta["partitions"].remove(shard.stem)
    path.write_text(json.dumps(meta))


def unlisted_partition(made: Made) -> None:
    """A committed partition that the meta object does not name (a crash between the two writes)."""
    if shards := _shards(made):
        _unlist(made, shards[0])
        made.unlisted.add(shards[0].stem)


def missing_partition(made: Made) -> None:
    """A partition that the meta object names and that is gone, with all its entries."""
    if shards := _shards(made):
        for rel in json.loads(shards[-1].read_bytes())["entries"]:
            made.entries.pop(rel)
            made.dangling.discard(rel)
        shards[-1].unlink()
        made.missing.add(shards[-1].stem)


def _later(made: Made) -> None:
    """Stands in ``CASES`` for a case that needs the written index."""


CASES: dict[str, Case] = {
    "no-latest": no_latest,
    "wrong-latest": wrong_latest,
    "link-latest": link_latest,
    "not-a-version": not_a_version,
    "dangling": dangling,
    "old-entries": old_entries,
    "at-root": at_root,
    "not-data": not_data,
    "nested": nested,
    "other-namespaces": other_namespaces,
    "live-locks": live_locks,
    "stale-monolith": _later,
    "unlisted-partition": _later,
    "missing-partition": _later,
}
AFTER_INDEX: dict[str, Case] = {
    "stale-monolith": stale_monolith,
    "unlisted-partition": unlisted_partition,
    "missing-partition": missing_partition,
}
