"""Versions of data in the small world of the background half: puts, what a root says of them, and what must hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from swampstore.env.blocking import run
from swampstore.protocols.data import DataView, Found
from swampstore.stores.base import Got
from swampstore.values.data import Datum, Model, decode_ordinal, head_key, id_key, item_path, parse_id_key, raw_path
from swampstore.values.data_version import DataVersion
from swampstore.values.entry import PENDING, Inline, Location, Meta, Record, meta_of, pending_record, put_record
from swampstore.values.join import join_into
from swampstore.values.root import NO_ROOT, Root, decode_root
from swampstore.values.run import decode_block, decode_run
from swampstore.values.version import put_of
from tests.workers.world import Process, World

MODEL = Model("aws/ec2", "web")


def datum(name: str = "state", **fields: Any) -> Datum:
    return Datum("aws/ec2", "web", name, **fields)


def item(name: str = "state") -> str:
    return item_path(MODEL, name)


def pending(
    process: Process, name: str = "state", data: bytes = b"x", *, at: Location | None = None, expires: int = 0
) -> Record:
    """A new version that has no ordinal yet."""
    fields = datum(name)
    meta = Meta(
        size=len(data),
        at=at or Inline(data),
        sha256=hashlib.sha256(data).digest(),
        tags={"type": "resource"},
        created=process.place.clock.now_ms(),
        data=fields,
    )
    return pending_record(fields.item, process.writer.new_version(), meta, expires=expires)


def put(process: Process, name: str = "state", data: bytes = b"x") -> bytes:
    """Append a new version; its stable id as bytes."""
    return process.append([pending(process, name, data)])[0]


def given(process: Process, name: str, ordinal: int, data: bytes = b"given") -> Record:
    """A version that brings its own ordinal, as an import or a sync makes it."""
    fields = datum(name, ordinal=ordinal)
    meta = Meta(
        size=len(data),
        at=Inline(data),
        sha256=hashlib.sha256(data).digest(),
        created=process.place.clock.now_ms(),
        data=fields,
    )
    return put_record(raw_path(fields.item, ordinal), process.writer.new_version(), meta)


def view(process: Process) -> DataView:
    return DataView(process.place, run(process.reader.open()))


def found(process: Process, name: str = "state") -> Found:
    return run(view(process).find(item(name)))


def ordinals(process: Process, name: str = "state") -> list[int | None]:
    """What there is, newest first; ``None`` is pending."""
    return [version.ordinal for version in found(process, name).versions]


def latest(process: Process, name: str = "state") -> DataVersion | None:
    return run(view(process).latest(item(name)))


# --- what a root says, read from outside -------------------------------------------------------------------------------


def root_of(world: World) -> Root:
    names = [name for name in world.store.names() if name == "ns/root"]
    return decode_root(world.store.raw("ns/root"), "ns/root") if names else NO_ROOT


def manifest(world: World) -> dict[str, Record]:
    """Every winning record that the root names."""
    return records_of(root_of(world), world.store.raw)


def records_of(root: Root, raw: Any) -> dict[str, Record]:
    table = {record.key: record for record in root.inline}
    for ref in (*root.level0, *root.shards):
        for info, stored in decode_run(ref, raw(f"ns/{ref.name}"), ref.name):
            join_into(table, decode_block(info, stored, ref.name))
    return table


class Numbers:
    """The numbers that were ever published, checked at every look."""

    def __init__(self) -> None:
        self.given: dict[tuple[str, bytes], int] = {}

    def look(self, table: dict[str, Record]) -> None:
        """Compare what a root holds with what was published before: nothing changes, nothing is given twice."""
        heads: dict[str, int] = {}
        for key, record in table.items():
            assert not record.flags & PENDING, f"a root holds the pending record {key!r}"
            id_ = parse_id_key(key)
            if id_ and not record.gone:
                ordinal = decode_ordinal(record.value, key)
                assert self.given.setdefault(id_, ordinal) == ordinal, f"{key!r} was {self.given[id_]}, is {ordinal}"
                raw = table[raw_path(id_[0], ordinal)]
                assert raw.gone or put_of(raw.version) == id_[1], f"{raw.key!r} is not that of its id"
                if not raw.gone:
                    assert table[raw.key.replace("/raw", "/metadata.yaml")].version == raw.version
                    fields = meta_of(raw).data
                    assert fields is not None
                    assert (fields.ordinal, fields.stamped) == (ordinal, True)
                heads[id_[0]] = max(heads.get(id_[0], 0), ordinal)
        for path, highest in heads.items():
            assert decode_ordinal(table[head_key(path)].value, "head") >= highest

    def check_whole(self, ids: Iterable[tuple[str, bytes]]) -> None:
        """Every one of ``ids`` has a number, and those of each item are 1 .. n."""
        by_item: dict[str, list[int]] = {}
        for path, version in ids:
            assert (path, version) in self.given, f"{id_key(path, version)!r} has no number"
            by_item.setdefault(path, []).append(self.given[path, version])
        for path, numbers in by_item.items():
            assert sorted(numbers) == list(range(1, len(numbers) + 1)), f"{path}: {sorted(numbers)}"


def raw_reader(store: Any) -> Any:
    """Whole objects of a plain store by name."""

    def raw(name: str) -> bytes:
        got = run(store.get(name))
        assert isinstance(got, Got)
        return got.body

    return raw
