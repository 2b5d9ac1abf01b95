"""A write whose outcome nobody knows can be written again as what it was: the error carries its records, and each stays one."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import swampstore
from swampstore.errors import AmbiguousAppend, Misuse, NotDelivered, SpoolFull, SwampError, Undecided
from tests.spool.desk import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def lose_answers(machine: Machine, most: int) -> None:
    """What is appended lands, and the caller never learns of it."""
    lost: list[str] = []

    def after(verb: str, name: str) -> None:
        if verb == "put" and "/log/" in name and len(lost) < most:
            lost.append(name)
            raise Undecided("the answer was lost")

    machine.store.after = after


@pytest.mark.parametrize("how", ["records", "names"])
def test_after_not_delivered_a_retry_is_one_record(machine: Machine, how: str) -> None:
    topic = machine.topic(when_down="fail")
    lose_answers(machine, 1)
    with pytest.raises(NotDelivered) as caught:
        topic.write({"n": 1})
    error = caught.value
    assert "error.records" in error.hint
    if how == "records":
        topic.write_many(error.records)
        topic.write(*error.records)
    else:
        said = json.loads(json.dumps(error.describe()))
        assert (said["ids"], said["times"]) == (list(error.ids), list(error.times))
        topic.write({"n": 1}, record_id=said["ids"][0], ts=said["times"][0])
    assert [record.data for record in machine.found()] == [{"n": 1}]
    assert machine.store.names("ns/log/")[1:], "it did land the first time"


def test_a_policy_that_waits_carries_its_records_too(machine: Machine) -> None:
    topic = machine.topic(when_down="block")
    lose_answers(machine, 2)
    with pytest.raises(AmbiguousAppend) as caught:
        topic.write_many([1, 2])
    topic.write_many(caught.value.records)
    assert [record.data for record in machine.found()] == [1, 2]


def test_a_full_spool_carries_its_records_and_no_log_says_that_they_wait(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    topic = machine.topic()
    lose_answers(machine, 2)
    spool = machine.delivery().spool
    assert spool is not None
    caplog.set_level(logging.WARNING, "swampstore")
    with monkeypatch.context() as full:
        full.setattr(spool, "_max_bytes", 10)
        with pytest.raises(SpoolFull) as caught:
            topic.write("x")
        assert not caplog.records
    assert len(caught.value.describe()["ids"]) == 1
    assert topic.write(*caught.value.records).spooled
    assert [one.getMessage().endswith("wait on this machine") for one in caplog.records] == [True]
    topic.write("y")
    assert len(caplog.records) == 1, "once in an outage"
    machine.env.beat()
    assert [record.data for record in machine.found()] == ["x", "y"]


def test_what_is_no_record_of_this_topic_or_no_list_is_refused(machine: Machine) -> None:
    store = machine.process().namespace("ns")
    topic, other = store.audit("t"), store.audit("u")
    record = topic.record(1)
    assert topic.record(record) == record
    for wrong in (
        lambda: other.write(record),
        lambda: other.write_many([record]),
        lambda: topic.write(record, ts=5),
        lambda: topic.write(record, record_id="x", ts=5),
        lambda: topic.write_many({"a": 1}),
        lambda: topic.write_many("abc"),
        lambda: topic.write_many(record),  # type: ignore[arg-type]
        lambda: topic.write_many(5),  # type: ignore[arg-type]
        lambda: topic.write_many([]),
    ):
        with pytest.raises(Misuse):
            wrong()
    assert not machine.store.names("ns/")


def test_a_record_made_elsewhere_meets_the_schema(machine: Machine) -> None:
    store = machine.process().namespace("ns")
    strict = store.audit("t", schema=dict[str, int])
    with pytest.raises(swampstore.SchemaMismatch):
        strict.write_many([store.audit("t").record({"a": "text"})])
    strict.write(store.audit("t").record({"a": 1}))


def test_what_cannot_be_stored_is_said_in_words(machine: Machine) -> None:
    topic = machine.topic()
    with pytest.raises(Misuse, match="the names in a dict are text") as caught:
        topic.write({1: 2})
    assert "dicts by text" in caught.value.hint
    with pytest.raises(SwampError, match="a retention of"):
        machine.process().namespace("ns").set_audit_retention([1])  # type: ignore[arg-type]
