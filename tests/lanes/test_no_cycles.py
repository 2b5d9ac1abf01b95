"""What an operation leaves behind is freed with its last reference: no cycles for a collector that seldom comes by."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import NotFound, StaleWrite, SwampError
from swampstore.stores.base import Outcome, answered
from swampstore.stores.open import open_store
from swampstore.testing.wrappers import Call, Fault, FaultyStore, lost_answer, lost_request, slow_down

ROUNDS = 6
ANSWERS = {"create": lost_answer, "replace": lost_answer, "get": slow_down, "list": lost_request}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Namespace, Namespace]]:
    """One namespace of two clients; every third call of the first meets a fault."""

    def client(every: int) -> Datastore:
        env = BlockingEnv()

        def script(call: Call) -> Fault:
            if call.verb not in ANSWERS or call.number % every:
                return None
            return ANSWERS[call.verb]()

        store = FaultyStore(open_store(str(tmp_path / "store"), env=env, create=True), script)
        return Datastore(CoreStore(store, env))

    with client(3) as mine, client(1 << 30) as other:
        yield mine.namespace("ns"), other.namespace("ns")


def test_races_and_faults_leave_no_cycles(pair: tuple[Namespace, Namespace]) -> None:
    mine, other = pair

    def lost_race() -> None:
        register = mine._core.register
        seen = run(register.read())
        other.put("other", "1")
        other.compact()
        with pytest.raises(StaleWrite):
            run(register.publish(seen, seen.root))

    def missing() -> None:
        with pytest.raises(NotFound):
            mine.read("nothing")

    deeds: dict[str, Callable[[], object]] = {
        "put": lambda: mine.put("a", "1" * 100),
        "put of contents": lambda: mine.put("b", b"1" * 9_000),
        "missing": missing,
        "scan": lambda: list(mine.scan()),
        "update": lambda: mine.update(["u"], lambda held: {"u": (held["u"] or b"") + b"1"}),
        "compact": lambda: mine.compact(full=True),
        "lost race": lost_race,
    }
    left = {}
    for name, deed in deeds.items():
        deed()  # what is made once stays
        gc.collect()
        gc.disable()
        try:
            for _ in range(ROUNDS):
                deed()
            left[name] = gc.collect()
        finally:
            gc.enable()
    assert left == dict.fromkeys(deeds, 0)


def test_a_frame_that_keeps_the_error_it_raises_is_such_a_cycle() -> None:
    def kept(answer: Outcome) -> None:
        assert isinstance(answer, SwampError)
        raise answer

    cycles = []
    for raising in (answered, kept):
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(NotFound):
                raising(NotFound("gone"))
            cycles.append(gc.collect() > 0)
        finally:
            gc.enable()
    assert cycles == [False, True]
