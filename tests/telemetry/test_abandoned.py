"""A coroutine that nobody waits for any more is ended wherever its last reference goes: in the middle of another's work."""

from __future__ import annotations

import types
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from swampstore.env.phases import Operation, current, during, leave, measured
from swampstore.testing.env import FakeEnv

ENV = FakeEnv()


@types.coroutine
def pause() -> Generator[None, None, None]:
    yield


async def inside(block: Any) -> None:
    with block:
        await pause()


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    leave()


BLOCKS: dict[str, Callable[[], Any]] = {
    "measured": lambda: measured(ENV.boot, "encode"),
    "an operation": lambda: Operation(ENV, "get", "list_root"),
}


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
def test_another_stopwatch_goes_on(make: Callable[[], Any]) -> None:
    abandoned = inside(make())
    abandoned.send(None)
    with measured(ENV.boot, "encode") as mine:
        del abandoned
        assert current() is mine


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
def test_its_own_is_over_when_it_is_closed(make: Callable[[], Any]) -> None:
    closed = inside(make())
    closed.send(None)
    closed.close()
    assert current() is None


def test_what_is_apart_from_another_is_no_concern_of_it() -> None:
    with measured(ENV.boot, "encode"):
        abandoned = inside(during("build", apart=True))
        abandoned.send(None)
        with measured(ENV.boot, "encode") as mine:
            del abandoned
            assert current() is mine
