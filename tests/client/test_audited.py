"""``@audited``: what is on record of a call, and what happens when it cannot be written."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import swampstore
from swampstore.errors import Misuse, StoreUnavailable, TooLarge

URL = "memory://audited"


@pytest.fixture
def topic() -> Any:
    with swampstore.open(f"{URL}-{id(object())}") as store:
        yield store.namespace("ops").audit("calls")


def kept(topic: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in record.data.items() if name != "seconds"} for record in topic.read()]


def test_a_call_is_on_record_when_it_returns(topic: Any) -> None:
    @swampstore.audited(topic, call="choose", arguments=["region", "size"])
    def choose(region: str, token: str, *, size: int = 3) -> dict[str, str]:
        assert kept(topic) == []
        return {"provider": region}

    assert choose("eu", token="secret") == {"provider": "eu"}
    assert kept(topic) == [{"call": "choose", "arguments": {"region": "eu", "size": 3}, "result": {"provider": "eu"}}]
    assert choose.__name__ == "choose"


def test_results_are_shaped_or_left_out(topic: Any) -> None:
    assert swampstore.audited(topic, call="a", result=False)(lambda: object()) is not None
    quiet = swampstore.audited(topic, call="a", result=False)(lambda: object())
    shaped = swampstore.audited(topic, call="b", result=len)(lambda: [1, 2])
    quiet()
    assert shaped() == [1, 2]
    assert kept(topic) == [{"call": "a"}, {"call": "b", "result": 2}]


def test_a_result_that_cannot_be_recorded_is_an_error(topic: Any) -> None:
    with pytest.raises(Misuse) as refused:
        swampstore.audited(topic, call="odd")(lambda: object())()
    assert "result=False" in refused.value.__notes__[0]
    with pytest.raises(TooLarge):
        swampstore.audited(topic, call="large")(lambda: "x" * 400_000)()
    found = [(one["call"], one["error"][:33]) for one in kept(topic)]
    assert found == [("odd", "the result could not be recorded:"), ("large", "the result could not be recorded:")]


def test_neither_is_one_of_asyncio() -> None:
    async def main() -> None:
        async with await swampstore.open_async(f"{URL}-odd") as store:
            topic = store.namespace("ops").audit("calls")

            @swampstore.audited(topic, call="odd")
            async def odd() -> object:
                return object()

            with pytest.raises(Misuse):
                await odd()
            (record,) = [one.data async for one in topic.read()]
            assert isinstance(record, dict)
            assert record["call"] == "odd"

    asyncio.run(main())


def test_an_error_is_on_record_and_raised(topic: Any) -> None:
    @swampstore.audited(topic, call="fails")
    def fails() -> None:
        raise ValueError("no such region")

    with pytest.raises(ValueError, match="no such region"):
        fails()
    assert kept(topic) == [{"call": "fails", "error": "ValueError: no such region"}]


def test_no_result_without_a_record(topic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreUnavailable("no route")

    monkeypatch.setattr(type(topic), "write", refuse)
    with pytest.raises(StoreUnavailable):
        swampstore.audited(topic)(lambda: 1)()

    def fails() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        swampstore.audited(topic)(fails)()
    assert "no route" in caught.value.__notes__[0]


def test_coroutine_functions(topic: Any) -> None:
    async def main() -> None:
        async with await swampstore.open_async(f"{URL}-async") as store:
            calls = store.namespace("ops").audit("calls")

            @swampstore.audited(calls, call="double", arguments=["n"])
            async def double(n: int) -> int:
                if n < 0:
                    raise ValueError("negative")
                return 2 * n

            assert await double(4) == 8
            with pytest.raises(ValueError, match="negative"):
                await double(-1)
            found = [record.data async for record in calls.read()]
            assert [(data.get("result"), data.get("error")) for data in found] == [
                (8, None),
                (None, "ValueError: negative"),
            ]
            with pytest.raises(Misuse):
                swampstore.audited(calls)(lambda: 1)

    asyncio.run(main())

    async def coroutine() -> None:
        pass

    with pytest.raises(Misuse):
        swampstore.audited(topic)(coroutine)


@pytest.mark.parametrize("arguments", [["nothing"], "n"])
def test_parameters_that_are_not_there(topic: Any, arguments: Any) -> None:
    with pytest.raises(Misuse):
        swampstore.audited(topic, arguments=arguments)(lambda n: n)


def test_generator_functions_are_refused_when_decorated() -> None:
    topic = swampstore.open("memory://audited-generators").namespace("ns").audit("t")

    def steps() -> Iterator[int]:
        yield 1

    async def waits() -> AsyncIterator[int]:
        yield 1

    for function in (steps, waits, functools.partial(steps)):
        with pytest.raises(Misuse, match="generator function"):
            swampstore.audited(topic, call="x", result=False)(function)
    assert not list(topic.read())
