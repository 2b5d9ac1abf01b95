"""The state machine on every backend, and what it must find when the library is broken on purpose."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import swampstore
from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.protocols.commit import CommitLane
from swampstore.stores import local, local_lanes
from swampstore.stores.base import Store
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from tests.conftest import Bucket
from tests.model.machine import Machine

_numbers = itertools.count(1)
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def often(examples: int, steps: int, **more: Any) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=QUIET,
        database=None,
        **more,
    )


class Still:
    """A heartbeat that nobody needs: nobody dies here."""

    async def stop(self) -> None: ...


class ModelEnv(FakeEnv):
    """A clock that the machine sets."""

    def every(self, seconds: float, work: Any) -> Still:
        return Still()


class OnVirtualTime(Machine):
    """Clients whose clock is set by the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.env = ModelEnv()
        self.store = self.made()

    def made(self) -> Store:
        """The store of this example."""
        return MemoryStore(self.env)

    def opened(self, who: int) -> Namespace:
        self.env.advance(2)
        ns = Datastore(CoreStore(self.store, self.env)).namespace("ops")
        ns._core._proved = True  # the probe is tested elsewhere
        return ns

    def pass_time(self, seconds: float) -> None:
        self.env.advance(seconds)


class OnDisk(OnVirtualTime):
    """A local store; the times of its files are those of the machine's clock."""

    def made(self) -> Store:
        self.folder = tempfile.mkdtemp(prefix="swampstore-model-")
        clock.env = self.env
        return LocalStore(self.folder, durable=False)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


clock = SimpleNamespace(env=FakeEnv())
clock.time_ns = lambda: clock.env.wall * 1_000_000
clock.time = lambda: clock.env.wall / 1000


@pytest.fixture
def file_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (local, local_lanes):
        monkeypatch.setattr(module, "time", clock)


def on_server(bucket: Bucket) -> type[Machine]:
    """Clients of an S3 server, each example below a prefix of its own; real time."""

    class OnServer(Machine):
        def __init__(self) -> None:
            super().__init__()
            self.url = bucket.url(f"m{next(_numbers)}")
            self.stores: list[Datastore] = []

        def opened(self, who: int) -> Namespace:
            self.stores.append(swampstore.open(self.url))
            return self.stores[-1].namespace("ops")

        def teardown(self) -> None:
            for store in self.stores:
                store.close()

    return OnServer


def test_memory() -> None:
    run_state_machine_as_test(OnVirtualTime, settings=often(12, 25))


@pytest.mark.usefixtures("file_times")
def test_disk() -> None:
    run_state_machine_as_test(OnDisk, settings=often(5, 20))


@pytest.mark.server
def test_server(moto_bucket: Bucket) -> None:
    run_state_machine_as_test(on_server(moto_bucket), settings=often(2, 8))


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("file_times")
@pytest.mark.parametrize("machine", [OnVirtualTime, OnDisk])
def test_long(machine: type[Machine]) -> None:
    run_state_machine_as_test(machine, settings=often(300, 60))


@pytest.mark.prove
@pytest.mark.server
@pytest.mark.timeout(3600)
def test_server_long(moto_bucket: Bucket) -> None:
    run_state_machine_as_test(on_server(moto_bucket), settings=often(40, 30))


@pytest.mark.server
@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_emulator_long(emulator_bucket: Bucket) -> None:
    run_state_machine_as_test(on_server(emulator_bucket), settings=often(40, 30))


class OnlyStreams(OnVirtualTime):
    """The rules that a fence has to do with, and the same invariants."""

    put = put_many = delete = update = rotate = put_if_version = put_if_absent = put_locked = None  # type: ignore[assignment]
    write_records = choose_format = put_state = tidy = forget_saved = None  # type: ignore[assignment]
    put_version = delete_version = hold = look_again = save = restore = examine = None  # type: ignore[assignment]


def test_a_fence_that_is_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same examples each time, and within a few."""

    async def always(self: CommitLane, one: Any) -> bool:
        return True

    monkeypatch.setattr(CommitLane, "_may_follow", always)
    quick = often(200, 20, phases=[Phase.generate], report_multiple_bugs=False, derandomize=True)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run_state_machine_as_test(OnlyStreams, settings=quick)
