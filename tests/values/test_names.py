"""Names: what forms them parses them back, and nothing foreign is taken for ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.values.names import Names, lane_writer, shared_lane, unique, unique_ms, writer_lane
from swampstore.values.version import make_writer_id, writer_birth

NS = Names("team.a")
writers = st.binary(min_size=12, max_size=12)
slots = st.integers(1, (1 << 64) - 1)
lanes = st.one_of(writers.map(writer_lane), st.integers(0, 99).map(shared_lane))
kinds = st.sampled_from(["l0", "shard", "blob", "pack", "pin"])
parts = st.builds(unique, st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10))


@given(lanes, slots)
def test_segments_round_trip(lane: str, slot: int) -> None:
    name = NS.segment(lane, slot)
    assert NS.parse_segment(name) == (lane, slot)
    assert NS.parse_unique(name) is None
    assert NS.is_ours(name)


@given(kinds, parts)
def test_unique_names_round_trip(kind: str, part: str) -> None:
    name = NS.unique(kind, part)  # type: ignore[arg-type]
    assert NS.parse_unique(name) == (kind, part)
    assert NS.parse_segment(name) is None
    assert NS.is_ours(name)
    assert name.startswith(NS.folder(kind))  # type: ignore[arg-type]


@given(st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10))
def test_a_unique_part_tells_its_time(ms: int, dice: bytes) -> None:
    assert unique_ms(unique(ms, dice)) == ms
    assert len(unique(ms, dice)) == 32


@given(writers)
def test_lanes_tell_their_writer(writer: bytes) -> None:
    assert lane_writer(writer_lane(writer)) == writer
    assert lane_writer(shared_lane(3)) is None


@given(st.integers(0, (1 << 48) - 1), st.binary(min_size=6, max_size=6))
def test_writer_ids_tell_their_birth(ms: int, dice: bytes) -> None:
    assert writer_birth(make_writer_id(ms, dice)) == ms


@given(lanes, slots, slots)
def test_names_of_a_lane_sort_by_slot(lane: str, a: int, b: int) -> None:
    assert (NS.segment(lane, a) < NS.segment(lane, b)) == (a < b)


@given(writers, st.integers(0, 99))
def test_shared_lanes_list_first(writer: bytes, number: int) -> None:
    assert NS.segment(shared_lane(number), 1 << 60) < NS.segment(writer_lane(writer), 1)


LANE = "w" + "0" * 24


@pytest.mark.parametrize(
    "name",
    [
        "team.a/log/",
        "team.a/log/s00",
        "team.a/log/s00/",
        "team.a/log/s0/0000000000000001",
        "team.a/log/s000/0000000000000001",
        "team.a/log/s00/0000000000000000",  # slots count from 1
        "team.a/log/s00/000000000000001",
        "team.a/log/s00/00000000000000001",
        "team.a/log/s00/000000000000000A",  # one spelling only
        "team.a/log/s00/0000000000000001.tmp",
        "team.a/log/s00/0000000000000001/x",
        "team.a/log/s00/0000000000000001\n",
        "team.a/log/w00/0000000000000001",
        f"team.a/log/{LANE.upper()}/0000000000000001",
        f"teamxa/log/{LANE}/0000000000000001",  # the dot is no wildcard
        f"other/log/{LANE}/0000000000000001",
        f"x/team.a/log/{LANE}/0000000000000001",
        f"team.a/logs/{LANE}/0000000000000001",
        "team.a/log/s٠٠/0000000000000001",  # digits of another script  # noqa: RUF001
        "",
    ],
)
def test_foreign_names_are_no_segments(name: str) -> None:
    assert NS.parse_segment(name) is None
    assert not NS.is_ours(name)


@pytest.mark.parametrize(
    "name",
    [
        "team.a/blob/",
        "team.a/blob/" + "0" * 31,
        "team.a/blob/" + "0" * 33,
        "team.a/blob/" + "A" * 32,
        "team.a/blobs/" + "0" * 32,
        "team.a/blob/" + "0" * 32 + "/x",
        "team.a/blob/" + "0" * 32 + "\n",
        "other/blob/" + "0" * 32,
        "team.a/notes.txt",
        "team.a/root2",
        "team.a/",
    ],
)
def test_foreign_names_are_no_objects_of_ours(name: str) -> None:
    assert NS.parse_unique(name) is None
    assert not NS.is_ours(name)


@given(st.text(max_size=60))
def test_any_text_parses_or_is_foreign(text: str) -> None:
    for name in (text, NS.log + text, NS.prefix + text):
        segment, unique_name = NS.parse_segment(name), NS.parse_unique(name)
        assert segment is None or NS.segment(*segment) == name
        assert unique_name is None or f"{NS.prefix}{unique_name[0]}/{unique_name[1]}" == name


def test_folders_do_not_contain_each_other() -> None:
    folders = [NS.log, *(NS.folder(kind) for kind in ("l0", "shard", "blob", "pack", "pin")), NS.saved(""), NS.root]
    assert all(a == b or not a.startswith(b) for a in folders for b in folders)
