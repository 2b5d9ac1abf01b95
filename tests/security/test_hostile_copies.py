"""Keys and topics of a hostile writer in what copies, brings back and archives: nothing outside the store or the tree."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from swampstore.client.blocking import Datastore
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.errors import SwampError
from swampstore.stores.base import Overwrite
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.values.audit import AuditValue, audit_key, encode_value
from swampstore.values.entry import AUDIT, OPAQUE, Record
from swampstore.values.names import Names, writer_lane
from swampstore.values.segment import SegmentHeader, encode_records, encode_segment
from swampstore.values.version import hlc_of, make_version, make_writer_id
from swampstore.workers.migrate import MigrateOptions, migrate
from tests.golden.store import GoldenEnv, small_sizes
from tests.security.test_hostile_names import BAD, FINE, hostile_segment, outside
from tests.sync.conftest import machine
from tests.sync.machines import Machine

__all__ = ["machine"]
TOPICS = [
    "../../../evil",
    "..",
    ".",
    "/etc/evil",
    "a/../../../b",
    "%2e%2e",
    "x" * 250,
    "CON",
    "a\\..\\b",
    "~",
]


@pytest.mark.parametrize("folded", [False, True])
def test_a_migration_carries_no_key_out_of_the_destination(tmp_path: Path, machine: object, folded: bool) -> None:
    a: Machine = machine("a")  # type: ignore[operator]
    hostile_segment(a, [*BAD, *FINE])
    if folded:
        a.compact()
    (tmp_path / "there").mkdir()
    target = CoreStore(LocalStore(tmp_path / "there", durable=False), a.env).namespace("ops")
    with suppress(SwampError):  # it may say so
        run(migrate(a.namespace(), target, MigrateOptions(verify="full")))
    b = Machine(target.place.store, tmp_path / "b", env=a.env)
    b.sync()
    assert outside(tmp_path, "a", "b", "there") == []
    assert {name.split("/")[0] for name in _files(tmp_path / "there")} <= {"ops", ".tmp"}
    assert set(b.files()) <= set(FINE)


def test_what_is_brought_back_stays_in_the_tree(tmp_path: Path, machine: object) -> None:
    a: Machine = machine("a")  # type: ignore[operator]
    hostile_segment(a, [*BAD, *FINE])
    a.compact()
    ns = Datastore(CoreStore(a.store, a.env)).namespace("ops")
    ns.save("then")
    for key in FINE:
        ns.delete(key)
    for prefix in ("", "../", "a/"):
        with suppress(SwampError):
            ns.restore("then", dry_run=False, prefix=prefix)
    a.sync()
    assert outside(tmp_path, "a") == []
    assert set(a.files()) <= set(FINE)


@pytest.mark.parametrize("form", ["blocks", "parquet"])
def test_topics_of_any_name_are_archived_inside(form: str) -> None:
    env = GoldenEnv(3)
    core = CoreStore(MemoryStore(env), env)
    ns = Datastore(core).namespace("ops")
    ns.audit("good").write({"n": 1}, ts=env.wall_ms() - 9 * 86_400_000)
    ns.set_audit_format(form)
    writer = make_writer_id(env.wall_ms(), b"evil!!")
    records = [
        Record(
            audit_key(topic, env.wall_ms() - 9 * 86_400_000, f"{number:032x}"),
            make_version(hlc_of(env.wall_ms()), writer, number), AUDIT | OPAQUE, 0, encode_value(AuditValue(b"\x01", "m")),
        )
        for number, topic in enumerate(TOPICS)
    ]  # fmt: skip
    lane = writer_lane(writer)
    data = encode_segment(SegmentHeader(lane, 1, b"evil!!!!", env.wall_ms()), len(records), encode_records(records))
    run(core.store.put(Names("ops").segment(lane, 1), data, Overwrite()))
    with small_sizes():
        for number in range(6):
            ns.audit("good").write({"n": 2, "why": "x" * 200}, ts=env.wall_ms() - 8 * 86_400_000 + number)
            ns.compact()
            env.advance(60)
    assert [record.data["n"] for record in ns.audit("good").read()] == [1, 2, 2, 2, 2, 2, 2]
    ns.audit_topics()
    if form == "parquet":
        assert ns.audit_sql("select count(distinct topic) from audit").rows[0][0] == 1 + len(TOPICS)
    names = [item.name for item in run(core.store.list("", limit=1000)).items]
    assert any("audit_topic=" in name for name in names) == (form == "parquet")
    for name in names:
        parts = name.split("/")
        assert parts[0] == "ops", name
        assert not {"", ".", ".."} & set(parts), name
        assert name.isprintable(), name
        assert len(parts) <= 7, name


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
