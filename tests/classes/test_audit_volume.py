"""What audit records cost over time: pollers for an hour, one-shot processes for a day, in virtual time."""

from __future__ import annotations

import pytest

from swampstore.client.blocking import Datastore
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.values.root import encode_root
from tests.spool.desk import Env
from tests.workers.world import HookedStore

pytestmark = [pytest.mark.prove, pytest.mark.timeout(3000)]


def sizes(store: HookedStore, env: Env) -> tuple[int, int]:
    """``(segments in the log, bytes of the root)``."""
    core = CoreStore(store, env).namespace("ops")
    log = sum(1 for name in store.inner._objects if name.startswith("ops/log/"))
    return log, len(encode_root(run(core.register.read()).root))


def test_ten_pollers_for_an_hour_leave_a_bounded_log_and_root() -> None:
    """Every 2 s each: 18,000 records by writers that live on; nobody runs a compactor."""
    env = Env()
    store = HookedStore(env)
    topics = [Datastore(CoreStore(store, env)).namespace("ops").audit("polls") for _ in range(10)]
    seen: list[tuple[int, int]] = []
    for number in range(1800):
        for at, topic in enumerate(topics):
            topic.write({"poller": at, "n": number, "output": "x" * 50})
        env.advance(2)
        store.forget()
        if number % 100 == 99:
            seen.append(sizes(store, env))
    early, late = seen[:9], seen[9:]
    assert max(log for log, _ in late) <= max(log for log, _ in early) < 6_000, "a log that grows no further"
    assert max(root for _, root in late) < 64 * 1024
    assert sum(1 for _ in topics[0].read()) == 18_000


def test_one_shot_appends_every_second_for_a_day() -> None:
    """86,400 processes, each with a lane of its own."""
    env = Env()
    store = HookedStore(env)
    most = (0, 0)
    for number in range(86_400):
        core = CoreStore(store, env, one_shot=True)
        with Datastore(core) as opened:
            opened.namespace("ops").audit("shell").write({"n": number})
        env.advance(1)
        store.forget()
        if number % 1000 == 999:
            seen = sizes(store, env)
            most = (max(most[0], seen[0]), max(most[1], seen[1]))
    assert most[0] < 5_000, most
    assert most[1] < 512 * 1024, most
    assert sum(1 for _ in Datastore(CoreStore(store, env)).namespace("ops").audit("shell").read()) == 86_400
