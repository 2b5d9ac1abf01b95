"""The index as a stream: however it is cut, the same entries; whatever is wrong with it, an error and no guess."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.errors import CorruptObject, SwampError, UnknownFormat
from swampstore.testing.legacy_tree import make_index
from swampstore.values.lifetimes import parse_time
from swampstore.workers.legacy.entries import EntryReader, LegacyEntry, newer
from swampstore.workers.legacy.limits import ENTRY_BYTES
from tests.legacy.helpers import an_entry, index_bytes

T0 = 1_780_272_000_000  # 2026-06-01T00:00:00Z


def read(data: bytes, piece: int | None = None) -> list[LegacyEntry]:
    reader = EntryReader("idx")
    step = piece or len(data) or 1
    found = [entry for at in range(0, len(data), step) for entry in reader.feed(data[at : at + step])]
    reader.finish()
    return found


rels = st.text(st.characters(codec="utf-8"), min_size=0, max_size=40)
models = st.dictionaries(
    rels,
    st.fixed_dictionaries(
        {"size": st.integers(0, 2**63 - 1), "lastModified": st.just("2026-06-01T00:00:01.500Z")},
        optional={
            "sha256": st.binary(min_size=32, max_size=32).map(bytes.hex),
            "key": rels,
            "localMtime": st.none() | rels,
            "more": st.lists(st.integers(-(2**53), 2**53), max_size=3),
        },
    ),
    max_size=12,
)


@given(models, st.integers(1, 64), st.booleans(), st.booleans(), st.sampled_from([None, 2]))
def test_every_cut_of_every_index_gives_its_entries(
    entries: dict, piece: int, version_last: bool, ascii_only: bool, indent: int | None
) -> None:
    parts = [("version", 1), ("lastPulled", None), ("entries", entries), ("other", {"entries": {"no": {}}})]
    body = dict(reversed(parts) if version_last else parts)
    data = json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode()
    expected = [
        LegacyEntry(rel, value["size"], T0 + 1500, bytes.fromhex(value["sha256"]) if value.get("sha256") else None)
        for rel, value in entries.items()
    ]
    assert read(data, piece) == expected


@given(st.data())
def test_a_truncated_index_never_passes(data: st.DataObject) -> None:
    whole = index_bytes({f"files/{at}": an_entry(at) for at in range(20)})
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(CorruptObject) as caught:
        read(whole[:cut], data.draw(st.integers(1, 300)))
    assert caught.value.name == "idx"
    assert caught.value.hint


@given(st.binary(max_size=200))
def test_rubbish_is_refused(body: bytes) -> None:
    with pytest.raises(SwampError):
        read(body)


@given(st.integers(0, 2000), st.integers(0, 7))
def test_a_flipped_bit_gives_entries_or_a_typed_error(at: int, bit: int) -> None:
    data = bytearray(index_bytes({f"files/{number}": an_entry(number, sha256="ab" * 32) for number in range(10)}))
    data[at % len(data)] ^= 1 << bit
    try:
        found = read(bytes(data))
    except (CorruptObject, UnknownFormat):
        return
    assert len(found) == 10


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"null",
        b'"entries"',
        b'{"version":1}',
        b'{"entries":{}}',
        b'{"version":1,"entries":null}',
        b'{"version":1,"entries":[]}',
        b'{"version":1,"entries":[{"a":{"size":1}}]}',
        b'{"version":"1","entries":{}}',
        b'{"version":true,"entries":{}}',
        b'{"version":null,"entries":{}}',
        b'{"inner":{"version":1},"entries":{}}',
        b'{"version":1,"inner":{"entries":{}}}',
        b'{"version":1,"entries":{}} {}',
        b'\xef\xbb\xbf{"version":1,"entries":{}}',
        b'{"version":1,"entries":{"a\xff":{"size":1}}}',
    ],
)
def test_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptObject):
        read(body)


@pytest.mark.parametrize("version", [0, 2, 3, 1.5])
@pytest.mark.parametrize("last", [False, True])
def test_another_version_is_refused_wherever_it_stands(version: float, last: bool) -> None:
    parts = [("version", version), ("entries", {"a": an_entry()})]
    with pytest.raises(UnknownFormat):
        read(json.dumps(dict(reversed(parts) if last else parts)).encode())


@pytest.mark.parametrize(
    "entry",
    [
        1,
        None,
        [],
        {},
        an_entry(-1),
        {"size": "1"},
        {"size": 1.0},
        {"size": True},
        {"size": 2**63},
        {"size": 10**40},
        an_entry(sha256="zz"),
        an_entry(sha256="ab"),
        an_entry(sha256=7),
        an_entry(modified="yesterday"),
        an_entry(modified=5),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused(entry: object) -> None:
    with pytest.raises(CorruptObject):
        read(index_bytes({"good": an_entry(), "bad": entry}))


def test_what_may_be_absent_may_be_absent() -> None:
    assert read(index_bytes({})) == []
    assert read(index_bytes({"a": {"size": 3}})) == [LegacyEntry("a", 3, 0, None)]
    assert read(index_bytes({"a": an_entry(3, sha256=None)}))[0].sha256 is None


def test_the_map_key_is_the_rel_and_repeats_are_handed_on() -> None:
    body = b'{"version":1,"entries":{"a":{"key":"b","size":1},"a":{"size":2}}}'
    assert read(body) == [LegacyEntry("a", 1, 0), LegacyEntry("a", 2, 0)]


def test_the_newer_entry_counts_and_in_a_tie_the_second() -> None:
    old, new, other = LegacyEntry("a", 1, 5), LegacyEntry("a", 2, 9), LegacyEntry("a", 3, 9)
    assert newer(old, new) is newer(new, old) is new
    assert newer(new, other) is other


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_before_it_costs_memory(opening: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CorruptObject):
            read(b'{"version":1,"entries":{"a":' + opening * 1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


def test_a_giant_entry_is_refused() -> None:
    with pytest.raises(CorruptObject, match="without an entry"):
        read(b'{"version":1,"entries":{"' + b"k" * (2 * ENTRY_BYTES))


def test_a_long_key_is_handed_on_for_the_rules_to_refuse() -> None:
    assert read(index_bytes({"k" * 100_000: an_entry()}))[0].rel == "k" * 100_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-06-01T00:00:00.000Z", T0),
        ("2026-06-01T00:00:00.999Z", T0 + 999),
        ("2026-06-01T02:00:00+02:00", T0),
        ("2026-06-01T00:00:00", T0),
    ],
)
def test_times(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@pytest.mark.parametrize("compact", [False, True])
def test_memory_stays_flat(tmp_path: Path, compact: bool) -> None:
    from swampstore.testing.legacy_tree import Shape

    base = make_index(tmp_path, 20_000, Shape(compact=compact))
    path = base / ".datastore-index.json"
    reader, count = EntryReader("idx"), 0
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            while chunk := file.read(256 * 1024):
                count += len(reader.feed(chunk))
        reader.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert path.stat().st_size > 5_000_000
    assert peak < 3_000_000
