"""The conflict rule as laws: order, duplicates and grouping change no winner, and nothing vanishes uncounted."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.values import join
from swampstore.values.entry import CONFLICT, HAS_BASE, Inline, Meta, Record, put_record, record_sum, tombstone
from swampstore.values.join import conflict_key, conflict_of, join_counted, join_into, kept_loser, newer
from swampstore.values.keys import INTERNAL
from swampstore.values.version import just_above, make_version, refined
from tests.values.strategies import put, records

batches = st.lists(records, max_size=12)


def winners(*parts: list[Record]) -> dict[str, Record]:
    table: dict[str, Record] = {}
    for part in parts:
        join_into(table, part)
    return {key: record for key, record in table.items() if conflict_of(key) is None}


def total(items: object) -> int:
    return sum(map(record_sum, items))  # type: ignore[call-overload]


@given(records, records, records)
def test_newer_is_a_join(a: Record, b: Record, c: Record) -> None:
    a, b, c = (msgspec.structs.replace(record, key="k") for record in (a, b, c))
    assert newer(a, b) == newer(b, a)
    assert newer(a, newer(b, c)) == newer(newer(a, b), c)
    assert newer(a, a) == a
    assert newer(a, b).version == max(a.version, b.version)


@given(batches, st.randoms(use_true_random=False))
def test_order_does_not_matter(batch: list[Record], dice: random.Random) -> None:
    shuffled = batch[:]
    dice.shuffle(shuffled)
    assert winners(batch) == winners(shuffled)


@given(batches, batches, batches)
def test_grouping_does_not_matter(a: list[Record], b: list[Record], c: list[Record]) -> None:
    joined_first: dict[str, Record] = {}
    join_into(joined_first, b)
    join_into(joined_first, c)
    assert winners(a, b, c) == winners(a, list(joined_first.values()))


@given(batches, batches)
def test_doing_it_twice_changes_nothing(a: list[Record], b: list[Record]) -> None:
    table: dict[str, Record] = {}
    join_into(table, a + b)
    once = dict(table)
    join_into(table, list(once.values()))
    assert table == once
    join_into(table, b)
    assert {k: r for k, r in table.items() if conflict_of(k) is None} == winners(a, b)


@given(batches, batches)
def test_sums_are_conserved_conflict_entries_included(a: list[Record], b: list[Record]) -> None:
    table: dict[str, Record] = {}
    for batch in (a, b):
        before = total(table.values()) + total(batch)
        count = len(table) + len(batch)
        dropped, made = join_counted(table, batch)
        assert before + total(made) == total(table.values()) + total(dropped)
        assert count + len(made) == len(table) + len(dropped)


@given(batches)
def test_winners_are_what_a_plain_maximum_says(batch: list[Record]) -> None:
    best: dict[str, tuple[bytes, bytes, int, int]] = {}
    for record in batch:
        rank = (record.version, record.value, record.flags, record.expires)
        best[record.key] = max(rank, best.get(record.key, rank))
    assert {k: (r.version, r.value, r.flags, r.expires) for k, r in winners(batch).items()} == best


# --- conflict entries -------------------------------------------------------------------------------------------------

ONE, TWO, THREE = (put("k", hlc, data=bytes([hlc])) for hlc in (1, 2, 3))


def mine(hlc: int, base: Record, data: bytes = b"mine") -> Record:
    return put("k", hlc, base=base.version, data=data)


def test_a_put_the_winners_maker_had_not_seen_is_kept() -> None:
    winner = mine(3, base=ONE)
    kept = kept_loser(winner, TWO)
    assert kept is not None
    assert kept.key == conflict_key("k", TWO.version)
    assert conflict_of(kept.key) == "k"
    assert INTERNAL in kept.key
    assert kept.flags & CONFLICT
    assert (kept.version, kept.value) == (TWO.version, TWO.value)
    table: dict[str, Record] = {}
    join_into(table, [TWO, winner])
    assert table == {"k": winner, kept.key: kept}


def test_the_base_itself_and_what_is_older_is_not_kept() -> None:
    assert kept_loser(mine(3, base=TWO), TWO) is None
    assert kept_loser(mine(3, base=TWO), ONE) is None


def test_equal_contents_make_no_conflict() -> None:
    assert kept_loser(mine(3, base=ONE, data=b"\2"), TWO) is None


def test_contents_without_a_hash_are_not_called_equal() -> None:
    bare = put_record("k", make_version(2, b"w" * 12, 0), Meta(size=1, at=Inline(b"x")))
    winner = put_record("k", make_version(3, b"w" * 12, 0), Meta(size=1, at=Inline(b"y"), base=ONE.version))
    assert kept_loser(winner, bare) is not None


def test_tombstones_neither_keep_nor_are_kept() -> None:
    gone = tombstone("k", make_version(2, b"x" * 12, 0))
    assert kept_loser(mine(3, base=ONE), gone) is None
    assert kept_loser(tombstone("k", just_above(ONE.version), base=ONE.version), ONE) is None
    assert not tombstone("k", TWO.version).flags & HAS_BASE


def test_a_plain_put_keeps_nobody() -> None:
    assert kept_loser(THREE, TWO) is None


def test_a_conflict_entry_met_twice_is_one() -> None:
    winner = mine(3, base=ONE)
    table: dict[str, Record] = {}
    dropped, made = join_counted(table, [TWO, winner, TWO])
    assert len(table) == 2
    assert len(made) == 2  # TWO lost twice
    assert total([TWO, winner, TWO]) + total(made) == total(table.values()) + total(dropped)


def test_a_settled_conflict_stays_settled_when_its_loser_comes_again() -> None:
    winner = mine(3, base=ONE)
    kept = kept_loser(winner, TWO)
    assert kept is not None
    settled = tombstone(kept.key, just_above(kept.version), base=kept.version)
    table: dict[str, Record] = {}
    join_into(table, [TWO, winner, settled, TWO])
    assert table == {"k": winner, kept.key: settled}


def test_conflict_entries_sort_right_behind_their_path() -> None:
    keys = sorted(["k", conflict_key("k", TWO.version), "k/a", "k\x01", "ka", "j"])
    assert keys.index(conflict_key("k", TWO.version)) == keys.index("k") + 1


def test_paths_that_hold_no_mark_have_no_conflict() -> None:
    assert conflict_of("k") is None
    assert conflict_of("\0lock\0k") is None


def better_placed(record: Record) -> Record:
    return msgspec.structs.replace(record, version=refined(record.version))


def test_a_put_said_again_in_a_better_place_is_no_conflict() -> None:
    winner, moved = mine(3, base=ONE), better_placed(TWO)
    assert kept_loser(better_placed(winner), winner) is None
    assert kept_loser(mine(3, base=moved), TWO) is None
    assert kept_loser(mine(3, base=TWO), moved) is None
    one, other = kept_loser(winner, TWO), kept_loser(winner, moved)
    assert one is not None
    assert other is not None
    assert one.key == other.key


def test_it_would_be_one_if_versions_were_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "put_of", lambda version: version)
    assert kept_loser(mine(3, base=TWO), better_placed(TWO)) is not None
