"""A store that does not answer just now is no damage: the examination says so by an error, not by a finding."""

from __future__ import annotations

import pytest

from swampstore.client.blocking import Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.errors import StoreUnavailable, TryAgain, Undecided
from swampstore.protocols.queue_status import queue_name
from swampstore.stores.memory import MemoryStore
from swampstore.testing.wrappers import After, Call, FaultyStore, lost_answer
from swampstore.values.tickets import queue_folder
from tests.golden.store import GoldenEnv


def failing(part: str, verb: str) -> tuple[FaultyStore, Namespace]:
    """A namespace with a lock that was held, whose objects with ``part`` in their names answer no ``verb`` any more."""
    env = GoldenEnv(3)
    store = FaultyStore(MemoryStore(env))
    core = CoreStore(store, env, timeout=5.0).namespace("ops")
    core._proved = True
    ns = Namespace(core)
    ns.put("key", b"value")
    with ns.lock("deploy") as held:
        held.put("locked", b"1")

    def script(call: Call) -> After | None:
        return lost_answer() if call.verb == verb and any(part in name for name in call.names) else None

    store.script = script
    return store, ns


def test_a_queue_that_cannot_be_read_just_now_is_not_damaged() -> None:
    _, ns = failing("/queue/", "get")
    with pytest.raises(StoreUnavailable):
        run(queue_name(ns._core.place, queue_folder("deploy")))
    with pytest.raises(StoreUnavailable):
        ns.doctor(guards=False)


def test_a_pin_that_may_have_been_written_is_no_finding() -> None:
    store, ns = failing("/pin/", "create")
    with pytest.raises((TryAgain, Undecided)):
        _without_reads(store, ns)


def _without_reads(store: FaultyStore, ns: Namespace) -> None:
    """The answer to the write and to every look at it is lost."""
    script = store.script
    store.script = lambda call: lost_answer() if any("/pin/" in name for name in call.names) else script(call)
    ns.doctor(deep=True, guards=False)
