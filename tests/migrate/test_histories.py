"""Random histories at a source that is migrated now and then, by processes that die: the copy is the same in the end."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from swampstore.workers import ground
from tests.migrate.support import BIG, Pair, contents, everything
from tests.workers.world import DAY_S, Crash

KEYS = [f"k/{number}" for number in range(10)]


def step(pair: Pair, dice: random.Random) -> None:
    ns = pair.old()
    what = dice.random()
    if what < 0.4:
        ns.put(dice.choice(KEYS), dice.choice((b"x", b"p" * 9000, BIG)) + dice.randbytes(4))
    elif what < 0.55:
        ns.delete(dice.choice(KEYS))
    elif what < 0.65:
        ns.stream(dice.choice(("one", "two"))).append([dice.randbytes(4)])
    elif what < 0.75:
        ns.data("t:m", dice.choice("ab")).put(dice.randbytes(4))
    elif what < 0.8:
        ns.audit("topic").write(dice.randbytes(4))
    elif what < 0.9:
        ns.compact()
    else:
        pair.env.advance(dice.random() * DAY_S / 4)


def broken_off(pair: Pair, dice: random.Random) -> None:
    """A migration that dies somewhere (or is done before that)."""
    left = [dice.randrange(60)]

    def before(verb: str, name: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Crash

    pair.source.before = pair.target.before = before
    with suppress(Crash):
        pair.migrate()
    pair.calm()


@pytest.mark.parametrize("seed", range(25))
def test_the_copy_is_the_same_in_the_end(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "BATCH_RECORDS", 5)
    dice = random.Random(seed)
    pair = Pair(seed)
    pair.old().put(KEYS[0], b"first")
    for _ in range(30):
        step(pair, dice)
        if dice.random() < 0.15:
            broken_off(pair, dice)
        elif dice.random() < 0.1:
            pair.new().compact()
    report = pair.migrate(verify="full")
    assert not report.incomplete
    assert contents(pair.new()) == contents(pair.old())
    wanted, found = everything(pair, pair.source), everything(pair, pair.target)
    assert {key: value for key, value in found.items() if key in wanted} == wanted
    again = pair.migrate()
    assert (again.copied, again.tombstones, again.stream_records, again.audit) == (0, 0, 0, 0)
