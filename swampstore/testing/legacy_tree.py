"""Makes datastores in the layout that this one replaces: small ones with contents, or the index alone at real size.

    python -m swampstore.testing.legacy_tree OUT --models 4 --versions 3            a tree with contents, index v1
    python -m swampstore.testing.legacy_tree OUT --index v2 --namespace pipeline    partitions, under a namespace
    python -m swampstore.testing.legacy_tree OUT --index-only --entries 262000      the 100 MB index alone
    python -m swampstore.testing.legacy_tree OUT --nasty all                        everything that goes wrong in practice

Invariants: the same arguments make the same bytes; standard library only; what an import must find is in :class:`Made`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from swampstore.testing import legacy_nasty

TYPES = ("command/shell", "@acme/pipeline/runner", "@acme/aws/ec2")
NAMES = ("decision", "state", "poll-result", "report-method-summary", "207333")
MODELS_IN_INDEX = 40
_START = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Shape:
    """What to make. ``index`` is ``v1``, ``v2`` or ``none``; ``nasty`` names cases of ``legacy_nasty.CASES``."""

    seed: int = 7
    models: int = 4
    versions: int = 3
    payload_max: int = 2000
    namespace: str = ""
    index: str = "v1"
    compact: bool = False
    nasty: frozenset[str] = frozenset()


@dataclass
class Made:
    """What was made: where, the index's entries by rel, and what an import must say of them.

    ``entries`` are what the index lists; ``dangling`` those without an object; ``at_root`` those whose object lies at
    the prefix; ``not_data`` what must be dropped; ``missing`` and ``unlisted`` partitions by name.
    """

    out: Path
    namespace: str
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    dangling: set[str] = field(default_factory=set)
    at_root: set[str] = field(default_factory=set)
    not_data: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)

    @property
    def base(self) -> Path:
        """The folder that the rels are relative to."""
        return self.out / self.namespace

    @property
    def total_bytes(self) -> int:
        """Sizes of all entries together."""
        return sum(entry["size"] for entry in self.entries.values())

    def add(self, rel: str, body: bytes) -> None:
        """Write a file and list it in the index."""
        put(self.base / rel, body)
        self.enter(rel, len(body), hashlib.sha256(body).hexdigest())

    def enter(self, rel: str, size: int, digest: str) -> None:
        """List a file in the index; every tenth is of the time before hashes were kept."""
        number = len(self.entries) + 1
        self.entries[rel] = index_entry(rel, number, size, digest)


def put(path: Path, body: bytes) -> None:
    """Write a file and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def iso(number: int) -> str:
    """The time of the ``number``-th file."""
    moment = _START + timedelta(seconds=number * 7.123)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{number % 1000:03d}Z"


def index_entry(rel: str, number: int, size: int, digest: str) -> dict[str, Any]:
    """What the index says of one file."""
    when = iso(number)
    entry = {"key": rel, "size": size, "lastModified": when, "localMtime": when}
    return entry | {"sha256": digest} if number % 10 else entry


def make_tree(out: Path, shape: Shape | None = None) -> Made:
    """A datastore with contents below ``out``."""
    shape = shape or Shape()
    unknown = shape.nasty - set(legacy_nasty.CASES)
    if unknown:
        raise ValueError(f"no such nasty case: {', '.join(sorted(unknown))}")
    made = Made(out, shape.namespace)
    for number, (rel, body) in enumerate(_files(shape), 1):
        put(made.base / rel, body)
        made.entries[rel] = index_entry(rel, number, len(body), hashlib.sha256(body).hexdigest())
    if shape.namespace:
        mark = {"namespace": shape.namespace, "repoId": str(uuid.UUID(int=shape.seed)), "registeredAt": iso(0)}
        put(made.base / ".namespace.json", json.dumps(mark).encode())
    chosen = [name for name in legacy_nasty.CASES if name in shape.nasty]
    for name in chosen:
        legacy_nasty.CASES[name](made)
    _write_index(made, shape)
    for name in chosen:
        if name in legacy_nasty.AFTER_INDEX:
            legacy_nasty.AFTER_INDEX[name](made)
    return made


def make_index(out: Path, entries: int, shape: Shape | None = None) -> Path:
    """The index alone, of ``entries`` files that do not exist; its folder. Streams, so that a million are no matter."""
    shape = shape or Shape()
    base = out / shape.namespace
    base.mkdir(parents=True, exist_ok=True)
    listed = _index_only(shape, entries)
    if shape.index == "v2":
        shards: dict[str, dict[str, Any]] = {}
        for rel, entry in listed:
            shards.setdefault(partition(rel), {})[rel] = entry
        _write_shards(base, shards)
        return base
    with (base / ".datastore-index.json").open("w") as file:
        indent = None if shape.compact else 2
        file.write(json.dumps({"version": 1, "lastPulled": iso(entries)}, indent=indent)[:-1].rstrip())
        file.write(',"entries":{' if shape.compact else ',\n  "entries": {')
        for number, (rel, entry) in enumerate(listed):
            text = json.dumps(entry, indent=indent)
            comma = "," if number else ""
            file.write(
                f"{comma}{json.dumps(rel)}:{text}"
                if shape.compact
                else f"{comma}\n    {json.dumps(rel)}: {_deeper(text)}"
            )
        file.write("}}" if shape.compact else "\n  }\n}")
    return base


def _deeper(text: str) -> str:
    return text.replace("\n", "\n    ")


