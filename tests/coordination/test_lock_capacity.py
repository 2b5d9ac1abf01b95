"""A lock lets one in at a time, whatever capacity others give its queue."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.env.blocking import run
from swampstore.errors import Misuse
from swampstore.protocols.lock import hold
from swampstore.protocols.queue import fair_queue
from tests.coordination.support import Stage


@pytest.fixture
def ns(tmp_path: Path) -> Any:
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        yield store.namespace("ops")


def test_the_capacity_of_a_lock_is_not_raised(ns: Any) -> None:
    with ns.lock("a lock"):
        with pytest.raises(Misuse, match="'a lock' is a lock"):
            ns.queue("a lock").set_capacity(3)
        ns.queue("a lock").set_capacity(1)
    with pytest.raises(Misuse, match="is a lock"):
        ns.queue("a lock").set_capacity(2)
    with ns.lock("a lock"), pytest.raises(Misuse, match="capacity"):
        ns.queue("a lock").set_capacity(0)


def test_a_queue_that_admits_several_is_no_lock(ns: Any) -> None:
    queue = ns.queue("some jobs", 3)
    with queue.acquire():
        with pytest.raises(Misuse, match="admits 3 at once") as caught, ns.lock("some jobs"):
            pytest.fail("held beside another")
        assert "set-capacity 'some jobs' 1" in caught.value.hint
        assert queue.status().held == 1, "its place is given back"
    queue.set_capacity(1)
    with ns.lock("some jobs") as held:
        held.put("k", b"v")


def test_who_waits_for_a_lock_while_its_queue_is_widened_does_not_come_in(ns: Any) -> None:
    """As by a program that does not look whether it is a lock: between its look and the first lock there may be no mark."""
    ended: list[object] = []

    def second() -> None:
        try:
            with ns.lock("deploy"):
                ended.append("inside")
        except Misuse as error:
            ended.append(error)

    with ns.lock("deploy") as held:
        other = threading.Thread(target=second)
        other.start()
        while other.is_alive() and ns.queue("deploy").status().unfinished < 2:
            time.sleep(0.005)
        run(fair_queue(ns._core.place, "deploy").set_capacity(3))
        other.join(30)
        (found,) = ended
        assert isinstance(found, Misuse)
        held.put("k", b"still mine")


def test_on_objects_too() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")

    held = stage.ends(one.does(hold(one.ns.updates, "deploy")))
    stage.ends(one.does(fair_queue(one.ns.place, "deploy").set_capacity(3)))
    with pytest.raises(Misuse, match="admits 3 at once"):
        stage.ends(two.does(hold(two.ns.updates, "deploy")))
    stage.ends(one.does(held.release()))
    stage.ends(two.does(fair_queue(two.ns.place, "deploy").set_capacity(1)))
    assert stage.ends(two.does(hold(two.ns.updates, "deploy"))).ticket == 3
