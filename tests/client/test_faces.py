"""Two faces, one interface: the same names, parameters and defaults; and the asyncio one at work."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.client import aio, aio_shared, audit_aio, audit_blocking, blocking, blocking_shared
from swampstore.client.audits_aio import AsyncAudits
from swampstore.client.audits_blocking import Audits
from swampstore.client.care_aio import AsyncCare
from swampstore.client.care_blocking import Care
from swampstore.client.data_aio import AsyncDataItem
from swampstore.client.data_blocking import DataItem
from swampstore.client.trees_aio import AsyncTrees
from swampstore.client.trees_blocking import Trees
from swampstore.client.upkeep_aio import AsyncUpkeep
from swampstore.client.upkeep_blocking import Upkeep
from tests.model.test_operations import faces

PAIRS = [
    (blocking.Datastore, aio.AsyncDatastore),
    (blocking.Namespace, aio.AsyncNamespace),
    (blocking.Snapshot, aio.AsyncSnapshot),
    (Trees, AsyncTrees),
    (Audits, AsyncAudits),
    (Care, AsyncCare),
    (Upkeep, AsyncUpkeep),
    (DataItem, AsyncDataItem),
    (audit_blocking.AuditTopic, audit_aio.AsyncAuditTopic),
    *(
        (one, getattr(aio_shared, "Async" + name))
        for name, one in vars(blocking_shared).items()
        if inspect.isclass(one) and one.__module__ == blocking_shared.__name__
    ),
]
CONTEXT = {"__enter__": "__aenter__", "__exit__": "__aexit__"}


def public(cls: type) -> dict[str, Any]:
    return {name: member for name, member in vars(cls).items() if not name.startswith("_")}


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda cls: cls.__name__)
def test_the_faces_have_the_same_names_parameters_and_defaults(one: type, other: type) -> None:
    assert set(public(one)) == set(public(other))
    for name, member in public(one).items():
        twin = public(other)[name]
        assert isinstance(member, property) == isinstance(twin, property), name
        if not isinstance(member, property):
            assert shape(member) == shape(twin), name
    for sync_name, async_name in CONTEXT.items():
        assert hasattr(one, sync_name) == hasattr(other, async_name)


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]


def test_there_is_a_twin_of_every_class() -> None:
    held = {owner for _, owner, _ in faces()}
    assert {one for one, _ in PAIRS} == held


def test_opening_takes_the_same_arguments() -> None:
    assert shape(swampstore.open) == shape(swampstore.open_async)


def test_everything_public_can_be_imported() -> None:
    assert all(getattr(swampstore, name) is not None for name in swampstore.__all__)
    assert dir(swampstore) == sorted(swampstore.__all__)
    with pytest.raises(AttributeError):
        swampstore.nothing_like_that  # noqa: B018


def test_the_example_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with swampstore.open(str(tmp_path / "team"), create=True) as store:
        ns = store.namespace("ops")
        ns.put("reports/a.json", b"{}", content_type="application/json", tags={"type": "report"})
        ns.put_many({"reports/b.json": b"[]", "c": "text"})
        ns.delete("c")
        assert ns.read("reports/a.json") == b"{}"
        found = ns.get("reports/a.json")
        assert found is not None
        assert found.tags == {"type": "report"}
        assert [entry.key for entry in ns.list("reports/")] == ["reports/a.json", "reports/b.json"]
        ns.update("counter", lambda cur: str(int(cur or b"0") + 1).encode())
        assert ns.read("counter") == b"1"
        ns.compact()
        assert ns.status().log_depth == 0
        assert ns.read("reports/b.json") == b"[]"


def test_the_asyncio_face_does_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    async def story() -> None:
        async with await swampstore.open_async(str(tmp_path / "team"), create=True) as store:
            ns = store.namespace("ops")
            await ns.put("reports/a.json", b"{}", content_type="application/json", tags={"type": "report"})
            await ns.put_many({"reports/b.json": bytes(300_000), "c": "text"})
            await ns.delete("c")
            assert await ns.read("reports/a.json") == b"{}"
            assert b"".join([chunk async for chunk in ns.read_chunks("reports/b.json")]) == bytes(300_000)
            found = await ns.get_many(["reports/a.json", "c"])
            assert found["reports/a.json"] is not None
            assert found["c"] is None
            assert [entry.key for entry in await ns.list("reports/")] == ["reports/a.json", "reports/b.json"]
            assert [entry.key async for entry in ns.scan()] == ["reports/a.json", "reports/b.json"]
            await ns.append([swampstore.Put(key="d", data=b"d"), swampstore.Delete(key="reports/b.json")])
            await ns.compact()
            assert (await ns.status()).log_depth == 0
            assert (await ns.snapshot(max_age=60)).root_version == 0  # the one of the last read is young enough
            snapshot = await ns.snapshot()
            assert snapshot.root_version > 0
            assert await snapshot.get("d") is not None
            assert (await snapshot.get_many(["nothing"])) == {"nothing": None}
            assert [entry.key for entry in await snapshot.list()] == ["d", "reports/a.json"]
            assert [entry.key async for entry in snapshot.scan("r")] == ["reports/a.json"]
            assert await store.namespaces() == ["ops"]
            assert (await store.delete_namespace("ops", dry_run=False)).objects > 0
            assert store.url
            assert ns.name == "ops"
        with pytest.raises(swampstore.Misuse):
            await ns.put("a", b"")

    asyncio.run(story())


def test_a_hundred_tasks_share_slots(tmp_path: Path) -> None:
    async def story() -> None:
        async with await swampstore.open_async("memory://tasks") as store:
            ns = store.namespace("ops")
            acks = await asyncio.gather(*(ns.put(f"k{n:03d}", b"") for n in range(100)))
            assert len({ack.version for ack in acks}) == 100
            assert len([entry async for entry in ns.scan()]) == 100

    asyncio.run(story())
