"""Whatever a caller may hand in is refused before it is sent, or every reader can decode it: what cannot be decoded breaks
its frame or segment, and with it what other callers wrote in the same moment, after it was acknowledged."""

from __future__ import annotations

import datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import swampstore
from swampstore import AuditRecord, Datum, Delete, Index, Meta, Put
from swampstore.errors import FixTheCall
from swampstore.values.audit import FIRST_MS, LAST_MS
from swampstore.values.entry import External, Inline

UNFIT: list[Any] = [None, True, -1, 0, 1, 1.5, float("nan"), 1 << 63, 1 << 64, 10**30, object()]
UNFIT += ["", "x", "\ud800", "a\0b", b"", b"v" * 24, b"v" * 25, b"v" * 24 + b"\0"]
UNFIT += [{}, {"a": 1}, {1: "a"}, {"": "a"}, {"a": "\ud800"}, {"a": "b"}, [], ["a"]]
odd: st.SearchStrategy[Any] = st.sampled_from(UNFIT)
texts = st.one_of(st.text(max_size=8), odd)
numbers = st.one_of(st.integers(-2, 1 << 65), odd)
labels = st.one_of(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2), odd)
classes = st.one_of(st.sampled_from(["indexed", "ephemeral"]), odd)
bases = st.one_of(st.none(), odd)
keys = st.one_of(st.sampled_from(["k", "data/t/m/n/1/raw", "data/t/m/n/0/raw"]), texts)


def sometimes(usual: Any, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly fit, so that one unfit field is what decides."""
    return st.one_of(st.just(usual), st.just(usual), st.just(usual), other)


datums = st.builds(
    Datum,
    model_type=sometimes("t", texts),
    model_id=sometimes("m", texts),
    name=sometimes("n", texts),
    ordinal=sometimes(1, numbers),
    keep=sometimes("", texts),
    owner=sometimes({}, labels),
    streaming=sometimes(False, odd),
    lifecycle=sometimes("", texts),
    renamed_to=sometimes("", texts),
    data_id=sometimes("", texts),
    extra=sometimes({}, labels),
)
puts = st.builds(
    Put,
    key=keys,
    data=sometimes(b"v", texts),
    content_type=sometimes("", texts),
    tags=sometimes({}, labels),
    expires=sometimes(0, numbers),
    modified=sometimes(0, numbers),
    mode=sometimes(0, numbers),
    base=sometimes(None, bases),
    datum=sometimes(None, st.one_of(datums, odd)),
    lifetime=sometimes("", st.one_of(st.sampled_from(["30d", "infinite"]), texts)),
    created=sometimes(0, numbers),
    ttl=sometimes(0, numbers),
    record_class=sometimes("indexed", classes),
)
places = st.one_of(st.builds(External, sometimes("o", texts)), st.builds(Inline, sometimes(b"v", odd)), odd)
metas = st.builds(
    Meta,
    size=sometimes(1, numbers),
    at=sometimes(External("o"), places),
    sha256=sometimes(None, odd),
    content_type=sometimes("", texts),
    tags=sometimes({}, labels),
    created=sometimes(0, numbers),
    mode=sometimes(0, numbers),
    lifetime=sometimes("", texts),
    base=sometimes(None, bases),
    data=sometimes(None, st.one_of(datums, odd)),
    extra=sometimes({}, labels),
)
deltas = st.one_of(
    puts,
    st.builds(
        Index, key=keys, meta=sometimes(Meta(1, External("o")), st.one_of(metas, odd)), expires=sometimes(0, numbers)
    ),
    st.builds(Delete, key=keys, base=sometimes(None, bases), record_class=sometimes("indexed", classes)),
    odd,
)
moments = st.datetimes(timezones=st.timezones()) | st.datetimes(timezones=st.just(datetime.UTC))
times = st.one_of(
    st.sampled_from([FIRST_MS, -1, 0, (1 << 47) - 1, 1 << 47, LAST_MS, FIRST_MS - 1, LAST_MS + 1]),
    st.integers(-(1 << 49), 1 << 49),
    moments,
    odd,
)
names = st.one_of(st.text(max_size=4), st.sampled_from([1, None, b"x", "\ud800"]))
contents = st.recursive(
    odd, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2), max_leaves=4
)
store_names = count()


@pytest.fixture
def url() -> str:
    return f"memory://accepted-{next(store_names)}"


def reader(url: str) -> swampstore.Namespace:
    return swampstore.open(url).namespace("ns")


@given(data=st.data())
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)
def test_what_an_append_accepts_can_be_read_and_folded(url: str, data: st.DataObject) -> None:
    delta = data.draw(deltas)
    ns = swampstore.open(url).namespace("ns")
    value = b"%d" % next(store_names)
    try:
        ns.append([Put(key="canary", data=value), delta])
    except FixTheCall:
        ns.put("canary", value)
    assert reader(url).read("canary") == value
    list(reader(url).scan())
    report = ns.compact()
    assert report.fold.quarantined == 0
    assert reader(url).read("canary") == value


@given(data=st.data())
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)
def test_what_an_audit_topic_accepts_is_read_back_and_folded(url: str, data: st.DataObject) -> None:
    topic, name = data.draw(sometimes("t", texts)), data.draw(sometimes("id", texts))
    content, ts, forged = data.draw(sometimes({"a": 1}, contents)), data.draw(times), data.draw(st.booleans())
    ns = swampstore.open(url).namespace("ns")
    canary = ns.audit("canary").write(1).ids[0]
    try:
        written = AuditRecord(topic=topic, id=name, ts=ts, data=content) if forged else content
        ack = ns.audit(topic).write_many([written]) if forged else ns.audit(topic).write(content, ts=ts, record_id=name)
    except FixTheCall:
        ack = None
    for _ in range(2):
        assert ack is None or ack.ids[0] in [record.id for record in reader(url).audit(topic).read()]
        assert canary in [record.id for record in reader(url).audit("canary").read()]
        assert ns.compact().fold.quarantined == 0
