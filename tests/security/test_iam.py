"""The documented policy is enough, for everything the library does; less is enough for who does less; no request
leaves the prefix.

The policy is read out of the how-to page, and enforced by a gate in front of the server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.env.blocking import run
from swampstore.errors import StoreForbidden
from swampstore.stores import s3 as s3_module
from swampstore.workers.legacy.export import ExportOptions, export_legacy
from swampstore.workers.legacy.export_sink import StoreSink
from swampstore.workers.migrate import MigrateOptions, migrate
from tests.conftest import Bucket
from tests.security.iam import ARN, Asked, Gate, allows, gated, needs, policy

pytestmark = pytest.mark.server
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "s3-setup.md"
PREFIX = "team"
READ = ("s3:GetObject",)
ALL = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")


def documented(bucket: str) -> list[dict[str, Any]]:
    """The statements of the page, for this bucket."""
    block = next(part for part in PAGE.read_text("utf-8").split("```") if part.startswith("json"))
    statements: list[dict[str, Any]] = json.loads(block[4:].replace("my-bucket", bucket))["Statement"]
    return statements


@pytest.fixture
def gate(moto_bucket: Bucket) -> Iterator[Gate]:
    server = moto_bucket.server
    server.client.put_object(Bucket=moto_bucket.name, Key="other/secret", Body=b"not yours")
    with gated(server.endpoint, moto_bucket.name, documented(moto_bucket.name)) as running:
        yield running


def opened(gate: Gate, prefix: str = PREFIX) -> swampstore.Datastore:
    return swampstore.open(f"s3://{gate.bucket}/{prefix}?endpoint={gate.endpoint}&region=us-east-1", timeout=5)


def everything(store: swampstore.Datastore, tree: Path, *, more: bool) -> None:
    """Each kind of request at least once: objects, parts, listings, deletes, queues, pins, sync, doctor."""
    ns = store.namespace("ops")
    ns.put("a", b"1")
    ns.put_many({f"many/{number}": bytes(5000) for number in range(3)})
    ns.put("large", swampstore.FileSource(tree / "large"))
    ns.update("n", lambda old: b"1")
    ns.stream("s").append([b"x"])
    ns.audit("t").write({"a": 1})
    ns.data("a:b", "c").put(b"d")
    with ns.lock("deploy") as held:
        held.put("locked", b"1")
    with ns.queue("q", 2).acquire():
        ns.queue("q").status()
    ns.compact()
    ns.delete("a")
    ns.save("before")
    with ns.snapshot(pin=True) as snapshot:
        assert list(snapshot.scan())
    ns.gc(dry_run=False)
    assert ns.read("large") == (tree / "large").read_bytes()
    ns.sync(tree / "tree")
    ns.status(queues=True)
    assert not [one for one in ns.doctor(deep=True).findings if one.severity == "error"]
    assert store.namespaces() == ["ops"]
    if more:
        newer_things(store, ns, tree)
    ns.delete_saved("before")


def newer_things(store: swampstore.Datastore, ns: swampstore.Namespace, tree: Path) -> None:
    """What came later: runtime state, archives, restoring, trees on demand, retention, repairs, copies in both directions."""
    ns.put("run/1", b"s", record_class="ephemeral", ttl=3600)
    ns.set_classes({"run/": "ephemeral"})
    ns.set_audit_format("parquet")
    ns.set_audit_retention({"t": 30})
    ns.set_retention(auto=True)
    ns.audit("t").write_many([{"a": number} for number in range(3)])
    ns.stream("s").append([b"1", b"2"])
    ns.compact()
    assert ns.audit_sql("select count(*) from audit").rows == [(4,)]
    assert len(ns.audit("t").changes().records) == 4
    ns.audit_topics(), ns.audit_files("t"), ns.drain_spool()
    ns.data("a:b", "c").put(b"d", ordinal=True)
    ns.data("a:b", "c").rename("e")
    ns.data("a:b", "e").delete()
    ns.hydrate(tree / "other", ["file"])
    with ns.open_file(tree / "other", "file") as file:
        assert file.read() == b"x"
    ns.restore("before", dry_run=False)
    ns.prune(dry_run=False), ns.gc_runs(dry_run=False), ns.repair(dry_run=False, alone=True)
    ns.queue("q").set_capacity(3)
    core, copy = store._core.namespace("ops"), store._core.namespace("copy")
    assert not run(migrate(core, copy, MigrateOptions(verify="full"))).incomplete
    old = StoreSink(store._core.store, "ops-old/")
    assert not run(export_legacy(core, old, ExportOptions())).incomplete
    store.delete_namespace("copy", dry_run=False)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(s3_module, "MULTIPART_OVER_BYTES", 5 << 20)
    monkeypatch.setattr(s3_module, "PART_BYTES", 5 << 20)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"x")
    (tmp_path / "large").write_bytes(bytes(11 << 20))
    return tmp_path


@pytest.mark.parametrize("more", [False, pytest.param(True, marks=pytest.mark.prove)])
def test_the_documented_policy_is_enough_and_nothing_of_it_is_too_much(gate: Gate, tree: Path, more: bool) -> None:
    with opened(gate) as store:
        everything(store, tree, more=more)
        store.delete_namespace("ops", dry_run=False)
    assert gate.refused == []
    # Aborting needs a failed upload, which the tests of the S3 drivers make.
    assert gate.actions | {"s3:AbortMultipartUpload"} == {*ALL, "s3:ListBucket"}
    inside = (f"{ARN}{gate.bucket}/{PREFIX}/",)
    for one in gate.asked:
        assert one.resource.startswith(inside) or (one.action == "s3:ListBucket" and one.prefix is not None), one
        assert one.prefix is None or one.prefix.startswith(f"{PREFIX}/"), one


def test_the_async_driver_stays_inside_too(gate: Gate, tree: Path) -> None:
    async def work() -> None:
        url = f"s3://{gate.bucket}/{PREFIX}?endpoint={gate.endpoint}&region=us-east-1"
        async with await swampstore.open_async(url, timeout=5) as store:
            ns = store.namespace("ops")
            await ns.put("a", b"1")
            await ns.compact()
            assert await ns.read("a") == b"1"

    asyncio.run(work())
    assert gate.refused == []
    assert all(one.prefix is not None for one in gate.asked if one.action == "s3:ListBucket")


def test_another_prefix_is_refused(gate: Gate) -> None:
    """The gate bites: the same program one prefix further gets nothing."""
    with opened(gate, "other") as store, pytest.raises(StoreForbidden):
        store.namespace("ops").put("a", b"1")
    assert gate.refused


def test_who_only_reads_needs_two_actions(gate: Gate, tree: Path) -> None:
    with opened(gate) as store:
        store.namespace("ops").put_many({f"k{number}": bytes(5000) for number in range(3)})
        store.namespace("ops").compact()
        store.namespace("ops").put("late", b"1")
    gate.statements = policy(gate.bucket, PREFIX, *READ)
    gate.asked.clear()
    with opened(gate) as store:
        ns = store.namespace("ops")
        assert [entry.key for entry in ns.list()] == ["k0", "k1", "k2", "late"]
        assert ns.read("k1") == bytes(5000)
        assert store.namespaces() == ["ops"]
        ns.status()
        assert gate.refused == []
        assert gate.actions == {"s3:GetObject", "s3:ListBucket"}
        with pytest.raises(StoreForbidden):
            ns.put("mine", b"1")
    assert {one.action for one in gate.refused} <= {"s3:PutObject", "s3:DeleteObject"}


def test_who_only_appends_needs_no_delete(gate: Gate, tree: Path) -> None:
    with opened(gate) as store:
        store.namespace("ops").put("first", b"1")
    gate.statements = policy(gate.bucket, PREFIX, "s3:GetObject", "s3:PutObject")
    with opened(gate) as store:
        store.namespace("ops").put("second", b"2")
        assert store.namespace("ops").read("second") == b"2"
    assert gate.refused == []


def test_without_the_right_to_list_what_is_missing_is_forbidden_and_said_so(gate: Gate) -> None:
    gate.statements = policy(gate.bucket, PREFIX, *ALL)[1:]
    with opened(gate) as store, pytest.raises(StoreForbidden) as caught:
        store.namespace("ops").get("a")
    assert "403" in str(caught.value) or "AccessDenied" in str(caught.value)


# --- the gate itself ---------------------------------------------------------------------------------------------------


def test_the_gate_knows_the_actions() -> None:
    assert needs("GET", "/b/team/x", b"") == [Asked("s3:GetObject", ARN + "b/team/x")]
    assert needs("GET", "/b?list-type=2&prefix=team%2F", b"") == [Asked("s3:ListBucket", ARN + "b", "team/")]
    assert needs("HEAD", "/b", b"") == [Asked("s3:ListBucket", ARN + "b")]
    assert needs("DELETE", "/b/x?uploadId=7", b"") == [Asked("s3:AbortMultipartUpload", ARN + "b/x")]
    assert needs("POST", "/b?delete", b"<Delete><Object><Key>x</Key></Object></Delete>")[0].resource == ARN + "b/x"
    assert needs("PUT", "/b?policy", b"")[0].action == "s3:PUT"


def test_the_gate_holds_conditions() -> None:
    strict, lax = policy("b", "team", listing="StringLike"), policy("b", "team")
    for statements, bare in ((strict, False), (lax, True)):
        assert allows(statements, Asked("s3:ListBucket", ARN + "b", "team/x"))
        assert not allows(statements, Asked("s3:ListBucket", ARN + "b", "other/"))
        assert allows(statements, Asked("s3:ListBucket", ARN + "b")) is bare
