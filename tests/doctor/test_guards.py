"""The canaries: a store or a rule that lets a forbidden write through is told; a whole one is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import StoreForbidden
from swampstore.protocols import commit, lock, update
from swampstore.protocols.place import Place
from swampstore.stores.base import Body, Create, Overwrite, Replace, Stored, When
from swampstore.stores.retry import Retrying
from swampstore.workers.doctor.examine import examine
from swampstore.workers.doctor.finding import Report
from tests.doctor.history import busy
from tests.workers.world import Process, World

pytestmark = pytest.mark.usefixtures("tiny")


def look(process: Process) -> Report:
    return run(examine(process.place, process.register))


def behind_retries(process: Process) -> Process:
    """As clients have it: a retry layer over the store."""
    place = process.place
    process.place = Place(Retrying(place.store, place.env), place.env, place.clock, place.names, place.caches)
    return process


@pytest.mark.parametrize("retries", [False, True])
def test_whole_guards_leave_nothing_behind(world: World, retries: bool) -> None:
    busy(world)
    names = world.store.names()
    process = behind_retries(world.process()) if retries else world.process()
    assert look(process).codes() == []
    assert world.store.names() == names


@pytest.mark.parametrize("kind", [Create, Replace])
def test_a_store_that_ignores_a_precondition(world: World, kind: type) -> None:
    busy(world)
    names = world.store.names()
    inner = world.store.inner.put

    async def put(name: str, body: Body, when: When) -> Stored:
        return await inner(name, body, Overwrite() if isinstance(when, kind) else when)

    world.store.inner.put = put  # type: ignore[method-assign]
    found = look(behind_retries(world.process())).of("error")
    assert [one.code for one in found] == ["preconditions-ignored"]
    assert world.store.names() == names


@pytest.mark.parametrize(
    ("code", "module", "name", "off"),
    [
        ("guard-stale-holder", lock, "check_fence", lambda *_: None),
        ("guard-stale-update", commit.CommitLane, "_may_follow", None),
        ("guard-stale-append", commit.CommitLane, "_may_follow", None),
    ],
)
def test_a_fence_that_is_off(
    world: World, monkeypatch: pytest.MonkeyPatch, code: str, module: Any, name: str, off: Callable[..., Any] | None
) -> None:
    busy(world)
    names = world.store.names()

    async def passes(*_: Any) -> bool:
        return True

    assert hasattr(update, "check_fence")
    monkeypatch.setattr(module, name, off or passes)
    assert code in [one.code for one in look(world.process()).of("error")]
    assert world.store.names() == names


def test_where_nothing_may_be_written_they_are_not_tried(world: World) -> None:
    busy(world)

    def before(verb: str, name: str) -> None:
        if verb == "put":
            raise StoreForbidden("read only")

    world.store.before = before
    report = look(world.process())
    assert report.codes() == ["guards-untried"]
    assert report.healthy
    assert run(examine(world.process().place, world.process().register, guards=False, deep=True)).codes() == []
