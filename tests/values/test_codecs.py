"""Segments, runs and roots: what was encoded is decoded, and no bytes raise anything but the typed errors."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swampstore.errors import CorruptObject, Misuse, TooLarge, UnknownFormat
from swampstore.limits import SEGMENT_DELTAS, SEGMENT_RAW_BYTES
from swampstore.values.entry import (
    CONFLICT,
    HAS_BASE,
    OPAQUE,
    TOMBSTONE,
    Blob,
    Inline,
    Meta,
    Packed,
    Record,
    base_of,
    check_value,
    content_of,
    entry_of,
    meta_of,
    put_record,
    record_sum,
    tombstone,
)
from swampstore.values.frame import Kind, pack
from swampstore.values.root import (
    Garbage,
    Leader,
    Quarantined,
    Root,
    Settling,
    SlotId,
    decode_root,
    encode_root,
    garbage_list,
)
from swampstore.values.run import decode_index
from swampstore.values.segment import (
    Commit,
    SegmentHeader,
    decode_segment,
    encode_readable,
    encode_records,
    encode_segment,
    view_records,
)
from swampstore.values.version import just_above, make_version
from tests.values.strategies import any_version, locations, metas, put, records, versions

LANE, VERSION = "w" + "0" * 24, make_version(1, b"w" * 12, 1)
HEADER = SegmentHeader(LANE, 7, b"writeid!", 123)


def segment(body: list[Record], header: SegmentHeader = HEADER) -> bytes:
    return encode_segment(header, len(body), encode_records(body))


def decode(data: bytes) -> tuple[Record, ...]:
    return decode_segment(data, "obj", LANE, 7).records


# --- segments ---------------------------------------------------------------------------------------------------------


@given(
    st.lists(records, max_size=6),
    st.booleans(),
    st.lists(st.builds(Commit, st.tuples(st.text()), st.text()), max_size=2),
)
def test_segments_round_trip(body: list[Record], closing: bool, commits: list[Commit]) -> None:
    header = SegmentHeader(LANE, 7, b"writeid!", 123, closing, tuple(commits))
    found = decode_segment(segment(body, header), "obj", LANE, 7)
    assert (found.header, list(found.records)) == (header, body)


def test_a_segment_of_another_slot_or_lane_is_corrupt() -> None:
    data = segment([put("a", 1)])
    for lane, slot in ((LANE, 8), ("s00", 7)):
        with pytest.raises(CorruptObject, match="holds slot 7"):
            decode_segment(data, "obj", lane, slot)


def test_a_segment_of_a_newer_format_is_not_broken() -> None:
    with pytest.raises(UnknownFormat):
        decode(pack(Kind.SEGMENT, 2, b"?"))


@pytest.mark.parametrize("count", [0, 1, 15, 16, SEGMENT_DELTAS])
def test_records_encoded_together_are_those_encoded_alone(count: int) -> None:
    some = [tombstone(f"{number:x}", VERSION) for number in range(count)]
    apart = encode_segment(HEADER, count, *map(encode_records, ([one] for one in some)))
    assert apart == segment(some) == encode_segment(HEADER, count, view_records(some))
    assert encode_records(some) == b"".join(map(msgspec.msgpack.encode, some))


def test_too_much_for_one_segment() -> None:
    with pytest.raises(TooLarge):
        encode_segment(HEADER, SEGMENT_DELTAS + 1, b"")
    with pytest.raises(TooLarge):
        encode_segment(HEADER, 1, bytes(SEGMENT_RAW_BYTES))


def test_more_deltas_than_a_writer_may_write_are_corrupt() -> None:
    one = encode_records([tombstone("a", VERSION)])
    head = msgspec.msgpack.encode(HEADER)
    count = SEGMENT_DELTAS + 1
    raw = len(head).to_bytes(4) + head + b"\xdd" + count.to_bytes(4) + one * count
    with pytest.raises(CorruptObject, match="limit"):
        decode(pack(Kind.SEGMENT, 1, raw))


BAD_RECORDS = {
    "short version": Record("a", b"x", TOMBSTONE, 0, msgspec.msgpack.encode({})),
    "no version": Record("a", b"", TOMBSTONE, 0, msgspec.msgpack.encode({})),
    "value of a put": Record("a", VERSION, 0, 0, b"?"),
    "empty value": Record("a", VERSION, 0, 0, b""),
    "value of a tombstone": Record("a", VERSION, TOMBSTONE, 0, b"\xc1"),
    "text that is not UTF-8": Record("a", VERSION, 0, 0, b"\x82\xa1s\x00\xa1l\x92\xa1b\xa1\xff"),
    "unknown location": Record("a", VERSION, 0, 0, msgspec.msgpack.encode({"s": 0, "l": ["?", "x"]})),
    "flags nobody sets": Record("a", VERSION, OPAQUE | HAS_BASE, 0, b"?"),
}


@pytest.mark.parametrize("record", BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_one_bad_record_breaks_its_segment_and_names_the_object(record: Record) -> None:
    with pytest.raises(CorruptObject, match="obj") as caught:
        decode(segment([put("fine", 1), record]))
    assert caught.value.name == "obj"
    with pytest.raises(Misuse, match="no reader could decode"):
        encode_readable([put("fine", 1), record])


def test_opaque_values_are_nobodys_business() -> None:
    record = Record("\0lock\0x", VERSION, OPAQUE, 0, b"\xff\xff")
    assert decode(segment([record])) == (record,)
    assert content_of(record) is None


@pytest.mark.parametrize(
    "fields",
    [("a", VERSION, 0, 1.5, b""), ("a", VERSION, 0, None, b""), (3, VERSION, 0, 0, b""), ("a", "v", 0, 0, b"")],
)
def test_fields_of_the_wrong_type_are_corrupt(fields: tuple[object, ...]) -> None:
    raw = msgspec.msgpack.encode(list(fields))
    with pytest.raises(CorruptObject):
        decode(encode_segment(HEADER, 1, raw))
    with pytest.raises(Misuse, match="no reader could decode"):
        encode_readable([Record(*fields)])  # type: ignore[arg-type]


# --- fuzz: a right frame round any body ---------------------------------------------------------------------------

junk = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(1 << 63), (1 << 64) - 1),
            st.binary(max_size=9),
            st.text(max_size=9),
            st.floats(),
        ),
        lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=3), inner, max_size=5)),
        max_leaves=8,
    ).map(msgspec.msgpack.encode),
)
deep = st.integers(1, 100_000).map(lambda depth: b"\x91" * depth + b"\xc0")
claims = st.sampled_from(
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xa2\xff\xff",
        b"\xd7\xff" + b"\xff" * 8,
    ]
)


def only_typed(decoder: object, *args: object) -> None:
    caught: list[CorruptObject | UnknownFormat] = []
    try:
        decoder(*args)  # type: ignore[operator]
    except (CorruptObject, UnknownFormat) as error:
        caught.append(error)
    assert all(error.name == "obj" for error in caught)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(junk, deep, claims), st.integers(0, 60), st.one_of(junk, claims))
def test_decoders_raise_only_typed_errors(body: bytes, cut: int, tail: bytes) -> None:
    head = msgspec.msgpack.encode(HEADER)
    for raw in (body, body + tail):
        only_typed(decode_segment, raw, "obj", LANE, 7)
        only_typed(decode_root, raw, "obj")
        only_typed(decode_index, raw, "obj")
        only_typed(decode_segment, pack(Kind.SEGMENT, 1, raw), "obj", LANE, 7)
        only_typed(decode_segment, pack(Kind.SEGMENT, 1, len(head).to_bytes(4) + head + raw), "obj", LANE, 7)
        only_typed(decode_segment, pack(Kind.SEGMENT, 1, len(raw).to_bytes(4) + raw), "obj", LANE, 7)
        only_typed(decode_root, pack(Kind.ROOT, 1, raw), "obj")
        only_typed(decode_index, pack(Kind.RUN_INDEX, 1, raw), "obj")


GOOD_ROOT = msgspec.to_builtins(Root(3, b"n" * 12, watermarks={LANE: 3}, inline=(put("a", 1),)), builtin_types=(bytes,))


@given(st.sampled_from([*GOOD_ROOT, "settling", "leader", "shards", "garbage"]), junk)
def test_a_root_with_one_foreign_field(field: str, value: bytes) -> None:
    whole = dict(GOOD_ROOT)
    whole[field] = msgspec.Raw(value)
    only_typed(decode_root, pack(Kind.ROOT, 1, msgspec.msgpack.encode(whole)), "obj")


@given(records, st.integers(0, 300), st.integers(0, 255))
def test_a_record_with_one_changed_byte_is_a_record_or_corrupt(record: Record, at: int, byte: int) -> None:
    raw = bytearray(encode_records([record]))
    raw[at % len(raw)] = byte
    try:
        found = decode(encode_segment(HEADER, 1, bytes(raw)))
    except CorruptObject:
        return
    for one in found:  # whatever passed, nothing later can fail on it
        content_of(one)
        base_of(one)
        record_sum(one)
        if not one.gone and not one.flags & OPAQUE:
            entry_of(one).describe()


# --- entries ----------------------------------------------------------------------------------------------------------


@given(metas, versions)
def test_entries_round_trip(meta: Meta, version: bytes) -> None:
    record = put_record("a", version, meta, expires=5)
    check_value(record)
    assert meta_of(record) == meta
    assert base_of(record) == meta.base
    assert entry_of(record).meta == meta
    assert not record.gone


@given(metas)
def test_encoding_is_deterministic(meta: Meta) -> None:
    shuffled = msgspec.structs.replace(meta, tags=dict(reversed(meta.tags.items())))
    assert put_record("a", VERSION, meta) == put_record("a", VERSION, shuffled)


@given(locations)
def test_content_of_names_what_this_namespace_holds(at: object) -> None:
    found = content_of(put_record("a", VERSION, Meta(size=1, at=at)))  # type: ignore[arg-type]
    match at:
        case Blob(part):
            assert found == f"blob/{part}"
        case Packed(part):
            assert found == f"pack/{part}"
        case _:
            assert found is None


@given(any_version)
def test_tombstones_keep_their_base(base: bytes) -> None:
    gone = tombstone("a", just_above(base), base=base)
    assert base_of(gone) == base
    assert gone.gone
    assert content_of(gone) is None
    assert base_of(tombstone("a", VERSION)) is None


def test_the_sum_depends_on_key_version_and_value() -> None:
    one = put("a", 1, data=b"x")
    others = [put("b", 1, data=b"x"), put("a", 2, data=b"x"), put("a", 1, data=b"y")]
    assert len({record_sum(record) for record in (one, *others)}) == 4
    assert record_sum(msgspec.structs.replace(one, flags=one.flags | CONFLICT)) == record_sum(one)


def test_describe_leaves_out_what_is_not_set() -> None:
    shown = entry_of(put_record("a", VERSION, Meta(size=3, at=Inline(b"abc")))).describe()
    assert shown == {"key": "a", "version": VERSION.hex(), "size": 3, "sha256": ""}


# --- roots ------------------------------------------------------------------------------------------------------------


def test_roots_round_trip() -> None:
    root = Root(
        version=9,
        nonce=b"n" * 12,
        nonces=(b"m" * 12,),
        leader=Leader("id", 4, "host:1"),
        epoch=4,
        hlc=77,
        watermarks={LANE: 3, "s00": 9},
        closed=(LANE,),
        settling=Settling(5, {LANE: 2}),
        shared={"s00": (SlotId(9, b"12345678"),)},
        inline=(put("a", 1), tombstone("b", VERSION)),
        packs={"p": 3},
        garbage_raw=garbage_list([Garbage("blob/x", 8, 5)]),
        quarantine=(Quarantined("ns/log/x", "bad", 5),),
        settings={"a": [1, "b"]},
    )
    assert decode_root(encode_root(root), "obj") == root


def test_a_root_over_its_limit_is_refused_when_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swampstore.values.root.ROOT_RAW_BYTES", 500)
    with pytest.raises(TooLarge):
        encode_root(Root(1, b"n", settings={"x": "y" * 600}))
