"""Blocks as columns say what their records say, and joining them is joining the records."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.errors import CorruptObject, Inconsistent
from swampstore.values import block as block_module
from swampstore.values import live
from swampstore.values.block import COLUMNS, RECORDS, Block, decode_columns, encode_block, join_blocks
from swampstore.values.bounds import is_version
from swampstore.values.entry import CONFLICT, Inline, Meta, Record, entry_of, put_record, record_sum, tombstone
from swampstore.values.join import join_counted
from swampstore.values.summary import earliest, summary_of
from swampstore.values.version import just_above, make_version, refined
from tests.values.strategies import put

KEYS = st.sampled_from([f"k/{number:02}" for number in range(40)])


def version(number: int) -> bytes:
    return make_version(number, b"w" * 12, 0)


@st.composite
def one_record(draw: st.DrawFn) -> Record:
    key, number = draw(KEYS), draw(st.integers(2, 9))
    meta = Meta(size=1, at=Inline(draw(st.binary(max_size=3))))
    match draw(st.sampled_from(["put", "based", "refined", "gone", "gone exactly", "expiring"])):
        case "put":
            return put_record(key, version(number), meta)
        case "based":
            base = version(draw(st.integers(0, number - 1)))
            return put_record(key, version(number), msgspec.structs.replace(meta, base=base))
        case "refined":
            return put_record(key, refined(version(number)), meta)
        case "gone":
            return tombstone(key, version(number))
        case "gone exactly":
            return tombstone(key, just_above(version(number)), base=version(number))
    return put_record(key, version(number), meta, expires=draw(st.integers(1, 100)))


def stretches(most: int) -> st.SearchStrategy[list[Record]]:
    """Records in key order, one a key."""
    return st.lists(one_record(), max_size=most).map(
        lambda made: [record for _, record in sorted({record.key: record for record in made}.items())]
    )


@given(stretches(40), stretches(40))
def test_joining_blocks_is_joining_their_records(held: list[Record], more: list[Record]) -> None:
    for first, second in ((held, more), (held, more[:2])):  # of like size, and a few into many
        table = {record.key: record for record in first}
        dropped, made = join_counted(table, second)
        joint = join_blocks(Block.of(first), Block.of(second))
        assert joint.block.records() == [table[key] for key in sorted(table)]
        by_all = msgspec.msgpack.encode
        assert sorted(joint.dropped, key=by_all) == sorted(dropped, key=by_all)
        assert sorted(joint.made, key=by_all) == sorted(made, key=by_all)
        assert joint.block.sum + sum(map(record_sum, dropped)) == sum(map(record_sum, [*first, *second, *made]))


@given(stretches(40))
def test_a_block_says_what_its_records_say(records: list[Record]) -> None:
    rows = Block.of(records)
    assert rows.records() == records
    assert rows.sum == sum(map(record_sum, records))
    assert rows.flagged(1) == sum(record.gone for record in records)
    assert rows.expires_first == earliest(record.expires for record in records)
    assert rows.summary == summary_of(records)
    assert [rows.find(f"k/{n:02}") for n in range(40)] == [
        next((record for record in records if record.key == f"k/{n:02}"), None) for n in range(40)
    ]
    assert rows.between("k/10", "k/20").records() == [r for r in records if "k/10" <= r.key <= "k/20"]
    assert rows.without([0, 2]).records() == [record for n, record in enumerate(records) if n not in (0, 2)]


@given(stretches(40), st.integers(0, 100))
def test_entries_of_a_block_are_those_of_its_records(records: list[Record], now: int) -> None:
    found = live.live_entries(Block.of(records), now)
    assert found == [entry_of(r) for r in records if not r.gone and not 0 < r.expires <= now]


def test_internal_keys_are_no_entries_and_an_entry_that_cannot_be_read_is_named() -> None:
    shown, hidden = put("a", 1), put("a\0conflict\0" + "0" * 48, 1)
    assert [entry.key for entry in live.live_entries(Block.of([shown, hidden]), 0)] == ["a"]
    broken = Record("b", version(1), 0, 0, b"\xc1")
    with pytest.raises(CorruptObject, match="'b'"):
        live.live_entries(Block.of([shown, broken]), 0)


@given(stretches(20))
def test_both_forms_are_read(records: list[Record]) -> None:
    rows = Block.of(records)
    assert decode_columns(encode_block(rows), COLUMNS, len(rows), "obj") == rows
    assert decode_columns(msgspec.msgpack.encode(records), RECORDS, len(rows), "obj") == rows


def test_what_is_no_block_is_named() -> None:
    rows = Block.of([put("a", 1), put("b", 2)])
    raw = encode_block(rows)
    lies = {
        "another count": (raw, COLUMNS, 3),
        "another form": (raw, 3, 2),
        "a short column": (encode_block(Block(rows.keys, rows.versions, rows.flags, [0], rows.values)), COLUMNS, 2),
        "no version": (encode_block(Block(rows.keys, [b"x", b"y"], rows.flags, rows.expires, rows.values)), COLUMNS, 2),
        "a byte less": (raw[:-1], COLUMNS, 2),
    }
    for case, (body, form, count) in lies.items():
        with pytest.raises(CorruptObject, match="obj"):
            decode_columns(body, form, count, "obj")
        assert case


def test_columns_that_do_not_belong_together_are_not_written() -> None:
    rows = Block.of([put("a", 1), put("b", 2)])
    with pytest.raises(Inconsistent, match="rise"):
        rows.pick([1, 0]).check()
    with pytest.raises(Inconsistent, match="length"):
        Block(rows.keys, rows.versions[:1], rows.flags, rows.expires, rows.values).check()


def test_carried_records_become_no_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few changes among many records: only what meets a record of its key is looked at."""
    many = Block.of([put(f"k/{number:04}", 1) for number in range(1000)])
    few = Block.of([put("k/0005", 2), put("k/0500x", 2), put("k/0999", 2)])
    looked: list[str] = []
    inner = Block.record

    def counting(self: Block, at: int) -> Record:
        looked.append(self.keys[at])
        return inner(self, at)

    monkeypatch.setattr(block_module.Block, "record", counting)
    joint = join_blocks(many, few)
    assert sorted(looked) == ["k/0005", "k/0005", "k/0999", "k/0999"]
    assert len(joint.block) == 1001
    carried = joint.block.values[joint.block.keys.index("k/0700")]
    assert carried is many.values[700]
    assert is_version(joint.block.versions[0])
    assert not joint.block.flagged(CONFLICT)
