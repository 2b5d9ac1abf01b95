"""Absurd models, names, labels, lifetimes, ordinals and times: a typed error with a hint, or the right answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore import BadConfig, BadName, FixTheCall, Misuse, Model, Namespace, TooLarge
from swampstore.limits import DATA_FIELDS_BYTES, DATA_ORDINAL, KEY_BYTES, TAGS, TAGS_BYTES
from swampstore.values.data import (
    Datum,
    check_datum,
    decode_ordinal,
    encode_ordinal,
    head_key,
    head_version,
    id_key,
    item_path,
    latest_path,
    meta_path,
    parse_id_key,
    parse_model,
    parse_ordinal,
    parse_path,
    raw_of,
    raw_path,
)
from swampstore.values.deltas import Index, Put, check_delta
from swampstore.values.entry import Inline, Meta
from swampstore.values.keys import key_problem
from swampstore.values.lifetimes import DAY_MS, MOST_MS, check_keep, check_lifetime, expires_at
from swampstore.values.version import make_version
from tests.data.desk import Desk

part = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=30).filter(
    lambda text: text not in (".", "..")
)
types = st.lists(part, min_size=1, max_size=3).map("/".join)


# --- names -----------------------------------------------------------------------------------------------------------


@given(types, part, part, st.integers(0, 10**15 - 1), st.binary(min_size=24, max_size=24))
def test_names_and_paths_go_both_ways(type_: str, id_: str, name: str, ordinal: int, version: bytes) -> None:
    item = item_path(Model(type_, id_), name)
    assert item == Datum(type_, id_, name).item
    for path in (raw_path(item, ordinal), meta_path(item, ordinal)):
        assert not key_problem(path)
        found = parse_path(path)
        assert found is not None
        assert (found.model_type, found.model_id, found.name, found.ordinal) == (type_, id_, name, ordinal)
    found = parse_path(latest_path(item))
    assert found is not None
    assert (found.item, found.ordinal) == (item, None)
    assert raw_of(raw_path(item, ordinal)) == ((item, ordinal) if ordinal <= DATA_ORDINAL else None)
    assert parse_id_key(id_key(item, version)) == (item, version)
    assert item < head_key(item) < id_key(item, version) < item + "/"
    assert parse_id_key(head_key(item)) is None
    assert decode_ordinal(encode_ordinal(ordinal), "k") == ordinal


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_heads_join_to_the_higher_number(one: int, other: int) -> None:
    assert (head_version(one) < head_version(other)) == (one < other)
    assert head_version(max(one, other)) < make_version(1_700_000_000_000 << 16, b"\0" * 12, 0)


@pytest.mark.parametrize(
    "model",
    [
        "",
        "no-colon",
        ":id",
        "type:",
        "a//b:x",
        "/a:x",
        "a:b/c",
        "../x:y",
        "t:..",
        "a\0b:c",
        "a:b\\c",
        None,
        7,
        "\ud800:x",
    ],
)
def test_what_is_no_model(model: Any) -> None:
    with pytest.raises(BadName) as caught:
        parse_model(model)
    assert caught.value.hint


def test_a_model_is_split_at_the_last_colon() -> None:
    assert parse_model("aws:ec2:web") == Model("aws:ec2", "web")
    assert parse_model(Model("a/b", "c:d")) == Model("a/b", "c:d")
    assert str(Model("a/b", "c")) == "a/b:c"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", "a\\b", None, 3, "x" * KEY_BYTES, "é" * 490])
def test_what_is_no_data_name(desk: Desk, name: Any) -> None:
    with pytest.raises(BadName):
        desk.ns.data("t:m", name)


@pytest.mark.parametrize("name", ["207333", "0", "latest", "raw", "metadata.yaml", "a b", "é", "~", "-", "1e3", "data"])
def test_odd_names_that_are_names(desk: Desk, name: str) -> None:
    item = desk.ns.data("data/t:data", name)
    assert item.put(b"x", ordinal=True).ordinal == 1
    assert item.put(b"y", ordinal=True).ordinal == 2
    assert item.read(1) == b"x"
    assert [found.name for found in desk.ns.search_data()] == [name]


@pytest.mark.parametrize("text", ["", "01", "+1", "-1", "1.0", "x", "٣", "1" * 16, " 1", "1_0"])
def test_what_is_no_ordinal(text: str) -> None:
    assert parse_ordinal(text) is None
    assert raw_of(f"data/t/m/n/{text}/raw") is None


@pytest.mark.parametrize("path", ["", "data", "data/1/raw", "raw", "/raw", "x/data/t/m/n/1/raw", "data/t/m/n/1/other"])
def test_what_is_no_path_of_a_datum(path: str) -> None:
    assert parse_path(path) is None


# --- fields ----------------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, Any], type[FixTheCall]]] = {
    "a lifetime": ({"lifetime": "forever"}, BadConfig),
    "a lifetime that is no text": ({"lifetime": 30}, BadConfig),
    "a lifetime with a line break": ({"lifetime": "1d\n"}, BadConfig),
    "a retention": ({"keep": "some"}, BadConfig),
    "a negative retention": ({"keep": -1}, BadConfig),
    "a retention that is true": ({"keep": True}, BadConfig),
    "digits of another script": ({"keep": "²"}, BadConfig),
    "an owner that is no map": ({"owner": ["a"]}, BadConfig),
    "an owner with bytes": ({"owner": {"a": b"b"}}, BadConfig),
    "an owner with a number as a name": ({"owner": {1: "b"}}, BadConfig),
    "not a number": ({"owner": {"a": float("nan")}}, BadConfig),
    "infinity": ({"extra": {"a": float("inf")}}, BadConfig),
    "a huge integer": ({"extra": {"a": 1 << 64}}, BadConfig),
    "lone surrogates": ({"extra": {"a": "\ud800"}}, BadConfig),
    "deep nesting": ({"extra": {"a": [[[[[[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]]]]]}}, BadConfig),
    "huge fields": ({"extra": {"a": "x" * DATA_FIELDS_BYTES}}, TooLarge),
    "huge tags": ({"tags": {"a": "x" * TAGS_BYTES}}, TooLarge),
    "many tags": ({"tags": {str(number): "x" for number in range(TAGS + 1)}}, TooLarge),
    "tags that are no texts": ({"tags": {"a": 1}}, BadConfig),
    "tags that are a list": ({"tags": ["a"]}, BadConfig),
    "a content type that is no text": ({"content_type": 3}, BadConfig),
    "streaming that is no yes or no": ({"streaming": "yes"}, BadConfig),
}


@pytest.mark.parametrize(("fields", "error"), BAD.values(), ids=BAD)
def test_bad_fields_are_refused_before_anything_is_sent(
    desk: Desk, fields: dict[str, Any], error: type[FixTheCall]
) -> None:
    with pytest.raises(error):
        desk.ns.data("t:m", "n").put(b"x", **fields)
    assert desk.store.calls == []


def test_contents_of_no_use(desk: Desk) -> None:
    with pytest.raises(Misuse):
        desk.ns.data("t:m", "n").put(None)
    assert desk.store.calls == []


@pytest.mark.parametrize("version", [-1, 1.0, True, None, "newest", "1", 10**16, b"x", "0" * 47])
def test_what_names_no_version(desk: Desk, version: Any) -> None:
    with pytest.raises(Misuse) as caught:
        desk.ns.data("t:m", "n").get(version)
    assert caught.value.hint


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "all"])
def test_what_is_no_limit(desk: Desk, limit: Any) -> None:
    with pytest.raises(Misuse):
        desk.ns.data("t:m", "n").versions(limit)


def test_durations_beyond_all_time_never_end(desk: Desk) -> None:
    item = desk.ns.data("t:m", "n")
    item.put(b"x", lifetime="999999999y")
    assert item.get().expires == MOST_MS  # type: ignore[union-attr]
    desk.ns.compact()
    assert item.read() == b"x"
    assert "expiresAt" not in item.get().describe()  # type: ignore[union-attr]


@pytest.mark.parametrize("lifetime", ["infinite", "ephemeral", "job", "workflow", ""])
def test_lifetimes_without_a_time(lifetime: str) -> None:
    assert expires_at(lifetime, 5) == 0
    assert expires_at("1d", 5) == 5 + DAY_MS


def test_checks_hand_back_what_is_stored() -> None:
    assert (check_lifetime("6mo"), check_keep(5), check_keep("30d"), check_keep(None)) == ("6mo", "5", "30d", "")


@pytest.mark.parametrize("year_ms", [0, 1, 4_102_444_800_000])
def test_versions_from_1970_and_2100(desk: Desk, year_ms: int) -> None:
    """Times of files are what they are: no clock is moved by them, and as_of believes them."""
    datum = Datum("t", "m", "n", ordinal=3)
    meta = Meta(size=1, at=Inline(b"x"), created=year_ms, data=datum)
    desk.ns.append([Index(key=raw_path(datum.item, 3), meta=meta)])
    item = desk.ns.data("t:m", "n")
    assert item.get().created == year_ms  # type: ignore[union-attr]
    assert item.get(as_of=year_ms).ordinal == 3  # type: ignore[union-attr]
    assert item.put(b"y", ordinal=True).ordinal == 4


# --- ordinals that others bring ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordinal", [DATA_ORDINAL + 1, -1, "3", True, 1.0])
def test_ordinals_that_overflow_or_are_none(ordinal: Any) -> None:
    datum = Datum("t", "m", "n", ordinal=ordinal)
    with pytest.raises(TooLarge):
        check_datum(datum, raw_path(datum.item, ordinal))


def test_the_fold_counts_on_above_the_highest_that_may_be_given(desk: Desk) -> None:
    datum = Datum("t", "m", "n", ordinal=DATA_ORDINAL)
    desk.ns.append([Put(key=raw_path(datum.item, DATA_ORDINAL), data=b"x", datum=datum)])
    assert desk.ns.data("t:m", "n").put(b"y", ordinal=True).ordinal == DATA_ORDINAL + 1
    assert desk.ns.data("t:m", "n").read() == b"y"


@pytest.mark.parametrize("key", ["data/t/m/n/4/raw", "data/t/m/other/3/raw", "data/t/m/n/3/metadata.yaml", "k"])
def test_fields_that_contradict_the_path_are_refused(key: str) -> None:
    datum = Datum("t", "m", "n", ordinal=3)
    with pytest.raises(Misuse, match="say version 3"):
        check_delta(Put(key=key, data=b"", datum=datum))
    with pytest.raises(Misuse, match="say version 3"):
        check_delta(Index(key=key, meta=Meta(size=0, at=Inline(b""), data=datum)))


def test_entries_that_contradict_their_path_are_no_versions(ns_with_a_lie: Namespace) -> None:
    assert ns_with_a_lie.data("t:m", "n").versions() == []
    assert ns_with_a_lie.data("t:m", "n").get(4) is None
    assert list(ns_with_a_lie.search_data()) == []


@pytest.fixture
def ns_with_a_lie(desk: Desk) -> Namespace:
    """A record that another program has written: its fields say another version than its path."""
    from swampstore.env.blocking import run
    from swampstore.values.entry import put_record

    core = desk.ns._core
    meta = Meta(size=0, at=Inline(b""), data=Datum("t", "m", "n", ordinal=3))
    run(core.writer.append([put_record("data/t/m/n/4/raw", core.writer.new_version(), meta)]))
    return desk.ns
