"""The rate limit, on a clock that only moves when somebody sleeps."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from swampstore.errors import BadConfig
from swampstore.limits import MIB
from swampstore.workers.sync.throttle import parse_rate
from tests.sync.machines import Machine
from tests.sync.virtual import VirtualEnv

Make = Callable[..., Machine]
RATE = 2 * MIB


@pytest.fixture
def pair(machine: Make) -> tuple[Machine, Machine]:
    """A machine with 24 MB in small files, middling ones and one large file, and an empty one."""
    a, b = machine("a"), machine("b")
    for number in range(600):
        a.write(f"small/{number}", os.urandom(5_000))
    for number in range(5):
        a.write(f"middle/{number}", os.urandom(600_000))
    a.write("large", os.urandom(17 * MIB))
    return a, b


def test_both_directions_keep_the_rate(pair: tuple[Machine, Machine]) -> None:
    total = 600 * 5_000 + 5 * 600_000 + 17 * MIB
    directions: tuple[dict[str, Any], ...] = ({"pull": False}, {"push": False})
    for one, options in zip(pair, directions, strict=True):
        one.env = env = VirtualEnv()
        one.sync(limit_rate=RATE, **options)
        assert total / RATE * 0.6 < env.slept < total / RATE * 1.2, options
        most = max(env.pauses)
        assert most < 10, "one pause stands for one burst: they must stay small"
    assert pair[0].files() == pair[1].files()


def test_without_a_limit_nobody_waits(pair: tuple[Machine, Machine]) -> None:
    for one in pair:
        one.env = env = VirtualEnv()
        one.sync()
        assert env.slept == 0


@pytest.mark.parametrize(
    ("text", "rate"), [("5M", 5 * MIB), ("800k", 800 * 1024), ("1.5G", 1536 * MIB), ("20000", 20_000)]
)
def test_rates(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "M", "fast", "5T", "-1M", "0", "nan", "inf", "1e99"])
def test_bad_rates(text: str) -> None:
    with pytest.raises(BadConfig):
        parse_rate(text)
