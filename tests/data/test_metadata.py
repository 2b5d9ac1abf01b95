"""``metadata.yaml`` both ways, and the YAML it is written in: every reader reads back the same values."""

from __future__ import annotations

import string

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swampstore.limits import DATA_FIELDS_BYTES, DATA_METADATA_BYTES, TAGS_BYTES
from swampstore.testing.legacy_tree import metadata
from swampstore.values import plainyaml
from swampstore.values.data import Datum, check_fields, parse_path, raw_path
from swampstore.values.entry import Inline, Meta
from swampstore.values.lifetimes import format_time, parse_time
from swampstore.values.metadata import datum_of, item_uuid, parse_metadata, render_metadata

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TRICKY = (
    *(
        "",
        "no",
        "Null",
        "~",
        "1",
        "1e3",
        "0x1f",
        "1:30",
        "2026-06-01",
        ".5",
        "-",
        "- a",
        "a: b",
        "#",
        "? x",
        "!x",
        "&a",
    ),
    *("*a", "%x", "@x", "`x", "a #b", " a", "a ", "\n", "a\nb", "\t", "é", "日本", "😀", "\ufeff", "\u2028", "\x85"),
    *("=", "<<", "[", "{}", "'", '"', "\\", "y", "on", ".inf", "_1", "1_000", "a" * 2000, "\x7f", "\0"),
)
tricky = st.sampled_from(TRICKY)
texts = st.one_of(anything, tricky)
plain = st.recursive(
    texts,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
maps = st.dictionaries(texts, plain, max_size=4)
typed = st.dictionaries(
    texts,
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 63) + 1, (1 << 63) - 1),
        st.floats(allow_infinity=False, allow_nan=False),
    ),
    max_size=4,
)


@given(maps)
def test_texts_are_read_back_the_same_by_both_readers(fields: dict[str, object]) -> None:
    text = plainyaml.dump(fields)
    assert yaml.safe_load(text) == fields
    assert plainyaml.load(text) == fields


@given(typed)
def test_other_scalars_keep_their_type(fields: dict[str, object]) -> None:
    read = yaml.safe_load(plainyaml.dump(fields))
    assert read == fields
    assert {name: type(value) for name, value in read.items()} == {name: type(value) for name, value in fields.items()}


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=10).filter(
    lambda name: name not in (".", "..")
)
datums = st.builds(
    Datum,
    model_type=names,
    model_id=names,
    name=names,
    ordinal=st.integers(1, 10**12),
    keep=st.sampled_from(["", "5", "30d", "0"]),
    owner=maps,
    streaming=st.booleans(),
    lifecycle=st.sampled_from(["", "deleted"]),
    renamed_to=names.filter(lambda name: name not in ("null", "~")),
    data_id=names,
    extra=maps.map(lambda held: {f"x-{name}": value for name, value in held.items()}),
)
metas = st.builds(
    Meta,
    size=st.integers(0, 1 << 40),
    at=st.just(Inline(b"")),
    sha256=st.one_of(st.none(), st.binary(min_size=32, max_size=32)),
    content_type=st.sampled_from(["text/plain", "application/octet-stream"]),
    tags=st.dictionaries(texts, texts, max_size=3).map(lambda tags: {"type": "resource"} | tags),
    created=st.integers(0, 250_000_000_000_000),
    lifetime=st.sampled_from(["infinite", "30d", "job"]),
    data=datums,
)


@given(metas)
def test_what_is_written_is_read_back(meta: Meta) -> None:
    datum = meta.data
    assert datum is not None
    body = render_metadata(meta)
    assert body == render_metadata(meta)
    found = parse_metadata(body, "x", version=datum.ordinal)
    path = parse_path(raw_path(datum.item, datum.ordinal))
    assert path is not None
    expected = msgspec.structs.replace(datum, model_type=path.model_type, model_id=path.model_id, name=path.name)
    assert datum_of(found, path) == expected
    assert (found.size, found.sha256, found.content_type) == (meta.size, meta.sha256, meta.content_type)
    assert (found.tags, found.created_ms, found.lifetime_text) == (meta.tags, meta.created, meta.lifetime)


def test_what_the_replaced_system_wrote_says_the_same_after_a_round_trip() -> None:
    body = metadata("207333", "3f2b3a52-8c1f-4a8e-9d5e-000000000001", 3, b"raw", 1, "1h", "5")
    path = parse_path("data/@acme/aws/ec2/m-1/207333/3/metadata.yaml")
    assert path is not None
    found = parse_metadata(body, "x", version=3)
    meta = Meta(
        size=found.size or 0,
        at=Inline(b""),
        sha256=found.sha256,
        content_type=found.content_type,
        tags=found.tags,
        created=found.created_ms or 0,
        lifetime=found.lifetime_text,
        data=datum_of(found, path),
    )
    assert yaml.safe_load(render_metadata(meta)) == yaml.safe_load(body)


def test_unknown_fields_are_kept_and_cannot_pose_as_known_ones() -> None:
    datum = Datum("t", "m", "n", ordinal=2, extra={"zone": {"a": ["1"]}, "version": "7", "name": "other"})
    found = parse_metadata(render_metadata(Meta(size=0, at=Inline(b""), data=datum)), "x", version=2)
    assert (found.name, found.extra) == ("n", {"zone": {"a": ["1"]}})


def test_the_largest_fields_fit() -> None:
    """What :func:`check_fields` lets pass can be read again, even if every character takes six."""
    nasty = "\x01"
    datum = Datum("t", "m", "n", ordinal=1, owner={"a": nasty * (DATA_FIELDS_BYTES - 100)})
    check_fields(datum)
    tags = {"type": nasty * (TAGS_BYTES - 10)}
    body = render_metadata(Meta(size=0, at=Inline(b""), tags=tags, data=datum))
    assert len(body) <= DATA_METADATA_BYTES
    assert parse_metadata(body, "x", version=1).tags == tags


@given(st.integers(0, 250_000_000_000_000))
def test_times_are_read_back(ms: int) -> None:
    assert parse_time(format_time(ms)) == ms


@pytest.mark.parametrize("ms", [-(1 << 62), 1 << 62, -70_000_000_000_000])
def test_times_that_no_calendar_holds_are_not_written(ms: int) -> None:
    assert format_time(ms) == ""


def test_an_id_that_was_not_given_is_a_uuid_of_the_item() -> None:
    one, other = item_uuid("data/t/m/n"), item_uuid("data/t/m/o")
    assert one != other
    assert [len(part) for part in one.split("-")] == [8, 4, 4, 4, 12]
    assert one[14] == "8"
    assert one[19] in "89ab"
    assert set(one) <= set(string.hexdigits + "-")
