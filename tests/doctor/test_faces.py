"""The doctor by both faces, on files and on S3."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import swampstore


def fill(namespace: Any) -> list[Any]:
    """Calls that bring something of everything."""
    return [
        lambda: namespace.put_many({f"k{number:03}": b"x" * 50 for number in range(30)}),
        lambda: namespace.put("large", b"y" * 300_000),
        lambda: namespace.stream("s").append([b"1"]),
        lambda: namespace.update("n", lambda held: b"1"),
        lambda: namespace.data("t:m", "d").put(b"1"),
        lambda: namespace.compact(),
        lambda: namespace.put("late", b"1"),
    ]


def test_the_asyncio_face(tmp_path: Path) -> None:
    async def story() -> None:
        async with await swampstore.open_async(str(tmp_path / "store"), create=True) as store:
            namespace = store.namespace("ops")
            for call in fill(namespace):
                await call()
            assert (await namespace.doctor(deep=True)).findings == []
            (tmp_path / "store" / "ops" / "root").unlink()
            assert (await namespace.doctor()).codes() == ["root-lost"]
            plan = await namespace.repair()
            assert [step.code for step in plan.steps] == ["root"]
            with pytest.raises(swampstore.Misuse):
                await namespace.repair(dry_run=False, alone=True)
            await namespace.repair(dry_run=False, alone=True, accept_loss=True)
            assert (await namespace.doctor(deep=True)).findings == []
            assert await namespace.read("late") == b"1"
            assert (await namespace.data("t:m", "d").put(b"2", ordinal=True)).ordinal == 2

    asyncio.run(story())


def test_on_s3(moto: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    moto.client.create_bucket(Bucket="doctor")
    url = f"s3://doctor/team?endpoint={moto.endpoint}&path_style=true&region=us-east-1"
    with swampstore.open(url) as store:
        namespace = store.namespace("ops")
        for call in fill(namespace):
            call()
        assert namespace.doctor(deep=True).findings == []
        moto.client.delete_object(Bucket="doctor", Key="team/ops/root")
        assert store.namespaces() == ["ops"]
        assert namespace.doctor(guards=False).codes() == ["root-lost"]
        namespace.repair(dry_run=False, alone=True, accept_loss=True)
        assert namespace.doctor(deep=True).findings == []
        assert namespace.read("late") == b"1"
        assert [record.data for record in namespace.stream("s").read()] == [b"1"]
        names = [item["Key"] for item in moto.client.list_objects_v2(Bucket="doctor").get("Contents", ())]
        assert not [name for name in names if "probe" in name]
