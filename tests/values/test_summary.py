"""Summaries: joined in any grouping they say what one made of everything says, and never too little."""

from __future__ import annotations

import random

import msgspec
import pytest

from swampstore.values import run as run_format
from swampstore.values.data import Datum, raw_path
from swampstore.values.entry import Inline, Meta, Record, put_record, tombstone
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, build_run, decode_index, index_span
from swampstore.values.summary import NOTHING, Fact, Summary, concerned, fact_of, joined, rule_of, summary_of
from swampstore.values.version import make_version
from swampstore.workers.gc.rules import Version, given_up

DAY_MS = 86_400_000
KEEPS = ("", "1", "2", "3", "1h", "1d")


def record(item: str, ordinal: int, *, keep: str = "", created: int = 1, expires: int = 0) -> Record:
    datum = Datum("t", "m", item, ordinal, keep=keep)
    meta = Meta(size=1, at=Inline(b"x"), created=created, data=datum)
    version = make_version(ordinal + 1, b"w" * 12, 0)
    return put_record(raw_path(datum.item, ordinal), version, meta, expires=expires)


def some(dice: random.Random, count: int) -> list[Record]:
    found = {}
    for _ in range(count):
        made = record(
            dice.choice("abcdefgh"),
            dice.randrange(30),
            keep=dice.choice(KEEPS),
            created=dice.randrange(1, 3 * DAY_MS),
            expires=dice.choice((0, 0, dice.randrange(1, 3 * DAY_MS))),
        )
        found[made.key] = made if dice.random() < 0.9 else tombstone(made.key, made.version)
    return [found[key] for key in sorted(found)]


def cut(dice: random.Random, records: list[Record]) -> list[list[Record]]:
    cuts = sorted(dice.randrange(len(records) + 1) for _ in range(dice.randrange(6)))
    return [records[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True)]


def grouped(dice: random.Random, parts: list[Summary]) -> Summary:
    while len(parts) > 1:
        at = dice.randrange(len(parts) - 1)
        parts = [*parts[:at], joined(parts[at : at + 2]), *parts[at + 2 :]]
    return parts[0]


@pytest.mark.parametrize("seed", range(200))
def test_joined_in_any_grouping(seed: int) -> None:
    dice = random.Random(seed)
    records = some(dice, dice.randrange(1, 60))
    parts = [summary_of(part) for part in cut(dice, records)]
    assert grouped(dice, parts) == joined(parts) == summary_of(records)


@pytest.mark.parametrize("seed", range(300))
def test_never_too_late(seed: int) -> None:
    """Every part that holds a version retention gives up, or one of the same item, is concerned at that time."""
    dice = random.Random(seed)
    records = some(dice, dice.randrange(1, 80))
    parts = cut(dice, records)
    now = dice.randrange(1, 5 * DAY_MS)
    items: dict[str, list[Version]] = {}
    for made in records:
        fact = fact_of(made)
        if fact is not None and not 0 < made.expires <= now:
            items.setdefault(fact.item, []).append(Version(fact))
    acting = {item for item, versions in items.items() if given_up(versions, (), now)}
    numbers = concerned([summary_of(part) for part in parts], now).numbers
    for number, part in enumerate(parts):
        if any((fact := fact_of(made)) is not None and fact.item in acting for made in part):
            assert number in numbers


def test_quiet_items_are_not_looked_at() -> None:
    """Where nothing is to be done and nothing comes due, no part is concerned."""
    records = sorted((record("abc"[at % 3], at, keep="20") for at in range(60)), key=lambda made: made.key)
    parts = [summary_of(records[start : start + 7]) for start in range(0, 60, 7)]
    assert not concerned(parts, 10 * DAY_MS).numbers
    assert joined(parts).versions == 60


def test_an_item_among_the_versions_of_another_is_always_looked_at() -> None:
    outer = record("a", 1)
    datum = Datum("t/m", "a", "10", 1)
    inner = put_record(raw_path(datum.item, 1), b"v" * 24, Meta(size=0, at=Inline(b""), data=datum))
    records = sorted([outer, inner, record("a", 2)], key=lambda made: made.key)
    assert concerned([summary_of(records)], 1).numbers == {0}
    assert concerned([summary_of([made]) for made in records], 1).numbers >= {0, 1}


def test_rules_as_text() -> None:
    assert rule_of("5") == (5, None)
    assert rule_of("0") == (1, None)  # the newest stays
    assert rule_of("2h") == (0, 7_200_000)
    assert rule_of("") == rule_of("nonsense") == (0, None)


def test_what_is_no_version_says_nothing() -> None:
    plain = put_record("data/t/m/a/1/raw", b"v" * 24, Meta(size=0, at=Inline(b"")))
    assert fact_of(plain) is None
    assert summary_of([plain]) == NOTHING
    made = fact_of(record("a", 3, keep="2", created=7, expires=9))
    assert made == Fact("data/t/m/a", 3, 2, None, 7, 9)


def test_indexes_and_roots_from_before_there_were_summaries() -> None:
    ref, data = build_run("l0/" + "0" * 32, [record("a", number) for number in range(3)])
    at, length = index_span(ref)
    (info,) = decode_index(data[at : at + length], "x")
    assert info.summary.versions == ref.summary.versions == 3
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.to_builtins(info)[:-2]), type=BlockInfo)
    assert old == msgspec.structs.replace(info, summary=NOTHING, form=1)
    raw = msgspec.msgpack.encode([getattr(ref, field) for field in ref.__struct_fields__[:-2]])
    assert msgspec.msgpack.decode(raw, type=RunRef).summary == NOTHING
    assert run_format.FORMAT == 2
