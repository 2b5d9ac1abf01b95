"""Read-modify-write: what fn may do, atomicity, who conflicts with whom, waiting, costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore import DELETE, SKIP
from swampstore.errors import BadKey, BadName, DeadlinePassed, Misuse, VersionConflict
from swampstore.protocols.update import Seen
from swampstore.values.deltas import Put
from tests.coordination.support import Stage


@pytest.fixture
def ns(tmp_path: Path) -> Any:
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        yield store.namespace("ops")


def increment(current: bytes | None) -> bytes:
    return str(int(current or b"0") + 1).encode()


def one_more(held: dict[str, Seen]) -> dict[str, bytes]:
    return {key: increment(seen.data) for key, seen in held.items()}


# --- what fn may do ---------------------------------------------------------------------------------------------------


def test_a_counter(ns: Any) -> None:
    for _ in range(3):
        done = ns.update("n", increment)
    assert ns.read("n") == b"3"
    assert (done.how, done.attempts, done.ticket, done.keys) == ("optimistic", 1, 0, ("n",))
    assert 0 <= done.waited < done.seconds
    assert done.versions == (ns.get("n").version,)


def test_delete_skip_and_put(ns: Any) -> None:
    ns.update("k", lambda current: b"1")
    assert ns.update("k", lambda current: SKIP).how == "skipped"
    assert ns.update(["k", "l"], lambda held: {}).how == "skipped"
    assert ns.update(["k", "l"], lambda held: SKIP).how == "skipped"
    ns.update("k", lambda current: swampstore.Put(key="ignored", data=b"2", tags={"a": "b"}))
    assert (ns.read("k"), ns.get("k").tags) == (b"2", {"a": "b"})
    ns.update("k", lambda current: DELETE)
    assert ns.get("k") is None
    assert ns.update("k", lambda current: b"again" if current is None else b"?").how == "optimistic"
    assert ns.read("k") == b"again"


def test_entries(ns: Any) -> None:
    ns.put("k", b"1", tags={"x": "y"})
    seen: list[Any] = []
    ns.update(["k", "none"], lambda held: seen.append(held) or SKIP, entries=True)
    (entry, data), absent = seen[0]["k"], seen[0]["none"]
    assert (entry.tags, data, absent) == ({"x": "y"}, b"1", (None, None))
    ns.update("k", lambda pair: pair[1] + b"2", entries=True)
    assert ns.read("k") == b"12"


def test_large_values_pass_through(ns: Any) -> None:
    ns.update("k", lambda current: b"x" * 1_000_000)
    ns.update("k", lambda current: current + b"y")
    assert ns.read("k") == b"x" * 1_000_000 + b"y"


NONSENSE: list[tuple[Callable[[Any], Any], str]] = [
    (lambda current: 5, "type int"),
    (lambda current: None, "NoneType"),
    (lambda current: ["x"], "type list"),
    (lambda current: "\ud800", "UTF-8"),
    (lambda current: object(), "type object"),
    (lambda current: swampstore.Put(key="k", data=5), "type int"),
]


@pytest.mark.parametrize(("fn", "what"), NONSENSE)
def test_nonsense_is_refused_and_nothing_is_written(ns: Any, fn: Callable[[Any], Any], what: str) -> None:
    ns.put("k", b"1")
    before = ns.get("k").version
    with pytest.raises(Misuse, match=what):
        ns.update("k", fn)
    assert ns.get("k").version == before
    ns.update("k", increment)  # and nothing is left behind that blocks


@pytest.mark.parametrize("answer", [{"c": b"1"}, {"a": b"1", "c": b"2"}, b"x", [("a", b"1")], {5: b"1"}, {"a": 5}])
def test_nonsense_for_many_keys_is_refused(ns: Any, answer: Any) -> None:
    with pytest.raises(Misuse):
        ns.update(["a", "b"], lambda held: answer)
    assert ns.list().entries == []


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, swampstore.NotFound])
def test_an_error_of_fn_is_the_callers_and_nothing_is_written(ns: Any, error: type[BaseException]) -> None:
    def fn(current: bytes | None) -> bytes:
        raise error("mine")

    with pytest.raises(error, match="mine"):
        ns.update("k", fn)
    assert ns.get("k") is None
    assert ns.update("k", increment).how == "optimistic"


def test_an_update_in_an_update_is_refused_however_it_is_reached(ns: Any, tmp_path: Path) -> None:
    with swampstore.open(str(tmp_path / "store")) as again:
        other = again.namespace("ops")
        for inner in (
            lambda: ns.update("k", increment),
            lambda: ns.update("l", increment),
            lambda: other.update("k", increment),
            lambda: ns.put("k", b"1", if_absent=True),
            lambda: ns.lock("anything").__enter__(),
        ):
            with pytest.raises(Misuse, match="inside an update"):
                ns.update("k", lambda current, inner=inner: inner() and b"x")
        elsewhere = again.namespace("other")
        ns.update("k", lambda current: b"%d" % elsewhere.update("k", increment).slot)
    assert ns.read("k") == b"1"


def test_an_asynchronous_fn_is_refused_by_the_blocking_face(ns: Any) -> None:
    async def fn(current: bytes | None) -> bytes:
        return b"x"

    with pytest.raises(Misuse, match="asynchronous"):
        ns.update("k", fn)
    with pytest.raises(Misuse, match="needs a function"):
        ns.update("k", b"x")


def test_a_fn_that_blocks_holds_up_its_own_key_only(ns: Any) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(current: bytes | None) -> bytes:
        inside.set()
        assert go_on.wait(30)
        return increment(current)

    thread = threading.Thread(target=lambda: ns.update("slow", slow))
    thread.start()
    assert inside.wait(30)
    for _ in range(3):
        assert ns.update("fast", increment).how == "optimistic"
    with pytest.raises(DeadlinePassed):
        ns.update("slow", increment, deadline=0.05)
    go_on.set()
    thread.join()
    assert ns.update("slow", increment).slot
    assert (ns.read("slow"), ns.read("fast")) == (b"2", b"3")


@pytest.mark.parametrize("keys", ["", "/a", "a//b", [], ["a", "../b"], [5], ["a\0b"]])
def test_bad_keys_are_refused(ns: Any, keys: Any) -> None:
    with pytest.raises((BadKey, Misuse)):
        ns.update(keys, increment)


@pytest.mark.parametrize("lock", ["", "x" * 2000, 5, "\ud800"])
def test_bad_lock_names_are_refused(ns: Any, lock: Any) -> None:
    with pytest.raises(BadName):
        ns.update("k", increment, lock=lock)


@pytest.mark.parametrize("deadline", [-1, float("nan"), float("inf"), "5", 1e40, True])
def test_absurd_deadlines_are_refused(ns: Any, deadline: Any) -> None:
    with pytest.raises(Misuse):
        ns.update("k", increment, deadline=deadline)


def test_a_hundred_long_keys_are_one_atomic_update(ns: Any) -> None:
    keys = [f"{'k' * 900}/{number}" for number in range(100)]
    assert len(ns.update(keys, lambda held: dict.fromkeys(held, b"1")).versions) == 100
    assert len(ns.list().entries) == 100


# --- if_version, if_absent --------------------------------------------------------------------------------------------


def test_put_if(ns: Any) -> None:
    first = ns.put("k", b"1", if_absent=True)
    with pytest.raises(VersionConflict) as caught:
        ns.put("k", b"2", if_absent=True)
    assert (caught.value.expected, caught.value.current) == (None, first.version.hex())
    second = ns.put("k", b"2", if_version=first.version)
    with pytest.raises(VersionConflict) as caught:
        ns.put("k", b"3", if_version=first.version.hex())
    assert (caught.value.expected, caught.value.current) == (first.version.hex(), second.version.hex())
    assert caught.value.exit_code == 3
    ns.delete("k")
    with pytest.raises(VersionConflict) as caught:
        ns.put("k", b"3", if_version=second.version)
    assert caught.value.current is None
    ns.put("k", b"4", if_absent=True)
    assert ns.read("k") == b"4"


@pytest.mark.parametrize("version", ["", "xyz", 5, b""])
def test_an_absurd_version_is_refused(ns: Any, version: Any) -> None:
    with pytest.raises(Misuse):
        ns.put("k", b"", if_version=version)
    with pytest.raises(Misuse):
        ns.put("k", b"", if_version="ab", if_absent=True)


def test_put_if_does_not_read_the_contents() -> None:
    stage = Stage()
    one = stage.player("one")
    stage.does(one.put("k", b"x" * 100_000))
    one.counting.reset()
    with pytest.raises(VersionConflict):
        stage.does(one.ns.put_if(Put(key="k", data=b"y"), if_version=None, if_absent=True))
    assert not [name for verb, name in one.counting.names if verb == "get" and "/blob/" in name]


# --- asyncio ----------------------------------------------------------------------------------------------------------


def test_the_asyncio_face(tmp_path: Path) -> None:
    async def work() -> None:
        async with await swampstore.open_async("memory://update-aio") as store:
            ns = store.namespace("ops")

            async def fn(current: bytes | None) -> bytes:
                await asyncio.sleep(0)
                return increment(current)

            await asyncio.gather(*[ns.update("n", fn) for _ in range(10)])
            assert await ns.read("n") == b"10"
            with pytest.raises(Misuse):
                await ns.update("n", lambda current: ns.update("n", fn))
            assert (await ns.update("n", increment)).how == "optimistic"

    asyncio.run(work())


def test_cancelling_leaks_no_place(tmp_path: Path) -> None:
    async def work() -> None:
        async with await swampstore.open_async("memory://update-cancel") as store:
            ns = store.namespace("ops")
            started = asyncio.Event()

            async def stuck(current: bytes | None) -> bytes:
                started.set()
                await asyncio.Event().wait()
                return b""

            async with ns.queue("n").acquire():  # so that the first has to take a ticket
                waiting = asyncio.create_task(ns.update("n", increment))
                while not (await ns.queue("n").status()).unfinished > 1:
                    await asyncio.sleep(0.01)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                assert (await ns.queue("n").status()).unfinished == 1
            holding = asyncio.create_task(ns.update("n", stuck))
            await started.wait()
            next_one = asyncio.create_task(ns.update("n", increment))
            await asyncio.sleep(0)
            holding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await holding
            assert (await next_one).how == "optimistic"
            assert (await ns.queue("n").status()).unfinished == 0

    asyncio.run(work())
