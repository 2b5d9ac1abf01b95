"""Whatever dialect a server speaks, the whole library works on it, or refuses it by name. Both drivers."""

from __future__ import annotations

import pytest

import swampstore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import AlreadyExists, ClockOff, FenceConflict, NotFound, PreconditionsIgnored, StaleWrite
from swampstore.stores.base import Create, Overwrite, Replace
from swampstore.stores.open import open_store
from swampstore.stores.probe import prove_preconditions
from swampstore.stores.retry import Retrying
from swampstore.testing.samples import BIG_BYTES, Blocks
from tests.real.dialects import DIALECTS, Dialect, Speaking
from tests.stores.stub_s3 import Stub, stub_server

PROVE = pytest.mark.prove
DRIVERS = ["fast", pytest.param("botocore", marks=PROVE)]
TELLING = ("ceph 16", "409 for 412")
WORKED = [name if name in TELLING else pytest.param(name, marks=PROVE) for name in DIALECTS]


def url(stub: Stub, driver: str) -> str:
    return f"s3://bucket/p?endpoint={stub.endpoint}&region=us-east-1&driver={driver}"


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", WORKED)
def test_the_main_work(name: str, driver: str) -> None:
    with stub_server(Speaking(DIALECTS[name])) as stub:
        with swampstore.open(url(stub, driver)) as store:
            ns = store.namespace("ops")
            ns.put_many({"a": b"1", "b": b"2" * 9_000})
            ns.put("c", b"3" * 300_000)
            for _ in range(3):
                ns.update("n", lambda current: str(int(current or b"0") + 1).encode())
            ns.compact()
            ns.delete("a")
            tail = ns.stream("s").append([b"x"]).tail
            ns.stream("s").append([b"y"], expected_tail=tail)
            with pytest.raises(FenceConflict):
                ns.stream("s").append([b"z"], expected_tail=tail)
            with ns.lock("l") as held:
                held.put("k", b"v")
            ns.compact()
        with swampstore.open(url(stub, driver)) as store:
            ns = store.namespace("ops")
            assert [entry.key for entry in ns.list()] == ["b", "c", "k", "n"]
            assert (ns.read("n"), ns.read("b"), len(ns.read("c"))) == (b"3", b"2" * 9_000, 300_000)
            assert [record.data for record in ns.stream("s").read()] == [b"x", b"y"]
        assert not [
            asked for asked in stub.asked if asked.method == "DELETE"
        ]  # so no dialect of its conditions matters


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", DIALECTS)
def test_conditional_writes_are_settled(name: str, driver: str) -> None:
    env = BlockingEnv()
    with stub_server(Speaking(DIALECTS[name])) as stub:
        bare = open_store(url(stub, driver), env=env)
        store = Retrying(bare, env, deadline_s=2.0, base_s=0.001)
        assert run(prove_preconditions(bare, env)).time > 0
        first = run(store.put("a", b"1", Create()))
        with pytest.raises(AlreadyExists):
            run(store.put("a", b"2", Create()))
        second = run(store.put("a", b"3", Replace(first.etag)))
        with pytest.raises(StaleWrite):
            run(store.put("a", b"4", Replace(first.etag)))
        with pytest.raises((StaleWrite, NotFound)):
            run(store.put("never", b"5", Replace(second.etag)))
        assert run(store.get("a")).body == b"3"  # type: ignore[union-attr]
        run(store.close())


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_upload_in_parts_that_is_answered_without_an_etag(driver: str) -> None:
    with stub_server(Speaking(DIALECTS["ceph 16"])) as stub:
        store = open_store(url(stub, driver), env=BlockingEnv())
        big = run(store.put("big", Blocks(BIG_BYTES), Overwrite()))
        assert big.etag == run(store.head("big")).info.etag != ""
        run(store.close())


@pytest.mark.parametrize("driver", DRIVERS)
def test_etags_are_matched_only_in_quotes(driver: str) -> None:
    """A server that takes nothing else refuses every replace: that is told when it is opened, not found out later."""
    with (
        stub_server(Speaking(Dialect(bare=False))) as stub,
        swampstore.open(url(stub, driver)) as store,
        pytest.raises(PreconditionsIgnored, match="current ETag"),
    ):
        store.namespace("ops").put("a", b"1")


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_far_off_is_told(minutes: int) -> None:
    spoken = Speaking(Dialect(date=60.0 * minutes))
    with stub_server(spoken) as stub, swampstore.open(url(stub, "fast")) as store:
        with pytest.raises(ClockOff):
            store.namespace("ops").put("a", b"1")
        assert not spoken.objects
