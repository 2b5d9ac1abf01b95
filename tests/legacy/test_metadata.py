"""Lifetimes and metadata.yaml."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.errors import CorruptObject
from swampstore.limits import DATA_METADATA_BYTES
from swampstore.testing.legacy_tree import metadata
from swampstore.values.lifetimes import DAY_MS, UNIT_MS, Keep, Lifetime, parse_duration, parse_keep, parse_lifetime
from swampstore.values.metadata import parse_metadata

GOOD = "name: n\nid: i\nversion: 3\ntags: {type: resource}\n"


@given(st.integers(0, 10**9 - 1), st.sampled_from(sorted(UNIT_MS)))
def test_durations(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") == number * UNIT_MS[unit]


def test_units() -> None:
    assert [parse_duration(f"1{unit}") for unit in ("m", "h", "d", "w", "mo", "y")] == [
        60_000, 3_600_000, DAY_MS, 7 * DAY_MS, 30 * DAY_MS, 365 * DAY_MS,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "1", "d", "1s", "1.5d", "-1d", "1 d", "1D", "1d ", "1mom", "1d\n", "٣d", "9" * 10 + "d", "forever"]
)
def test_what_is_no_lifetime(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_lifetime(text)


def test_lifetimes_and_keeping() -> None:
    assert parse_lifetime("30d") == Lifetime("duration", 30 * DAY_MS)
    assert {parse_lifetime(word).kind for word in ("ephemeral", "infinite", "job", "workflow")} == {
        "ephemeral", "infinite", "job", "workflow",
    }  # fmt: skip
    assert parse_keep("5") == Keep(count=5)
    assert parse_keep("2w") == Keep(ms=14 * DAY_MS)
    with pytest.raises(ValueError, match="duration"):
        parse_keep("some")


def test_what_the_generator_writes_is_read() -> None:
    found = parse_metadata(metadata("207333", "an-id", 3, b"raw", 1, "1h", "5"), "x", version=3)
    assert (found.name, found.id, found.version, found.size) == ("207333", "an-id", 3, 3)
    assert (found.lifetime, found.keep) == (Lifetime("duration", 3_600_000), Keep(count=5))
    assert found.sha256 is not None
    assert len(found.sha256) == 32
    assert found.tags == {"type": "resource"}
    assert found.owner == {"ownerType": "model-method", "ownerRef": "shell/run"}
    assert (found.created_ms, found.streaming, found.deleted) == (1_780_272_007_001, False, False)
    assert (found.renamed_to, found.extra) == (None, {})


def test_scalars_stay_what_they_are_and_unknown_fields_are_kept() -> None:
    text = "name: no\nid: 007\nversion: 3\ntags: {type: yes, n: 1}\nlifecycle: deleted\nrenamedTo: 1e3\nnew: {a: [1]}\n"
    found = parse_metadata(text.encode(), "x", version=3)
    assert (found.name, found.id, found.tags) == ("no", "007", {"type": "yes", "n": "1"})
    assert (found.deleted, found.renamed_to, found.extra) == (True, "1e3", {"new": {"a": ["1"]}})
    assert (found.lifetime, found.keep, found.created_ms, found.size) == (Lifetime("infinite"), None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "text",
        "---\n---\n",
        GOOD + "---\n" + GOOD,
        "name: n\nid: i\nversion: 3\n",
        "name: n\nid: i\nversion: 3\ntags: {a: b}\n",
        "name: n\nid: i\nversion: 3\ntags: {type: [a]}\n",
        "id: i\nversion: 3\ntags: {type: r}\n",
        "name: [n]\nid: i\nversion: 3\ntags: {type: r}\n",
        "name: ''\nid: i\nversion: 3\ntags: {type: r}\n",
        GOOD.replace("3", "4"),
        GOOD.replace("3", "three"),
        GOOD + "name: again\n",
        GOOD + "lifetime: forever\n",
        GOOD + "lifetime: {a: b}\n",
        GOOD + "garbageCollection: -1\n",
        GOOD + "createdAt: now\n",
        GOOD + "createdAt: 9999-12-31T23:59:59-23:59x\n",
        GOOD + "size: -1\n",
        GOOD + "size: 1.5\n",
        GOOD + "checksum: abc\n",
        GOOD + "lifecycle: gone\n",
        GOOD + "streaming: maybe\n",
        GOOD + "ownerDefinition: me\n",
        GOOD + "a: &a [1]\nb: *a\n",
        GOOD + "a: !!python/object/apply:os.system [ls]\n? [1]\n: 2\n",
        GOOD + "a: " + "[" * 1000,
        "- " * 100_000,
        GOOD + "#" * DATA_METADATA_BYTES,
        GOOD + "a: '",
        GOOD + "\ttab: 1",
    ],
)
def test_bad_metadata_is_refused_by_name(text: str) -> None:
    with pytest.raises(CorruptObject) as caught:
        parse_metadata(text.encode(), "ns/data/x/metadata.yaml", version=3)
    assert caught.value.name == "ns/data/x/metadata.yaml"


@given(st.binary(max_size=300))
def test_rubbish_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptObject):
        parse_metadata(body, "x", version=1)


def test_not_utf8_is_refused() -> None:
    with pytest.raises(CorruptObject):
        parse_metadata(GOOD.encode() + b"a: \xff\n", "x", version=3)
