"""Audit records while the store is away: kept on this machine, delivered in order and once, never silently dropped."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.client import audit_delivery
from swampstore.env.blocking import run
from swampstore.errors import AmbiguousAppend, Misuse, NotDelivered, StoreForbidden, StoreUnavailable, Undecided
from swampstore.protocols.writer import Writer
from tests.spool.desk import Beat, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_record_that_cannot_be_delivered_waits_on_this_machine_and_the_ack_says_so(machine: Machine) -> None:
    topic = machine.topic()
    first = topic.write({"n": 0})
    assert (first.spooled, first.durable) == (False, True)
    machine.down = True
    began = machine.env.boot_s
    ack = topic.write({"n": 1})
    assert (ack.spooled, ack.durable, ack.lane, len(ack.ids)) == (True, True, "", 1)
    assert machine.env.boot_s - began < 90
    refused = machine.refused
    assert topic.write({"n": 2}).spooled
    assert machine.refused == refused, "a store that is known to be away is not waited for again"
    assert [record.data["n"] for record in machine.found()] == [0]  # type: ignore[index]
    status = machine.delivery().status()
    assert status is not None
    assert (status.writes, status.records, status.set_aside, status.problem) == (2, 2, 0, "")
    for path in (machine.folder, machine.folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for name in machine.files():
        assert stat.S_IMODE((machine.folder / name).stat().st_mode) == 0o600


def test_what_waits_is_delivered_in_order_and_once_by_the_process_that_wrote_it(machine: Machine) -> None:
    topic = machine.topic()
    machine.down = True
    acks = [topic.write({"n": number}) for number in range(30)]
    machine.env.beat()
    assert len(machine.files()) == 30
    machine.down = False
    machine.env.beat()
    assert not machine.files()
    found = machine.found()
    assert [record.id for record in found] == [ack.ids[0] for ack in acks]
    assert [one["n"] for one in machine.committed()] == list(range(30))  # type: ignore[index]
    assert not topic.write({"n": 30}).spooled, "the store is back"
    status = machine.delivery().status()
    assert status is not None
    assert (status.writes, status.oldest_s) == (0, 0)


@pytest.mark.parametrize("how", ["beat", "close", "drain"])
def test_a_later_process_delivers_what_another_left(machine: Machine, how: str) -> None:
    machine.down = True
    ack = machine.topic().write_many([{"n": number} for number in range(5)])
    machine.env.beats.clear()  # that process is dead
    machine.down = False
    later = machine.process()
    if how == "beat":
        machine.env.beat()
    elif how == "close":
        later.close()
    else:
        report = later.namespace("ns").drain_spool()
        assert (report.records, report.writes, report.left, report.busy) == (5, 1, 0, False)
    assert [record.id for record in machine.found()] == list(ack.ids)


def test_a_process_that_writes_no_audit_records_delivers_too_but_not_while_the_store_is_away(machine: Machine) -> None:
    machine.down = True
    machine.topic().write("x")
    machine.env.beats.clear()
    other = machine.process()
    other.close()  # the probe fails
    assert len(machine.files()) == 1
    machine.down = False
    other = machine.process()
    other.namespace("elsewhere").put("k", b"v")
    other.close()
    assert [record.data for record in machine.found()] == ["x"]


def test_an_empty_spool_costs_nothing(machine: Machine) -> None:
    store = machine.process()
    store.namespace("ns").audit("t").write(1)
    machine.store.forget()
    store.close()
    assert machine.store.calls == []
    assert not machine.env.beats
    assert not machine.base.exists()


def test_policies(machine: Machine) -> None:
    store = machine.process().namespace("ns")
    failing, blocking = store.audit("t", when_down="fail", reach=0.5), store.audit("t", when_down="block")
    machine.down = True
    with pytest.raises(NotDelivered) as caught:
        failing.write({"n": 1})
    assert caught.value.exit_code == 75
    assert len(caught.value.ids) == 1
    with pytest.raises((AmbiguousAppend, StoreUnavailable)):
        blocking.write({"n": 2})
    assert not machine.files()
    machine.down = False
    assert not failing.write({"n": 3}).spooled, "a topic that fails tries the store every time"
    for bad in ({"when_down": "never"}, {"reach": 0}, {"reach": "2"}, {"reach": True}):
        with pytest.raises(Misuse):
            store.audit("t", **bad)  # type: ignore[arg-type]


def test_without_a_spool_a_record_is_refused_not_dropped(machine: Machine) -> None:
    from swampstore.client.blocking import Datastore
    from swampstore.client.core import CoreStore

    store = Datastore(CoreStore(machine.store, machine.env))
    machine.down = True
    with pytest.raises(NotDelivered):
        store.namespace("ns").audit("t").write("x")
    assert store.namespace("ns").spool_status() is None


def test_a_write_that_was_given_up_and_landed_after_all_is_one_record(machine: Machine) -> None:
    topic = machine.topic()
    topic.write("first")

    def slow(verb: str, name: str) -> None:
        if verb == "put" and "/log/" in name:
            machine.env.advance(5)

    machine.store.after = slow
    ack = topic.write("second")
    assert ack.spooled
    machine.store.after = lambda verb, name: None
    assert not machine.files(), "the copy is removed as soon as the write is known to have landed"
    machine.env.beat()
    assert [record.data for record in machine.found()] == ["first", "second"]


def test_an_unknown_outcome_is_spooled_and_stays_one_record(machine: Machine) -> None:
    topic = machine.topic()
    lost: list[str] = []

    def after(verb: str, name: str) -> None:
        if verb == "put" and "/log/" in name and not lost:
            lost.append(name)
            raise Undecided("the answer was lost")

    machine.store.after = after
    ack = topic.write("x")
    assert ack.spooled
    machine.env.beat()
    assert [record.id for record in machine.found()] == list(ack.ids)
    assert not machine.files()


def test_a_refusal_is_no_reason_to_wait(machine: Machine) -> None:
    topic = machine.topic()

    def before(verb: str, name: str) -> None:
        raise StoreForbidden("the key was withdrawn")

    machine.store.before = before
    with pytest.raises(StoreForbidden):
        topic.write("x")
    assert not machine.files()


def test_what_hangs_is_left_behind_and_writes_go_on_in_a_lane_of_their_own(machine: Machine) -> None:
    topic = machine.topic()
    before = machine.delivery()._writer
    machine.down = True
    topic.write(1)
    machine.down = False
    machine.env.beat()
    assert machine.delivery()._writer is not before
    assert not topic.write(2).spooled


def test_a_failed_delivery_is_shown_and_tried_again(machine: Machine) -> None:
    topic = machine.topic()
    machine.down = True
    topic.write("x")
    machine.down = False
    machine.store.before = lambda verb, name: (
        (_ for _ in ()).throw(StoreForbidden("not any more")) if verb == "put" else None
    )
    machine.env.beat()
    status = machine.delivery().status()
    assert status is not None
    assert "not any more" in status.problem
    machine.store.before = machine._before
    machine.env.beat()
    assert machine.delivery().status().problem == ""  # type: ignore[union-attr]
    assert [record.data for record in machine.found()] == ["x"]


def test_status_and_doctor_show_depth_and_age(machine: Machine) -> None:
    namespace = machine.process().namespace("ns")
    namespace.put("k", b"v")
    machine.down = True
    namespace.audit("t").write_many([1, 2, 3])
    machine.down = False
    machine.env.beats.clear()
    machine.env.advance(50)
    spool = namespace.status().spool
    assert spool is not None
    assert (spool.writes, spool.records) == (1, 3)
    assert spool.oldest_s >= 50
    assert "spool-waiting" in namespace.doctor().codes()
    namespace.drain_spool()
    assert "spool-waiting" not in namespace.doctor().codes()


def test_a_close_does_not_wait_for_a_delivery_that_hangs(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = machine.process()
    machine.down = True
    store.namespace("ns").audit("t").write("x")

    async def hangs(self: Beat) -> None:
        machine.env.advance(60)

    monkeypatch.setattr(Beat, "stop", hangs)
    store.close()
    assert len(machine.files()) == 1


def test_metrics_show_depth_and_age(machine: Machine) -> None:
    from swampstore.telemetry import watch
    from swampstore.telemetry.tables import Tables

    tables = Tables()
    watch.add(tables)
    try:
        topic = machine.topic()
        machine.down = True
        topic.write_many([1, 2, 3])
        machine.env.advance(40)
        machine.env.beat()
        numbers = {metric.name: samples[0].value for metric, samples in tables.samples({}) if samples}
        assert numbers["swampstore_spool_records"] == 3
        assert numbers["swampstore_spool_oldest_seconds"] >= 40  # type: ignore[operator]
        assert numbers["swampstore_spooled_records"] == 3
        machine.down = False
        machine.env.beat()
        numbers = {metric.name: samples[0].value for metric, samples in tables.samples({}) if samples}
        assert (numbers["swampstore_spool_records"], numbers["swampstore_delivered_records"]) == (0, 3)
    finally:
        watch.remove(tables)
        tables.close()


def test_many_records_travel_in_few_appends(machine: Machine) -> None:
    topic = machine.topic()
    machine.down = True
    for number in range(400):
        topic.write({"n": number})
    machine.down = False
    machine.store.forget()
    report = run(machine.delivery().drain())
    assert (report.records, report.appends) == (400, 1)
    assert machine.store.writes()["log"] == 1


def test_a_delivery_may_be_bounded_in_time(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from swampstore.workers import audit_drain

    monkeypatch.setattr(audit_drain, "_RECORDS", 2)
    topic = machine.topic()
    machine.down = True
    for number in range(10):
        topic.write(number)
    machine.down = False
    machine.store.after = lambda verb, name: machine.env.advance(1)
    report = run(machine.delivery().drain(seconds=2.5))
    assert 0 < report.records < 10
    assert report.left == 10 - report.writes
    run(machine.delivery().drain())
    assert [record.data for record in machine.found()] == list(range(10))


def test_a_write_that_lands_long_after_it_was_spooled_takes_its_copy_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_delivery, "AUDIT_PROBE_S", 3600)
    real = Writer.append

    async def work() -> None:
        answers = asyncio.Event()

        async def append(self: Writer, *args: Any, **how: Any) -> Any:
            await answers.wait()
            return await real(self, *args, **how)

        url, spool = str(tmp_path / "team"), str(tmp_path / "spool")
        async with await swampstore.open_async(url, create=True, spool_dir=spool) as store:
            ns = store.namespace("ops")
            monkeypatch.setattr(Writer, "append", append)
            assert (await ns.audit("t", reach=0.05).write(1)).spooled
            assert ns.spool_status().records == 1  # type: ignore[union-attr]
            answers.set()
            for _ in range(3000):
                if ns.spool_status().records == 0:  # type: ignore[union-attr]
                    break
                await asyncio.sleep(0.001)
            assert ns.spool_status().records == 0  # type: ignore[union-attr]
            assert [record.data async for record in ns.audit("t").read()] == [1]

    asyncio.run(work())


def test_the_asyncio_client_spools_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no route")

    async def work() -> None:
        url, spool = str(tmp_path / "team"), str(tmp_path / "spool")
        async with await swampstore.open_async(url, create=True, spool_dir=spool) as store:
            topic = store.namespace("ops").audit("t", reach=0.05)
            assert not (await topic.write(0)).spooled
            with monkeypatch.context() as cut:
                cut.setattr(audit_delivery, "AUDIT_PROBE_S", 3600)
                cut.setattr(audit_delivery.Delivery, "_append", away)
                acks = await asyncio.gather(*(topic.write(number) for number in range(1, 6)))
                assert all(ack.spooled for ack in acks)
                assert store.namespace("ops").spool_status().records == 5  # type: ignore[union-attr]
            report = await store.namespace("ops").drain_spool()
            assert report.records == 5
            assert sorted([record.data async for record in topic.read()]) == list(range(6))  # type: ignore[type-var]

    asyncio.run(work())
