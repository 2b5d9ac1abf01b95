"""Versions of data in a machine's tree, as the tools of the layout write them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from swampstore.client.core import CoreNamespace
from swampstore.client.data import CoreItem
from swampstore.env.blocking import run
from swampstore.values.entry import Entry
from swampstore.workers.sync.state import State, state_path
from tests.sync.machines import OLD, Machine

ITEM = "data/aws/ec2/m1/report"
MODEL = "aws/ec2:m1"
CREATED = "2020-06-01T00:00:00.000Z"


def metadata(number: int, raw: bytes, item: str = ITEM, **fields: str) -> bytes:
    said = {
        "name": item.rpartition("/")[2],
        "id": "0b9f3f3e-7d6c-4f0e-9a51-000000000001",
        "version": str(number),
        "contentType": "application/json",
        "lifetime": "infinite",
        "garbageCollection": "5",
        "streaming": "false",
        "createdAt": CREATED,
        "size": str(len(raw)),
        "checksum": hashlib.sha256(raw).hexdigest(),
    } | fields
    lines = [f"{name}: {value}" for name, value in said.items() if value]
    return "\n".join([*lines, "tags:", "  type: report", f"  run: {fields.get('run', 'r1')}", ""]).encode()


def make(machine: Machine, number: int, raw: bytes, item: str = ITEM, mtime: int = OLD, **fields: str) -> str:
    """Write version ``number`` into the tree, with ``latest``; its folder."""
    folder = f"{item}/{number}"
    machine.write(f"{folder}/raw", raw, mtime=mtime)
    machine.write(f"{folder}/metadata.yaml", metadata(number, raw, item, **fields), mtime=mtime)
    machine.write(f"{item}/latest", str(number), mtime=mtime)
    return folder


def remove(machine: Machine, number: int, item: str = ITEM) -> None:
    """Delete version ``number`` from the tree, as a tool does that knows nothing of ``latest``."""
    for leaf in ("raw", "metadata.yaml"):
        machine.remove(f"{item}/{number}/{leaf}")
    (machine.tree / item / str(number)).rmdir()


def entry(machine: Machine, key: str) -> Entry | None:
    return run(machine.namespace().get(key))


def known(machine: Machine, key: str) -> Entry:
    found = entry(machine, key)
    assert found is not None
    return found


def api(machine: Machine, name: str = "report") -> CoreItem:
    """The datum through the client."""
    namespace: CoreNamespace = machine.namespace()
    return CoreItem(namespace, MODEL, name)


def latest(machine: Machine, item: str = ITEM) -> str | None:
    path: Path = machine.tree / item / "latest"
    return path.read_text() if path.is_file() else None


def never_synced(machine: Machine, key: str) -> bool:
    """Whether no sync of the machine has ever met ``key``."""
    path = state_path(machine.tree, machine.store.url, "ops")
    if not path.exists():
        return True
    state = State(path, machine.store.url, "ops")
    try:
        return not state.synced_rows([key])
    finally:
        state.close()