def _files(shape: Shape) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(shape.seed)
    number = 0
    for at in range(shape.models):
        kind, model = TYPES[at % len(TYPES)], _uuid(rng)
        for name in NAMES:
            ident, lifetime = _uuid(rng), rng.choice(["infinite", "30d", "1h", "workflow"])
            keep, folder = rng.choice(["5", "30d"]), f"data/{kind}/{model}/{name}"
            for version in range(1, shape.versions + 1):
                number += 1
                raw = json.dumps(
                    {"model": model, "n": version, "pad": "x" * rng.randint(0, shape.payload_max)}
                ).encode()
                yield f"{folder}/{version}/raw", raw
                yield f"{folder}/{version}/metadata.yaml", metadata(name, ident, version, raw, number, lifetime, keep)
            yield f"{folder}/latest", str(shape.versions).encode()
        yield f"outputs/{kind}/run/{model}-{iso(number).replace(':', '-')}.yaml", b"status: succeeded\n"
    yield f"workflow-runs/{_uuid(rng)}/workflow-run-{_uuid(rng)}.yaml", b"state: done\n"
    yield "audit/2026-06-25.jsonl", b'{"decision":"provider-a"}\n{"decision":"provider-b"}\n'


def metadata(
    name: str, ident: str, version: int, raw: bytes, number: int, lifetime: str = "infinite", keep: str = "5"
) -> bytes:
    """The ``metadata.yaml`` of one version."""
    fields = [
        f"name: {json.dumps(name)}",
        f"id: {ident}",
        f"version: {version}",
        "contentType: application/json",
        f"lifetime: {lifetime}",
        f"garbageCollection: {keep}",
        "streaming: false",
        "tags:\n  type: resource",
        "ownerDefinition:\n  ownerType: model-method\n  ownerRef: shell/run",
        f"createdAt: '{iso(number)}'",
        f"size: {len(raw)}",
        f"checksum: {hashlib.sha256(raw).hexdigest()}",
        "lifecycle: active",
    ]
    return ("\n".join(fields) + "\n").encode()


def _index_only(shape: Shape, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    rng = random.Random(shape.seed)
    models = [f"{TYPES[at % len(TYPES)]}/{_uuid(rng)}" for at in range(MODELS_IN_INDEX)]
    per_version = len(models) * len(NAMES) * 2
    for at in range(count):
        version, rest = divmod(at, per_version)
        datum, leaf = divmod(rest, 2)
        model, name = divmod(datum, len(NAMES))
        rel = f"data/{models[model]}/{NAMES[name]}/{version + 1}/{('raw', 'metadata.yaml')[leaf]}"
        yield rel, index_entry(rel, at + 1, rng.randint(200, 5000), hashlib.sha256(rel.encode()).hexdigest())


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


def partition(rel: str) -> str:
    """The partition of the v2 index that a path belongs to."""
    parts = rel.split("/")
    if len(parts) == 1:
        return "_root"
    if parts[0] in ("data", "outputs", "definitions-evaluated"):
        return "--".join(parts[:-3] if len(parts) >= 6 else parts[:-1])
    return "--".join(parts[:2]) if parts[0] == "workflow-runs" else parts[0]


def _write_index(made: Made, shape: Shape) -> None:
    if shape.index == "v1":
        body = {"version": 1, "lastPulled": iso(len(made.entries)), "entries": made.entries}
        text = json.dumps(body, separators=(",", ":")) if shape.compact else json.dumps(body, indent=2)
        put(made.base / ".datastore-index.json", text.encode())
    elif shape.index == "v2":
        shards: dict[str, dict[str, Any]] = {}
        for rel, entry in made.entries.items():
            shards.setdefault(partition(rel), {})[rel] = entry
        _write_shards(made.base, shards)


def _write_shards(base: Path, shards: dict[str, dict[str, Any]]) -> None:
    for name, entries in shards.items():
        put(base / "_index" / f"{name}.json", json.dumps({"version": 1, "entries": entries}).encode())
    meta = {"version": 2, "partitions": sorted(shards), "commitSeq": 41}
    put(base / "_index" / "_meta.json", json.dumps(meta).encode())


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command line; what it prints is also returned."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--versions", type=int, default=3)
    parser.add_argument("--payload-max", type=int, default=2000)
    parser.add_argument("--namespace", default="")
    parser.add_argument("--index", choices=["v1", "v2", "none"], default="v1", help="none: a plain directory")
    parser.add_argument("--compact", action="store_true", help="v1 without indentation")
    parser.add_argument("--index-only", action="store_true", help="no contents")
    parser.add_argument("--entries", type=int, default=262_000, help="with --index-only")
    cases = ", ".join(legacy_nasty.CASES)
    parser.add_argument("--nasty", action="append", default=[], metavar="CASE", help=f"'all', or any of: {cases}")
    chosen = parser.parse_args(argv)
    nasty = frozenset(legacy_nasty.CASES if "all" in chosen.nasty else chosen.nasty)
    shape = Shape(
        seed=chosen.seed,
        models=chosen.models,
        versions=chosen.versions,
        payload_max=chosen.payload_max,
        namespace=chosen.namespace,
        index=chosen.index,
        compact=chosen.compact,
        nasty=nasty,
    )
    said: dict[str, Any]
    if chosen.index_only:
        said = {"entries": chosen.entries, "root": str(make_index(chosen.out, chosen.entries, shape))}
    else:
        made = make_tree(chosen.out, shape)
        said = {"entries": len(made.entries), "bytes": made.total_bytes, "root": str(made.base)}
    print(json.dumps(said))  # noqa: T201
    return said


if __name__ == "__main__":
    main()
