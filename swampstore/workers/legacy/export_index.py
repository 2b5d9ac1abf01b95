"""The index of an export, version 1 (one object) or 2 (partitions), collected in a temporary file.

Invariants:
- Memory does not grow with the index: an entry is written down at once, a partition is a list of places in the file.
- Every partition has a name of its own that is one part of a path and never that of the meta object.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

from swampstore.workers.legacy.rules import INDEX_FOLDER
from swampstore.workers.spool import Extent, Parts, Spool

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999
_PARTITION_BYTES = 200
_BY_DATUM = ("data", "outputs", "definitions-evaluated")


def iso(ms: int) -> str:
    """A time as the index has it; what no calendar holds is cut."""
    moment = _EPOCH + timedelta(milliseconds=min(max(ms, 0), _LAST_MS))
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def partition(rel: str) -> str:
    """The partition that ``rel`` belongs to."""
    parts = rel.split("/")
    if len(parts) == 1:
        return "_root"
    if parts[0] in _BY_DATUM:
        name = "--".join(parts[:-3] if len(parts) >= 6 else parts[:-1])
    else:
        name = "--".join(parts[:2]) if parts[0] == "workflow-runs" and len(parts) > 2 else parts[0]
    if len(name.encode()) > _PARTITION_BYTES:
        name = (
            name.encode()[: _PARTITION_BYTES - 20].decode(errors="ignore")
            + hashlib.sha256(name.encode()).hexdigest()[:16]
        )
    return f"{name}-" if name.startswith(("_", ".")) else name


class IndexDraft:
    """Entries on their way into an index."""

    def __init__(self, spool: Spool, *, partitioned: bool) -> None:
        self._spool = spool
        self._partitioned = partitioned
        self._extents: dict[str, list[Extent]] = {}
        self.entries = 0

    def add(self, rel: str, size: int, modified: int, sha256: bytes) -> None:
        """One file."""
        entry = {"key": rel, "size": size, "lastModified": iso(modified), "sha256": sha256.hex()}
        line = f"{json.dumps(rel)}: {json.dumps(entry)}".encode()
        extents = self._extents.setdefault(partition(rel) if self._partitioned else "", [])
        extents.append((self._spool.size, len(line)))
        if len(extents) > 1:
            self._join(extents)
        self._spool.write(line)
        self.entries += 1

    def _join(self, extents: list[Extent]) -> None:
        """Entries that follow each other in the file are one extent, with a comma in between."""
        offset, length = extents[-2]
        if offset + length == self._spool.size:
            self._spool.write(b",\n")
            extents[-2:] = [(offset, length + 2 + extents[-1][1])]

    def whole(self, pulled_ms: int) -> Parts:
        """The one object of version 1."""
        head = f'{{"version": 1, "lastPulled": "{iso(pulled_ms)}", "entries": {{\n'.encode()
        return Parts(self._spool, self._extents.get("", []), head=head, between=b",\n", tail=b"\n}}\n")

    def partitions(self) -> dict[str, Parts]:
        """The objects of version 2 but for the meta object, by name."""
        head = b'{"version": 1, "entries": {\n'
        return {
            f"{INDEX_FOLDER}{name}.json": Parts(self._spool, extents, head=head, between=b",\n", tail=b"\n}}\n")
            for name, extents in self._extents.items()
        }

    def meta(self, commit_seq: int) -> bytes:
        """The meta object of version 2."""
        return json.dumps({"version": 2, "partitions": sorted(self._extents), "commitSeq": commit_seq}).encode()
