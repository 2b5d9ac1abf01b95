"""Record classes through both clients, over memory and a local directory."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.errors import BadConfig, BadKey, BadName, Misuse


@pytest.fixture(params=["memory", "directory"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"memory://{tmp_path.name}" if request.param == "memory" else str(tmp_path / "team")


@dataclasses.dataclass
class Decision:
    allowed: bool
    cost: int


def test_the_blocking_client(url: str) -> None:
    with swampstore.open(url, create=True) as store:
        ns = store.namespace("ops")
        ns.put("run/1", "busy", record_class="ephemeral", ttl=60)
        ns.put_many({"run/2": swampstore.Put(key="", data="x", record_class="ephemeral"), "k": "v"})
        ns.set_classes({"state/": "ephemeral"})
        ns.put("state/1", "y")
        ns.update("run/1", lambda old: old + b"!")
        decisions = ns.audit("decisions")
        ack = decisions.write(Decision(True, 3))
        assert (ack.durable, ack.spooled, len(ack.ids)) == (True, False, 1)
        record = decisions.record(b"raw")
        decisions.write_many([record, {"n": 1}])
        decisions.write_many([record])
        for _ in range(2):
            assert [entry.key for entry in ns.list()] == ["k", "run/1", "run/2", "state/1"]
            assert ns.read("run/1") == b"busy!"
            classes = {entry.key: entry.record_class for entry in ns.list()}
            assert classes == {"k": "indexed", "run/1": "indexed", "run/2": "ephemeral", "state/1": "ephemeral"}
            found = [item.data for item in decisions.read()]
            assert found == [{"allowed": True, "cost": 3}, b"raw", {"n": 1}]
            assert [item.data for item in decisions.read(since=record.ts + 1)] == []
            ns.compact()
        status = ns.status()
        assert (status.entries, status.ephemeral, status.audit) == (2, 2, 3)
        ns.delete("run/2", record_class="ephemeral")
        ns.compact()
        assert (ns.get("run/2"), ns.status().entries) == (None, 2)
        seen = decisions.changes()
        decisions.write("late", ts=1)
        assert [item.data for item in decisions.changes(after=str(seen.after)).records] == ["late"]
        assert ns.set_audit_retention({"*": 30}) == {"*": 30}


def test_the_asyncio_client(url: str) -> None:
    async def work() -> None:
        async with await swampstore.open_async(url, create=True) as store:
            ns = store.namespace("ops")
            await ns.put("run/1", "busy", record_class="ephemeral", ttl=60)
            await ns.set_classes({"state/": "ephemeral"})
            await ns.put("state/1", "y")
            decisions = ns.audit("decisions")
            await asyncio.gather(*(decisions.write({"n": number}) for number in range(20)))
            await decisions.write_many([{"n": 20}])
            await ns.compact()
            assert sorted([item.data["n"] async for item in decisions.read()]) == list(range(21))
            assert len((await decisions.changes()).records) == 21
            await ns.delete("run/1", record_class="ephemeral")
            assert (await ns.get("run/1"), (await ns.status()).entries) == (None, 0)
            assert await ns.set_audit_retention({"decisions": 1.5}) == {"decisions": 1.5}

    asyncio.run(work())


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"record_class": "audit"}, Misuse),
        ({"record_class": None}, Misuse),
        ({"ttl": -1}, Misuse),
        ({"ttl": "1h"}, Misuse),
        ({"ttl": float("nan")}, Misuse),
        ({"ttl": 1, "expires": 5}, Misuse),
        ({"ttl": 31 * 86_400, "record_class": "ephemeral"}, Misuse),
    ],
)
def test_bad_classes_and_times_are_refused(how: dict[str, Any], error: type[Exception]) -> None:
    with swampstore.open("memory://refused") as store:
        ns = store.namespace("ops")
        with pytest.raises(error):
            ns.put("k", b"", **how)
        with pytest.raises(error):
            ns.append([swampstore.Put(key="k", data=b"", base=b"\1" * 24, record_class="ephemeral")])
        with pytest.raises(Misuse):
            ns.delete("k", record_class="x")


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ({"a/../b": "ephemeral"}, BadKey),
        ({"": "ephemeral"}, BadKey),
        ({"a": "soft"}, BadConfig),
        ({"/a": "indexed"}, BadKey),
    ],
)
def test_bad_rules_are_refused(rules: dict[str, str], error: type[Exception]) -> None:
    with swampstore.open("memory://rules") as store:
        with pytest.raises(error):
            store.namespace("ops").set_classes(rules)
        with pytest.raises((BadName, BadConfig)):
            store.namespace("ops").set_audit_retention({"\0": 1})
