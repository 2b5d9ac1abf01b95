"""A store that does not answer just now is no damage: the examination says so by an error, not by a finding."""

from __future__ import annotations

import pytest

from swampstore.client.blocking import Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.errors import StoreForbidden, StoreUnavailable, SwampError, Undecided
from swampstore.protocols.queue_status import queue_name
from swampstore.stores.memory import MemoryStore
from swampstore.testing.wrappers import After, Call, FaultyStore, lost_answer
from swampstore.values.tickets import queue_folder
from swampstore.workers.doctor.examine import carry_out
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight
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


@pytest.mark.parametrize("error", [Undecided("the pin"), StoreUnavailable("no answer"), StoreForbidden("no")])
def test_what_a_check_could_not_do_just_now_is_no_finding(error: SwampError) -> None:
    async def check(_sight: Sight) -> list[Finding]:
        raise error

    _, ns = failing("nothing", "get")
    with pytest.raises(type(error)):
        run(carry_out("pins", check, None))  # type: ignore[arg-type]
    assert ns.doctor(deep=True, guards=False).healthy
