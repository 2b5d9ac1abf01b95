"""Servers that ignore preconditions are refused at the first write, by code and in words, and nothing is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore import Model
from swampstore.client.blocking import Namespace
from swampstore.errors import PreconditionsIgnored
from tests.real.careless import CARELESS, careless_server
from tests.real.dialects import Dialect, Speaking
from tests.servers import AWS_ENVIRONMENT, S3Server
from tests.stores.stub_s3 import stub_server

BUCKET = "careless"


@pytest.fixture(scope="module", params=CARELESS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    name = request.param
    if why := CARELESS[name].missing:
        pytest.skip(why)
    with careless_server(name, tmp_path_factory.mktemp(name)) as running:
        running.client.create_bucket(Bucket=BUCKET)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", CARELESS[name].keys[0])
            patch.setenv("AWS_SECRET_ACCESS_KEY", CARELESS[name].keys[1])
            yield running


def left(server: S3Server) -> list[str]:
    return [item["Key"] for item in server.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def held_put(ns: Namespace) -> None:
    with ns.lock("l") as held:
        held.put("a", b"1")


def synced(ns: Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").write_bytes(b"1")
        ns.sync(folder)


WRITES: dict[str, Callable[[Namespace], Any]] = {
    "put": lambda ns: ns.put("a", b"1"),
    "large put": lambda ns: ns.put("a", b"1" * 300_000),
    "put_many": lambda ns: ns.put_many({"a": b"1"}),
    "delete": lambda ns: ns.delete("a"),
    "put if absent": lambda ns: ns.put("a", b"1", if_absent=True),
    "update": lambda ns: ns.update("a", lambda current: b"1"),
    "stream append": lambda ns: ns.stream("s").append([b"1"]),
    "fenced stream append": lambda ns: ns.stream("s").append([b"1"], expected_tail=swampstore.EMPTY),
    "stream update": lambda ns: ns.stream("s").update(lambda view: [b"1"]),
    "lock": held_put,
    "queue": lambda ns: ns.queue("q", 2).acquire().__enter__(),
    "audit": lambda ns: ns.audit("t").write({"a": 1}),
    "data": lambda ns: ns.data(Model("m", "1"), "d").put(b"1"),
    "numbered data": lambda ns: ns.data(Model("m", "1"), "d").put(b"1", ordinal=True),
    "compact": lambda ns: ns.compact(),
    "save": lambda ns: ns.save("now"),
    "classes": lambda ns: ns.set_classes({"run/": "ephemeral"}),
    "sync": synced,
}


@pytest.mark.parametrize("write", WRITES)
def test_no_write_comes_before_the_proof(write: str) -> None:
    spoken = Speaking(Dialect(careless=True))
    with (
        stub_server(spoken) as stub,
        swampstore.open(f"s3://bucket/team?endpoint={stub.endpoint}&region=us-east-1") as store,
    ):
        with pytest.raises(PreconditionsIgnored):
            WRITES[write](store.namespace("ops"))
        assert spoken.objects == {}


@pytest.mark.prove
@pytest.mark.server
@pytest.mark.parametrize("driver", ["fast", "botocore"])
@pytest.mark.parametrize("write", ["put", "update", "stream append", "queue", "compact"])
def test_the_first_write_is_refused(server: S3Server, write: str, driver: str) -> None:
    with swampstore.open(server.url(BUCKET, "team") + f"&driver={driver}") as store:
        for _ in range(2):  # and so is the second: no proof is kept
            with pytest.raises(PreconditionsIgnored, match=r"does not (enforce|implement)") as caught:
                WRITES[write](store.namespace("ops"))
    assert caught.value.code == "preconditions-ignored"
    assert "If-None-Match" in caught.value.hint
    assert left(server) == []


@pytest.mark.prove
@pytest.mark.server
def test_the_command_says_so(server: S3Server, tmp_path: Path) -> None:
    """``datastore setup`` tries it at once, and writes no configuration."""
    command = [
        sys.executable,
        "-m",
        "swampstore_cli",
        "datastore",
        "setup",
        "s3",
        BUCKET,
        "--endpoint",
        server.endpoint,
    ]
    done = subprocess.run(
        [*command, "--path-style", "--region", AWS_ENVIRONMENT["AWS_DEFAULT_REGION"], "--json", "--repo-dir", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stderr.strip().splitlines()[-1])
    assert told["code"] == "preconditions-ignored"
    assert "conditional writes" in told["error"]
    assert not (tmp_path / ".swamp.yaml").exists()
    assert left(server) == []
