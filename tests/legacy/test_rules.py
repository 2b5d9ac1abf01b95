"""What a legacy path means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.testing.legacy_nasty import NOT_DATA
from swampstore.workers.legacy.origin import _below, _split
from swampstore.workers.legacy.rules import (
    DataName,
    DataPath,
    Drop,
    Kind,
    Place,
    Rules,
    latest_version,
    locations,
    lock_names,
    parse_data,
    version_number,
    versions,
)

UUID = "3f0c1c7e-6c1a-4d3e-9d0e-0d6f0b6f1a11"
PLAIN = Rules(Place())
IN_NS = Rules(Place("team/", "pipeline"), {"pipeline", "neighbour"})


@pytest.mark.parametrize(
    ("rel", "expected"),
    [
        (f"data/command/shell/{UUID}/decision/1/raw", Kind.RAW),
        (f"data/command/shell/{UUID}/decision/12/metadata.yaml", Kind.METADATA),
        (f"data/command/shell/{UUID}/decision/latest", Kind.LATEST),
        (f"data/x/{UUID}/latest/1/raw", Kind.RAW),
        (f"data/x/{UUID}/raw/1/raw", Kind.RAW),
        (f"data/x/{UUID}/n/01/raw", Kind.OPAQUE),
        (f"data/x/{UUID}/n/x/raw", Kind.OPAQUE),
        (f"data/x/{UUID}/n/1/other", Kind.OPAQUE),
        ("data/1/raw", Kind.OPAQUE),
        ("outputs/command/shell/run/a.yaml", Kind.OPAQUE),
        ("audit/2026-06-25.jsonl", Kind.OPAQUE),
        ("new-folder/of/a/later/client", Kind.OPAQUE),
        ("files/Cargo.lock", Kind.OPAQUE),
        ("files/secrets/readme", Kind.OPAQUE),
        ("files/.push-queue.json", Kind.OPAQUE),
        ("files/.namespace.json", Kind.OPAQUE),
        ("secrets", Kind.OPAQUE),
        ("bundles-of-joy/a", Kind.OPAQUE),
        (".datastore-index.json", Drop.INDEX),
        ("_index/data.json", Drop.INDEX),
        ("_index/_meta.json", Drop.INDEX),
        (".push-queue.json", Drop.STATE),
        ("_control/x/y", Drop.CONTROL),
        (".lock", Drop.LOCK),
        ("files/a/.lock", Drop.LOCK),
        ("files/.lock", Drop.LOCK),
        (".datastore.lock", Drop.LOCK),
        (".locks/ns.lock", Drop.LOCK),
        (".namespace.json", Drop.NAMESPACE_MARK),
        ("_catalog.db", Drop.CATALOG),
        ("_catalog.db-wal", Drop.CATALOG),
        (".catalog-export.json", Drop.CATALOG),
        ("secrets/a", Drop.SECRETS),
        ("bundles/a", Drop.BUNDLES),
        ("model-bundles/a/b", Drop.BUNDLES),
        (f"data/x/{UUID}/n/latest/raw", Drop.THROUGH_LINK),
        ("../etc/passwd", Drop.BAD_KEY),
        ("/etc/passwd", Drop.BAD_KEY),
        ("a//b", Drop.BAD_KEY),
        ("a\\b", Drop.BAD_KEY),
        ("a\0b", Drop.BAD_KEY),
        ("", Drop.BAD_KEY),
        ("files/" + "k" * 1100, Drop.BAD_KEY),
    ],
)
def test_classification(rel: str, expected: Kind | Drop) -> None:
    assert PLAIN.classify(rel) == expected


@pytest.mark.parametrize("rel", NOT_DATA)
def test_what_the_generator_calls_not_data_is_dropped(rel: str) -> None:
    assert isinstance(PLAIN.classify(rel), Drop)


@pytest.mark.parametrize(
    ("rel", "expected"),
    [
        ("pipeline/data/x/m/n/1/raw", Drop.NESTED_NAMESPACE),
        ("neighbour/data/x/m/n/1/raw", Drop.OTHER_NAMESPACE),
        ("neighbours/a", Kind.OPAQUE),
        ("neighbour", Kind.OPAQUE),
        ("files/pipeline/a", Kind.OPAQUE),
    ],
)
def test_namespaces(rel: str, expected: Kind | Drop) -> None:
    assert IN_NS.classify(rel) == expected


def test_without_a_namespace_the_others_are_left_out() -> None:
    rules = Rules(Place(), {"pipeline"})
    assert rules.classify("pipeline/data/x/m/n/1/raw") == Drop.OTHER_NAMESPACE
    assert rules.classify("data/x/m/n/1/raw") == Kind.RAW


@pytest.mark.parametrize("place", [Place(), Place("", "data"), Place("", "other")])
def test_a_namespace_called_like_a_folder_of_the_layout_costs_no_data(place: Place) -> None:
    assert Rules(place, {"data", "other"}).classify("data/x/m/n/1/raw") == Kind.RAW


names = st.sampled_from(["decision", "207333", "1", "latest", "raw", "metadata.yaml", "a b", "ü"])


@given(
    st.lists(names, min_size=1, max_size=4),
    names,
    names,
    st.integers(0, 10**9),
    st.sampled_from(["raw", "metadata.yaml"]),
)
def test_a_datum_is_read_back_from_its_path(
    type_parts: list[str], model: str, name: str, number: int, leaf: str
) -> None:
    of = DataName("/".join(type_parts), model, name)
    kind = Kind.RAW if leaf == "raw" else Kind.METADATA
    assert parse_data(f"data/{of.type}/{model}/{name}/{number}/{leaf}") == DataPath(of, number, kind)
    assert parse_data(f"data/{of.type}/{model}/{name}/latest") == DataPath(of, None, Kind.LATEST)


@given(st.text(max_size=80), st.frozensets(st.text(min_size=1, max_size=5), max_size=3))
def test_every_text_has_one_classification(rel: str, others: frozenset[str]) -> None:
    assert isinstance(Rules(Place("", "ns"), others).classify(rel), Kind | Drop)


@pytest.mark.parametrize("text", ["", "01", "-1", "1.0", "1e3", " 1", "٣", "²", "1" * 16, "x"])
def test_what_is_not_a_version_number(text: str) -> None:
    assert version_number(text) is None


def test_a_version_is_a_numeric_folder_with_metadata() -> None:
    rels = [
        "data/t/m/207333/2/raw",
        "data/t/m/207333/2/metadata.yaml",
        "data/t/m/207333/9/raw",
        "data/t/m/207333/latest",
    ]
    rels += ["data/t/m/207333/10/metadata.yaml", "outputs/metadata.yaml"]
    assert versions(rels) == {DataName("t", "m", "207333"): [2, 10]}


@pytest.mark.parametrize(
    ("said", "expected"),
    [("2", 2), ("2\n", 2), ("2/", 2), (" 2/ \n", 2), ("7", 10), ("newest", 10), ("", 10), (None, 10), ("02", 10)],
)
def test_latest(said: str | None, expected: int) -> None:
    assert latest_version(said, [1, 2, 10]) == expected
    assert latest_version(said, []) is None


def test_places_locations_and_locks() -> None:
    place, root = Place("team/", "ops"), Place("team/")
    assert (place.base, root.base, Place().base, place.root) == ("team/ops/", "team/", "", root)
    assert locations(place, "a", root_lists=True) == ("team/ops/a", "team/a")
    assert locations(place, "a", root_lists=False) == ("team/ops/a",)
    assert locations(root, "a", root_lists=True) == ("team/a",)
    assert lock_names(place) == ("team/ops/.datastore.lock", "team/.locks/ops.lock", "team/.datastore.lock")
    assert lock_names(root) == ("team/.datastore.lock",)


def test_a_question_mark_in_a_local_path_begins_no_parameters() -> None:
    """Else /data/a/c?b would lie below /data/a?b, and entries would refer to objects of the wrong store."""
    ours, theirs = _split("file:///data/a?b"), _split("file:///data/a/c?b")
    assert ours[1] == theirs[1] == ""
    assert _below(ours[0], theirs[0]) is None
    assert _below(ours[0], _split("file:///data/a?b/old/")[0]) == "old/"
    assert _split("s3://bucket/old?region=x") == ("s3://bucket/old", "region=x")
