"""Segments that are damaged before they are folded cost what was in them, and nothing else; a history for every seed."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from swampstore.workers import sweep_log
from tests.damage.history import History

EVERYDAY, PROVED, BLOCKS = 60, 5000, 10


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.CRITICAL, "swampstore"):
        yield


@pytest.mark.parametrize("seed", range(EVERYDAY))
def test_what_was_damaged_is_gone_and_nothing_else(seed: int) -> None:
    History(seed).play()


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_many(block: int) -> None:
    for seed in range(1000 + block, 1000 + PROVED, BLOCKS):
        try:
            History(seed).play()
        except AssertionError as error:
            raise AssertionError(f"History({seed}): {error}") from error


def test_a_sweep_that_forgets_the_quarantine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_log, "_kept", lambda _roots: set())
    assert any(fails(seed) for seed in range(20))


def fails(seed: int) -> bool:
    try:
        History(seed).play()
    except AssertionError:
        return True
    return False


def test_damage_is_met() -> None:
    """Most histories lose something: a reader that were served all of it would fail them."""
    losses = 0
    for seed in range(10):
        history = History(seed)
        history.play()
        losses += len(history._lost())
    assert losses > 10
