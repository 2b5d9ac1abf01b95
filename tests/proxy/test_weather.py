"""Real work over real drivers in bad weather: nothing acknowledged is lost or doubled, histories are linearizable.

The proxy stands between the library and a server. By hand: ``python -m tests.processes.rounds moto --weather harsh``.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

import swampstore
from swampstore.client.aio import AsyncNamespace
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import FenceConflict, StoreUnavailable, TryAgain
from swampstore.stores.base import Create, Stored
from swampstore.stores.open import open_store
from swampstore.stores.retry import Retrying
from swampstore.stores.settle import Conditional
from swampstore.values.names import unique
from tests.conftest import Bucket
from tests.histories.checks import check_all
from tests.histories.record import Recorder, load
from tests.processes.drivers import DRIVERS
from tests.processes.test_rounds import rounds, whole
from tests.proxy.proxy import fault_proxy
from tests.proxy.weather import Climate, Fault, Scripted, Seeded
from tests.real.ceph import missing

pytestmark = pytest.mark.server
PROVE_SECONDS = float(os.environ.get("SWAMPSTORE_PROVE_SECONDS", "600"))
HARD = ("harsh", "deaf", "torn", "throttled")
TURNS = 3


# --- tasks of one process ---------------------------------------------------------------------------------------------


async def appends(ns: AsyncNamespace, recorder: Recorder, name: str) -> None:
    for turn in range(TURNS):
        items = {f"a/{name}-{turn}-{number}": f"{turn}" for number in range(2)}
        with recorder.doing("append", items=items):
            await ns.put_many(items)
        with recorder.doing("list", fails=(TryAgain,), prefix="a/") as doing:
            doing.gave = {entry.key: (await ns.read(entry.key)).decode() async for entry in ns.scan("a/")}


async def updates(ns: AsyncNamespace, recorder: Recorder, name: str) -> None:
    for turn in range(TURNS):
        with recorder.doing("update", fails=(TryAgain,), key="n") as doing:

            def decide(current: bytes | None, doing: object = doing, turn: int = turn) -> bytes:
                doing.gave = [current.decode() if current else None, f"{name}-{turn}"]  # type: ignore[attr-defined]
                doing.trying(doing.gave)  # type: ignore[attr-defined]
                return f"{name}-{turn}".encode()

            await ns.update("n", decide)


async def pushes(ns: AsyncNamespace, recorder: Recorder, name: str) -> None:
    stream = ns.stream("s")
    for turn in range(TURNS):
        with recorder.doing("tell", stream="s") as told:
            records = await stream.read()
            told.gave = [record.data.decode() for record in records]
        expected, tail = (told.gave[-1], records[-1].position) if records else ("", swampstore.EMPTY)
        with recorder.doing("push", fails=(FenceConflict,), stream="s", record=f"{name}-{turn}", expected=expected):
            await stream.append([f"{name}-{turn}".encode()], expected_tail=tail)


async def compacts(ns: AsyncNamespace, recorder: Recorder, name: str) -> None:
    for _ in range(2):
        with recorder.doing("compact", fails=(TryAgain,)):
            await ns.compact()


async def _work(url: str, folder: Path, driver: str) -> None:
    async with await swampstore.open_async(f"{url}&driver={driver}", timeout=30.0) as store:
        ns = store.namespace("ops")
        cast = [appends, updates, updates, pushes, pushes, compacts]
        async with asyncio.TaskGroup() as group:
            for number, part in enumerate(cast):
                name = f"{part.__name__}{number}"
                group.create_task(part(ns, Recorder(folder / f"{name}.jsonl"), name))
        await appends(ns, Recorder(folder / "end.jsonl"), "end")


@pytest.mark.parametrize(
    ("driver", "seed"),
    [("fast", 1), *(pytest.param("botocore", seed, marks=pytest.mark.prove) for seed in range(1, 6))],
)
def test_tasks_in_harsh_weather(moto_bucket: Bucket, tmp_path: Path, driver: str, seed: int) -> None:
    weather = Seeded("harsh", seed)
    with fault_proxy(moto_bucket.server.endpoint, weather) as running:
        url = moto_bucket.server._replace(endpoint=running.proxy.endpoint).url(moto_bucket.name, "p")
        asyncio.run(_work(url, tmp_path, driver))
        running.settle()
        kinds = Counter(passed.fault.kind for passed in running.proxy.passed)
    ops = load(tmp_path.glob("*.jsonl"))
    assert check_all(ops) == []
    assert sum(kinds.values()) - kinds["pass"] >= 15, kinds
    assert sum(op.ok for op in ops if op.kind in ("append", "update", "push")) > 3 * TURNS


def test_an_acknowledgement_too_many_is_found(
    moto_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the settling of lost answers switched off the same run fails."""
    real = Conditional.take

    def take(self: Conditional, outcome: object) -> None:
        if isinstance(outcome, StoreUnavailable) and not self.reading:
            self.result = Stored("hoped for", time.time_ns() // 1_000_000)
        else:
            real(self, outcome)  # type: ignore[arg-type]

    monkeypatch.setattr(Conditional, "take", take)
    with fault_proxy(moto_bucket.server.endpoint, Seeded(Climate({"reset-before": 0.2}), 1)) as running:
        url = moto_bucket.server._replace(endpoint=running.proxy.endpoint).url(moto_bucket.name, "p")
        try:
            asyncio.run(_work(url, tmp_path, "fast"))
        except ExceptionGroup:  # the library has met the hole itself
            return
    assert check_all(load(tmp_path.glob("*.jsonl")))


def test_two_runs_of_one_seed_meet_the_same(moto_bucket: Bucket, emulator_bucket: Bucket) -> None:
    """With one client, whatever its random names and its server: so a failing seed can be looked at again."""
    climate = Climate({"reset-before": 0.08, "reset-after": 0.08, "applied-then": 0.08, "status": 0.08, "replay": 0.08})

    def meets(bucket: Bucket) -> list[tuple[str, str]]:
        env = BlockingEnv()
        with fault_proxy(bucket.server.endpoint, Seeded(climate, 5)) as running:
            url = bucket.server._replace(endpoint=running.proxy.endpoint).url(bucket.name, "p")
            store = Retrying(open_store(url, env=env), env, base_s=0.001)
            for number in range(30):
                name = f"ns/blob/{unique(1, env.random_bytes(16))}"
                run(store.put(name, b"%d" % number, Create()))
                run(store.get(name))
            run(store.close())
        # Once the proxy has ended: a request is noted after its answer has gone out.
        return [(one.method, one.fault.kind) for one in running.proxy.passed if one.fault.kind != "delivered"]

    first = meets(moto_bucket)
    assert first == meets(emulator_bucket)
    assert len({kind for _, kind in first}) > 4


@pytest.mark.parametrize("driver", ["fast", pytest.param("botocore", marks=pytest.mark.prove)])
def test_a_write_that_comes_after_its_client_gave_up(moto_bucket: Bucket, driver: str) -> None:
    """A segment and a root whose client heard nothing, delivered when others have gone on: neither is lost or doubled."""
    late = [Fault("late", seconds=0.4)]
    weather = Scripted({"PUT .*/log/w": late, "PUT .*/root": late, "PUT .*/log/s00": late})
    with fault_proxy(moto_bucket.server.endpoint, weather) as running:
        url = (
            moto_bucket.server._replace(endpoint=running.proxy.endpoint).url(moto_bucket.name, "p")
            + f"&driver={driver}"
        )
        with swampstore.open(url, timeout=20.0) as store:
            ns = store.namespace("ops")
            for number in range(3):
                ns.put(f"k{number}", b"%d" % number)
                ns.update("n", lambda current: str(int(current or b"0") + 1).encode())
            ns.compact()
            running.settle()
            assert weather.spent
            ns.put("k3", b"3")
            ns.compact()
            assert [entry.key for entry in ns.list()] == ["k0", "k1", "k2", "k3", "n"]
            assert ns.read("n") == b"3"
            assert ns.doctor(deep=True, guards=False).healthy


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.prove
@pytest.mark.parametrize("driver", DRIVERS)
def test_processes_in_harsh_weather(driver: str) -> None:
    done = rounds(
        "moto", "--rounds", "1", "--calm", "--weather", "harsh", "--driver", driver, "--most", "4", "--seed", "2"
    )
    assert whole(done)
    assert "reset-after" in done.stdout


@pytest.mark.prove
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("driver", DRIVERS)
def test_many_seeds(driver: str) -> None:
    """Every weather on both servers, one seed after the other, some with killed processes, until the time is over."""
    ends = time.monotonic() + PROVE_SECONDS / len(DRIVERS)
    dice = random.Random(7)
    while time.monotonic() < ends:
        seed, weather, backend = dice.randrange(1 << 30), dice.choice(HARD), dice.choice(["moto", "emulator"])
        calm = ["--calm"] if dice.random() < 0.6 else []
        work = ["--rounds", "4", "--group", "4", "--work-s", "1.5", "--most", "6", *calm]
        assert whole(
            rounds(backend, "--weather", weather, "--driver", driver, "--seed", str(seed), *work, timeout=600.0)
        )


# --- Ceph -------------------------------------------------------------------------------------------------------------

needs_ceph = pytest.mark.skipif(bool(missing()), reason=missing() or "Ceph is here")


@pytest.mark.prove
@pytest.mark.timeout(3600)
@needs_ceph
@pytest.mark.parametrize("weather", ["", "harsh"])
@pytest.mark.parametrize("driver", ["fast", "botocore"])
def test_killed_on_two_gateways(driver: str, weather: str) -> None:
    more = ["--weather", weather] if weather else []
    assert whole(rounds("ceph", "--rounds", "30", "--group", "10", "--driver", driver, *more, timeout=1800.0))


@pytest.mark.prove
@pytest.mark.timeout(3600)
@needs_ceph
@pytest.mark.parametrize("seed", [3, 4])
def test_gateways_and_storage_are_killed(seed: int) -> None:
    """SIGKILL for gateways and for the storage daemon (on a file: bluestore), and for clients at the same time."""
    work = ["--rounds", "10", "--group", "5", "--work-s", "6", "--seed", str(seed)]
    assert whole(rounds("ceph-killed", *work, timeout=1800.0))
