"""``stream.update``: derives anew after a conflict, gives up untouched, refuses to move its own tail."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.errors import FenceRetriesExhausted, Misuse
from swampstore.protocols.stream import EMPTY, StreamState
from tests.coordination.support import Player, Stage
from tests.coordination.test_stream import data


async def appended(player: Player, record: bytes) -> None:
    """``player`` has appended to the stream, as the other process that it is."""
    actor = player.does(player.ns.open_stream("run").append([record]))
    await actor.finished.wait()
    assert actor.error is None


def test_update_derives_anew_after_each_conflict() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stream, calls = one.ns.open_stream("run"), []

    async def build(state: StreamState) -> list[bytes]:
        calls.append(data(await state.records()))
        if len(calls) < 3:
            await appended(two, b"other %d" % len(calls))
        return [b"after %d" % len(calls[-1])]

    stage.does(stream.update(build))
    assert [len(call) for call in calls] == [0, 1, 2]
    assert data(stage.does(stream.read())) == [b"other 1", b"other 2", b"after 2"]


def test_update_gives_up_untouched() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")

    async def build(state: StreamState) -> list[bytes]:
        await appended(two, b"other")
        return [b"mine"]

    with pytest.raises(FenceRetriesExhausted) as caught:
        stage.does(one.ns.open_stream("run").update(build, retries=2))
    assert caught.value.exit_code == 3
    assert data(stage.does(one.ns.open_stream("run").read())) == [b"other"] * 3


@pytest.mark.parametrize("how", ["update", "append", "fenced", "through another stream"])
def test_an_append_to_the_stream_that_is_being_built_is_an_error_before_anything_is_written(how: str) -> None:
    stage = Stage()
    one = stage.player("one")
    run, other = one.ns.open_stream("run"), one.ns.open_stream("other")
    calls: list[str] = []

    async def build(state: StreamState) -> list[bytes]:
        calls.append(how)
        if how == "update":
            await one.ns.open_stream("run").update(lambda inner: [b"inner"])
        elif how == "append":
            await run.append([b"inner"])
        elif how == "fenced":
            await run.append([b"inner"], expected_tail=state.tail)
        else:

            async def deeper(_: StreamState) -> list[bytes]:
                await run.append([b"inner"])
                return [b"other"]

            await other.update(deeper)
        return [b"mine"]

    with pytest.raises(Misuse, match="inside the build"):
        stage.does(run.update(build))
    assert calls == [how]
    assert (stage.does(run.tail()), stage.does(other.tail())) == (EMPTY, EMPTY)
    stage.does(run.append([b"after"]))  # the error has left nothing behind


def test_build_may_append_to_other_streams_and_update_keys() -> None:
    stage = Stage()
    one = stage.player("one")

    async def build(state: StreamState) -> list[bytes]:
        await one.ns.open_stream("other").update(lambda inner: [b"told"])
        await one.ns.update(["key"], lambda held: {"key": b"1"})
        return [b"mine"]

    stage.does(one.ns.open_stream("run").update(build))
    assert data(stage.does(one.ns.open_stream("run").read())) == [b"mine"]
    assert data(stage.does(one.ns.open_stream("other").read())) == [b"told"]


def test_update_with_nothing_to_do_writes_nothing() -> None:
    stage = Stage()
    one = stage.player("one")
    assert stage.does(one.ns.open_stream("run").update(lambda state: None)) is None

    async def failing() -> None:
        with pytest.raises(ZeroDivisionError):
            await one.ns.open_stream("run").update(lambda state: 1 // 0)

    stage.does(failing())
    assert stage.names("ops/log/") == []


@pytest.mark.parametrize("retries", [-1, True, "5", 10**9])
def test_absurd_retries_are_refused(retries: Any) -> None:
    stage = Stage()
    with pytest.raises(Misuse):
        stage.does(stage.player("one").ns.open_stream("run").update(lambda state: None, retries=retries))
