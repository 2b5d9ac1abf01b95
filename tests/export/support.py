"""Made legacy trees, imported and exported; what must be equal."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from swampstore.client.blocking import Datastore, finish
from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.workers.legacy.export import export_legacy
from swampstore.workers.legacy.export_mark import MARK
from swampstore.workers.legacy.export_report import ExportOptions, ExportReport
from swampstore.workers.legacy.export_sink import StoreSink, TreeSink
from swampstore.workers.legacy.importer import ImportOptions, import_legacy
from swampstore.workers.legacy.rules import Place

OWN = (MARK, ".datastore-index.json", ".namespace.json")


NOW_MS = 1_780_272_000_000 + 1_800_000
"""Half an hour after the first file of a made tree: nothing in it has expired."""


def core_of(namespace: str = "ops", store: Any = None) -> CoreNamespace:
    env: Any = FakeEnv(wall_ms=NOW_MS)
    return CoreStore(store or MemoryStore(env), env).namespace(namespace)


def face_of(core: CoreNamespace) -> Any:
    return Datastore(core.owner).namespace(core.name)


def imported(root: Path, core: CoreNamespace, named: str = "") -> Any:
    report = finish(import_legacy(core, LocalStore(root), Place("", named), ImportOptions(copy=True)))
    assert not report.damaged
    return report


def exported(core: CoreNamespace, folder: Path, named: str = "", **options: Any) -> ExportReport:
    sink = TreeSink(folder, f"{named}/" if named else "", core.place.env)
    try:
        return finish(export_legacy(core, sink, ExportOptions(**options), named=named))
    finally:
        sink.close()


def exported_to_store(core: CoreNamespace, store: Any, base: str = "", named: str = "", **options: Any) -> ExportReport:
    return finish(export_legacy(core, StoreSink(store, base), ExportOptions(**options), named=named))


BIG = os.urandom(300_000)


def filled(store: Any = None) -> Any:
    """A namespace with every kind of content."""
    core = core_of(store=store)
    ns = face_of(core)
    ns.put_many({f"outputs/{number:02}": b"%d" % number for number in range(20)})
    ns.put_many({f"files/p{number}": b"%d" % number * 9000 for number in range(4)})
    ns.put("files/big", BIG)
    data = ns.data("aws/ec2:web", "state")
    for number in range(3):
        data.put(b"v%d" % number)
    ns.compact()
    return core


def content(core: Any) -> dict[str, bytes]:
    ns = face_of(core)
    found = {entry.key: ns.read(entry.key) for entry in ns.scan()}
    return found | {"data/aws/ec2/web/state/latest": b"3"}


def files(root: Path) -> dict[str, bytes]:
    """Everything below ``root`` but what an export or index is."""
    found = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    return {rel: body for rel, body in found.items() if not is_own(rel)}


def is_own(rel: str) -> bool:
    return rel in OWN or rel.startswith("_index/")


def index_of(root: Path) -> dict[str, dict[str, Any]]:
    """The entries of a tree's index, of either version, as the layout says to read it."""
    meta = root / "_index" / "_meta.json"
    if meta.exists():
        told = json.loads(meta.read_text())
        assert told["version"] == 2
        parts = {path.stem for path in (root / "_index").glob("*.json")} - {"_meta"}
        assert parts == set(told["partitions"])
        entries: dict[str, dict[str, Any]] = {}
        for part in parts:
            body = json.loads((root / "_index" / f"{part}.json").read_text())
            assert body["version"] == 1
            entries |= body["entries"]
        return entries
    told = json.loads((root / ".datastore-index.json").read_text())
    assert told["version"] == 1
    return dict(told["entries"])


def comparable(entries: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What an index says of data: key, size, and the hash where both know it; times of all but the derived files."""
    shown = {}
    for rel, entry in entries.items():
        fields = {"key": entry["key"], "size": entry["size"]}
        if "sha256" in other.get(rel, {}) and "sha256" in entry:
            fields["sha256"] = entry["sha256"]
        if not rel.endswith("/latest"):
            fields["lastModified"] = entry["lastModified"]
        shown[rel] = fields
    return shown
